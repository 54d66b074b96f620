"""The commands prune and export: what is in the folder is what was measured, and is built again."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import call
from torch import nn

import residuum
from residuum import surgery
from residuum.anatomy import Examples, similarity
from residuum.errors import CheckpointError, UsageError
from residuum.subjects import Measuring, Source, open_model, open_subject
from residuum.subjects.asked import is_pruned
from residuum.surgery import Candidate, Target, by_score, greedy, lost
from residuum.verbs.pruning import By, Removal, scores, searched
from residuum.views.view import DELETE

FUNCTION = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2)
        self.units = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            for _ in range(3)
        )
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        x = self.stem(x)
        for unit in self.units:
            x = x + unit(x)
        return self.head(x.mean((2, 3)))

class Flat(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.branch, self.head = nn.Conv2d(3, 3, 1), nn.Linear(3, classes)

    def forward(self, x):
        return self.head((x + self.branch(x)).mean((2, 3)))

def flat(classes=2):
    return Flat(classes)

def small(classes=2):
    return Small(classes)

class Fickle(Small):
    def forward(self, x):
        return super().forward(x) + self.drawn

def fickle(classes=2):
    model = Fickle(classes)
    model.drawn = float(torch.tensor(id(model) % 1000))
    return model
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images of two classes, and a module with models."""
    folder = tmp_path_factory.mktemp("place")
    source = np.random.default_rng(0)
    for part, number in (("train", 8), ("test", 6)):
        for name, level in (("dark", 60), ("light", 200)):
            (folder / "images" / part / name).mkdir(parents=True)
            for i in range(number):
                pixels = source.normal(level, 40, (8, 8, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "images" / part / name / f"{i}.png")
    (folder / "prune_models.py").write_text(FUNCTION)
    return folder


@pytest.fixture
def here(place, monkeypatch, tmp_path):
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    return tmp_path


def llama_and_text(here: Path, layers: int = 2) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.LlamaConfig(vocab_size=260, num_hidden_layers=layers, **small)
    transformers.LlamaForCausalLM(config).save_pretrained(here / "llama")
    (here / "text.txt").write_text("to be or not to be, that is the question\n" * 20)


def read(folder: Path) -> dict:
    return json.loads((folder / "prune.json").read_text())


@pytest.mark.row("E9")
def test_a_preset_is_pruned_and_read_again_bit_for_bit(here, capsys):
    """What is read from the folder has the accuracy that prune.json says, to the bit."""
    folder = here / "a"
    words = ["prune", "preresnet8", "--data", "images", "--units", "2", "--heal", "2"]
    told = json.loads(
        call(capsys, *words, "--learning-rate", "1e-3", "--output", folder, "--json")[1]
    )
    said = read(folder)
    assert {name: said[name] for name in told} == told
    assert [len(step["removed"]) for step in told["frontier"]] == [1, 2]
    assert (told["kept"], told["units"], len(told["healed"])) == ("preset", 3, 2)
    assert told["removed"] == told["frontier"][-1]["removed"]
    after = told["sizes"]["after"]
    assert after["units"] == 1
    model = surgery.load(folder)
    assert after["parameters"] == sum(p.numel() for p in model.parameters())
    subject = open_subject(folder, Measuring(), Source(data="images"))
    assert torch.equal(next(subject.model.parameters()), next(model.parameters()))
    (again,) = lost(subject.view, subject.test, [[]])
    assert again.loss.value == pytest.approx(after["loss"]["value"], rel=1e-6)
    assert again.error.count == after["error"]["count"]
    whole = open_subject("preresnet8", Measuring(), Source(data="images"))
    with torch.no_grad():
        losses = subject.task.loss(model(subject.test.inputs), subject.test.targets).double()
    assert float(losses.mean()) == after["loss"]["value"]  # the very bits
    assert torch.equal(whole.test.inputs, subject.test.inputs)  # normalised by what the file says
    about = surgery.about(folder)
    assert json.loads(about["classes"]) == ["dark", "light"]
    assert json.loads(about["normaliser"]).keys() == {"mean", "std"}
    words = call(capsys, "export", folder, "--as", "pt2", "--output", here / "a.pt2")[1]
    assert "the same output as the model, loaded by torch.export" in words
    assert "1 residual unit" in call(capsys, "discover", folder)[1]
    for message, arguments in (
        ("was pruned", ["prune", folder, "--units", 1, "--output", here / "b"]),
        ("is not empty", ["prune", "preresnet8", "--units", 1, "--output", folder]),
        ("can be made in", ["prune", "x", "--units", 1, "--output", folder / "prune.json" / "b"]),
        (
            "1 training image(s): an interval",
            ["prune", "preresnet8", "--examples", 1, "--units", 1, "--output", here / "b"],
        ),
        ("say when it is enough", ["prune", "preresnet8", "--output", here / "b"]),
        (
            "no names elsewhere",
            ["export", folder, "--as", "fb", "--output", here / "b.safetensors"],
        ),
        ("say NAME.onnx", ["export", folder, "--as", "onnx", "--output", here / "b.pt2"]),
        ("give --heal", ["prune", "preresnet8", "--seed", 1, "--units", 1, "--output", here / "b"]),
    ):
        code, out, text = call(capsys, *arguments)
        assert (code, out, message in text) == (2, "", True), text
    wild = ["prune", "preresnet8", "--data", "images", "--units", 1, "--heal", 1]
    code, out, text = call(capsys, *wild, "--learning-rate", "1e30", "--output", here / "b")
    assert (code, out, "take a smaller learning rate" in text) == (5, "", True), text
    assert sorted(path.name for path in here.iterdir()) == ["a", "a.pt2"]
    for message, code in (("removed.json is missing", 4), (f"Say hf:{folder}", 2)):
        (folder / "removed.json").unlink(missing_ok=True)
        found, _, text = call(capsys, "discover", folder)
        assert (found, message in text) == (code, True), text
        (folder / "config.json").touch()


def test_a_model_of_a_function_is_built_again_from_python(here, capsys):
    folder = here / "a"
    found = residuum.prune(
        "prune_models:small", output=folder, data="images", by="deletion", units=2
    )
    assert found.kept == "word"
    assert found.sizes.after.units == 1
    import prune_models  # pyright: ignore

    model = surgery.load(folder, prune_models.small())
    subject = open_subject("prune_models:small", Measuring(), Source(data="images"))
    (base,) = lost(subject.view, subject.test, [found.removed])
    assert found.sizes.after.loss.value == pytest.approx(base.loss.value, rel=1e-6)
    assert found.sizes.after.parameters == sum(p.numel() for p in model.parameters())
    assert is_pruned(str(folder))
    with pytest.raises(UsageError, match="no function is called that a file names"):
        open_model(folder)
    with pytest.raises(UsageError, match="give the model that this word builds"):
        surgery.load(folder)
    with pytest.raises(CheckpointError, match=r"is another model here|has changed"):
        surgery.load(folder, nn.Conv2d(3, 3, 1))


def test_a_model_that_no_word_builds_again_is_kept_as_a_program(here):
    found = residuum.prune("prune_models:fickle", output=here / "a", data="images", units=1)
    assert found.kept == "program"
    assert "is another model here" in found.note
    assert {path.name for path in (here / "a").iterdir()} == {"model.pt2", "prune.json"}
    with pytest.raises(UsageError, match="written for others and not read here"):
        open_model(here / "a")


@pytest.mark.parametrize("by", ["greedy", "deletion", "pairs"])
def test_whole_layers_of_a_decoder_leave_a_folder_that_transformers_loads(here, capsys, by):
    llama_and_text(here, layers=3)
    words = ["prune", f"hf:{here / 'llama'}", "--data", here / "text.txt", "--length", 16]
    asked = ["--by", by, "--layers", "--examples", 4, "--output", here / "a", "--json"]
    asked += [] if by == "pairs" else ["--units", 1]  # a layer has two, and both go
    told = json.loads(call(capsys, *words, *asked)[1])
    gone = set(told["removed"])
    layers = [{0, 1}, {2, 3}, {4, 5}]
    assert sum(each <= gone for each in layers) == len(gone) // 2 == (2 if by == "pairs" else 1)
    assert told["kept"] == "folder"
    assert told["sizes"]["after"]["units"] == 6 - len(gone)
    assert told["sizes"]["before"]["error"]["n"] == 4
    transformers = pytest.importorskip("transformers")
    kept = transformers.LlamaForCausalLM.from_pretrained(here / "a").eval()
    assert kept.config.num_hidden_layers == 3 - len(gone) // 2
    whole = transformers.LlamaForCausalLM.from_pretrained(here / "llama").eval()
    tokens = {"input_ids": torch.arange(32).view(2, 16), "use_cache": False}
    view = residuum.unravel(whole, **tokens)
    with torch.no_grad():
        with view.edited(dict.fromkeys(gone, DELETE)):
            expected = whole(**tokens).logits
        assert torch.equal(kept(**tokens).logits, expected)


def test_layers_where_there_are_none(here, capsys):
    for word, message in (
        ("preresnet8", "whose units are its layers already"),
        ("prune_models:flat", "Flat has no list of layers"),
    ):
        words = ["prune", word, "--data", "images", "--units", 1, "--layers"]
        code, out, text = call(capsys, *words, "--output", here / "b")
        assert (code, out, message in text) == (2, "", True), text
    subject = open_subject("prune_models:small", Measuring(), Source(data="images"))
    with pytest.raises(UsageError, match="no list of layers"):
        surgery.layers(subject.view)  # its sums stand outside of the list's elements
    for groups, message in (([[0], [0, 1]], "a unit stands in two"), ([[3]], r"units \[3\] are")):
        with pytest.raises(UsageError, match=message):
            greedy(subject.view, subject.train, Target(units=1), groups=groups)
    (step,) = greedy(subject.view, subject.train, Target(units=1), groups=[[0, 2]])
    assert step.removed == (0, 2)


def test_a_search_that_ends_at_an_error(here, capsys):
    subject = open_subject("preresnet8", Measuring(), Source(data="images"))
    view, train = subject.view, subject.train
    every = greedy(view, train, Target(units=3))
    worst = max(step.error_change.value for step in every)
    assert greedy(view, train, Target(units=3, error=worst)) == every
    first = next(k for k, step in enumerate(every) if step.error_change.value == worst)
    assert greedy(view, train, Target(units=3, error=worst - 1e-9)) == every[:first]
    told = call(
        capsys, "prune", "preresnet8", "--data", "images", "--error", 1, "--output", here / "b"
    )
    assert told[0] == 0
    assert "opened by `residuum` as any model" in told[1]

    @dataclass(frozen=True)
    class Blurred:
        """Knows no right and wrong."""

        def loss(self, output, targets):
            return output.square().mean(1)

        def right(self, output, targets):
            return None

    blurred = Examples(train.inputs, train.targets, Blurred())
    for search in (greedy, lambda *given: by_score(*given[:2], [0, 1, 2], given[2])):
        with pytest.raises(UsageError, match="knows no right and wrong"):
            search(view, blurred, Target(error=0.1))


def test_a_configuration_that_counts_stages_is_not_trusted_with_layers(here):
    """Its layer scale starts at 1e-6: a layer drawn anew would hardly show in what it gives."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"num_stages": 2, "hidden_sizes": [8, 16], "depths": [3, 2], "num_labels": 2}
    config = transformers.ConvNextConfig(patch_size=2, image_size=8, **sizes)
    transformers.ConvNextForImageClassification(config).save_pretrained(here / "convnext")
    found = residuum.prune(f"hf:{here / 'convnext'}", output=here / "a", data="images", units=1)
    assert found.kept == "word"
    again = open_model(here / "a").model
    left = sum(parameter.numel() for parameter in again.parameters())
    assert found.sizes.after.parameters == left < found.sizes.before.parameters
    config = transformers.ResNetConfig(embedding_size=8, depths=[2, 2], hidden_sizes=[8, 16])
    model = transformers.ResNetForImageClassification(config).eval()
    small = surgery.removed(residuum.unravel(model, torch.randn(2, 3, 32, 32)), [1])
    assert small.config.hidden_sizes == [8, 16]


def test_a_graph_of_a_decoder_is_given_sequences_of_its_own_length(here, capsys, monkeypatch):
    llama_and_text(here)
    text = ["--data", here / "text.txt"]
    monkeypatch.chdir(here)
    words = ["prune", "hf:llama", *text, "--length", 12]
    told = json.loads(
        call(capsys, *words, "--units", 1, "--examples", 4, "--output", here / "a", "--json")[1]
    )
    assert told["kept"] == "word"  # one unit is half a layer
    found = json.loads(call(capsys, "discover", here / "a", "--verify", "--json")[1])
    assert (found["inputs"], len(found["units"])) == ("12 tokens", 3)
    assert found["verification"]["proven"] == 3
    assert json.loads(call(capsys, "paths", here / "a", "--json")[1])["total"] == "8"
    lesions = json.loads(call(capsys, "lesion", here / "a", *text, "--json")[1])
    assert (lesions["measure"], len(lesions["losses"])) == ("loss", 3)
    for command in (["discover", here / "a"], ["lesion", here / "a", *text]):
        code, _, err = call(capsys, *command, "--length", 16)
        assert code == 2
        assert "for sequences of 12 tokens alone, not 16" in err
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    shutil.rmtree(here / "llama")  # nothing but the pruned folder is needed, wherever it is
    (here / "a").rename("moved")
    assert open_model("moved").shape == (12,)
    config = Path("moved/intact/config.json")
    whole = config.read_text()
    assert '"rope_theta": 10000.0' in whole  # stands in no weight and in no operation
    config.write_text(whole.replace('"rope_theta": 10000.0', '"rope_theta": 3.0'))
    with pytest.raises(CheckpointError, match=r"intact/config.json: is missing or was changed"):
        open_model("moved")
    config.unlink()
    with pytest.raises(CheckpointError, match=r"intact/config.json: is missing or was changed"):
        open_model("moved")


def test_scores_and_targets(here):
    subject = open_subject("preresnet8", Measuring(), Source(data="images"))
    view, train = subject.view, subject.train
    known = set(By.__args__)
    assert known == {"greedy", "pairs", "deletion", *similarity.SCORES}
    for name in ("deletion", "influence", "response"):
        assert len(scores(subject, name)) == len(view.units)
    harm = [lost(view, train, [[unit]])[0].loss.value for unit in range(3)]
    assert scores(subject, "deletion") == pytest.approx(harm, rel=1e-5)
    timed = by_score(view, train, [0, 1, 2], Target(seconds=1e-9))
    assert [len(step.removed) for step in timed] == [1, 2, 3]  # never reached
    assert all(step.seconds.n == 20 and step.seconds.low > 0 for step in timed)
    assert timed[-1].seconds.value < 1.5
    (first,) = greedy(view, train, Target(seconds=0.9999, units=1))
    assert first.seconds is not None
    for wrong, words in (
        ({"seconds": 1.5}, "share between 0 and 1"),
        ({}, "units, parameters, seconds, loss or error"),
        ({"units": 1.5}, "1.5 units: a whole number"),
        ({"units": 0}, "at least 1"),
        ({"loss": float("nan")}, "loss nan: a finite number"),
        ({"error": float("inf")}, "error inf: a finite number"),
        ({"parameters": float("nan")}, "share between 0 and 1"),
    ):
        with pytest.raises(UsageError, match=words):
            Target(**wrong)
    with pytest.raises(UsageError, match="preresnet8 has 3 units that can be removed, not 4"):
        searched(subject, Removal(units=4))
    Removal(by="pairs").require_one()
    with pytest.raises(UsageError, match="no other target but --loss"):
        Removal(by="pairs", latency=0.5).require_one()
    assert isinstance(first, Candidate)
    assert isinstance(train, Examples)
