"""Models and data from the words of a command line, and what commands say of them."""

import csv
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from test_cli import call

from residuum import anatomy
from residuum.data import load
from residuum.errors import CheckpointError, DataError, ResiduumError, UsageError
from residuum.subjects import (
    Measuring,
    Opening,
    Source,
    open_model,
    open_subject,
    open_trained,
    origin,
)
from residuum.training import Run
from residuum.verbs import discovery

MODULE = """
import warnings

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.rows = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        x = self.stem(x)
        for row in self.rows:
            x = x + row(x).relu()
        return self.head(x.mean((2, 3)))


class Reader(nn.Module):
    def __init__(self, entries=256):
        super().__init__()
        self.table, self.layer = nn.Embedding(entries, 4), nn.Linear(4, 4)

    def forward(self, tokens):
        x = self.table(tokens)
        return (x + self.layer(x).relu()) @ self.table.weight.T


def net(classes):
    return Net(classes)


def many():
    return Net(12)


def few():
    return Reader(100)


def number():
    return 3


def needy(width):
    return Net()


def broken():
    raise ValueError("no weights today")


def leaves():
    raise SystemExit(0)


def hollow():
    with torch.device("meta"):
        return Net()


def traced():
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.trace(Net(), torch.zeros(1, 3, 8, 8))


class Last(Net):
    def __init__(self, last):
        super().__init__()
        self.last = last

    def forward(self, x):
        return self.last(super().forward(x))


def decided():
    return Last(lambda x: x > 0)


def undefined():
    return Last(lambda x: x * float("nan"))


def inside():
    from neighbour_for_tests import Net as Other

    return Other()


def fixed():
    return torch.export.export(Net().eval(), (torch.zeros(2, 3, 8, 8),)).module()


def ends():
    return Last(lambda x: leaves())
"""
TOKENS = 24
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a user stands: a module, texts, folders that transformers wrote."""
    here = tmp_path_factory.mktemp("here")
    (here / "mine_for_tests.py").write_text(MODULE)
    (here / "neighbour_for_tests.py").write_text(MODULE)
    (here / "failing_for_tests.py").write_text("raise ValueError('not today')\n")
    text = "".join(f"{n * n} is the square of {n}.\n" for n in range(60))
    (here / "text.txt").write_text(text)
    (here / "empty.txt").touch()
    return here


@pytest.fixture
def there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def language(folder):
    """A small GPT-2, its output layer the table of tokens."""
    library = pytest.importorskip("transformers")
    small = {"n_embd": 8, "n_head": 2, "n_layer": 2, "n_positions": 32, "vocab_size": 256}
    torch.manual_seed(0)
    config = library.GPT2Config(**small, bos_token_id=1, eos_token_id=2)
    return keep(library.GPT2LMHeadModel(config), folder / "gpt")


@pytest.fixture(scope="module")
def vision(folder):
    library = pytest.importorskip("transformers")
    small = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    config = library.ViTConfig(
        **small, num_hidden_layers=1, image_size=16, patch_size=8, num_labels=10
    )
    config.id2label = {n: str(9 - n) for n in range(10)}
    return keep(library.ViTForImageClassification(config), folder / "vit")


def keep(model, where):
    from residuum.surgery.files import quietly

    with quietly():
        model.save_pretrained(where)
    return model.eval()


def opened(word, data=None, **asked):
    source = {key: asked.pop(key) for key in ("image_size", "data_name") if key in asked}
    return open_subject(word, Measuring(**asked), Source(data, **source), training=3)


# ---- functions of one's own ----


def test_a_functions_model_is_called_for_the_classes_of_the_data(there):
    before = torch.get_rng_state()
    first = opened("mine_for_tests:net", examples=5)
    again = opened("mine_for_tests:net", examples=5, initial_seed=0)
    other = opened("mine_for_tests:net", examples=5, initial_seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [subject.model.head.weight for subject in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert (len(first.train), len(first.test), len(first.view.units)) == (3, 5, 2)
    assert (first.example, first.data, first.model.training) == ("image", "digits", False)
    data = load("digits")
    at = torch.linspace(0, 897, 5).round().long()
    pixels, train = data.test.pixels[at].double(), data.train.pixels.double()
    mean, std = train.mean((0, 1, 2)), train.flatten(0, 2).std(0, unbiased=False)
    expected = ((pixels - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(first.test.inputs.double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(first.test.targets, data.test.labels[at])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mine_for_test:net", "no module 'mine_for_test'"),
        ("mine_for_tests:nett", "Did you mean 'net'"),
        ("mine_for_tests:number", "gives a int"),
        ("mine_for_tests:needy", "asks for width"),
        ("mine_for_tests:broken", "ValueError: no weights today"),
        ("mine_for_tests:leaves", "leaves fails: SystemExit: 0"),
        ("mine_for_tests:hollow", "tensors hold no values"),
        ("mine_for_tests:traced", "gives TorchScript"),
        ("mine_for_tests:decided", "answers in torch.bool"),
        ("mine_for_tests:undefined", "answers with NaN"),
        ("failing_for_tests:net", "ValueError: not today"),
        ("mine_for_tests.py:net", "no module 'mine_for_tests.py'"),
        ("mine for tests:net", "names no model"),
        ("tv:resnet81", "Did you mean 'resnet18'"),
        ("timm:resnet81", "Did you mean 'resnet18'"),
        ("timm:hf-hub:someone/resnet18", "timm has no model"),
        ("hf:nowhere", "nowhere is no folder"),
        ("hf:.", "holds no config.json"),
        ("hf:", "hf: names no folder"),
        ("preresnet10", "not 10. The nearest is"),
        ("prereresnet110", "Did you mean 'preresnet110'"),
        ("./nowhere", "not a run folder"),
    ],
)
def test_words_that_name_nothing(there, word, message):
    with pytest.raises(ResiduumError) as caught:
        opened(word)
    assert message in str(caught.value)
    assert caught.value.exit_code in (2, 4, 5)


@pytest.mark.parametrize(("library", "word"), [("timm", "timm:resnet18"), ("transformers", "hf:x")])
def test_libraries_that_are_not_installed_are_named(tmp_path, monkeypatch, library, word):
    from residuum.subjects import hugging_face, libraries

    def missing(name):
        raise ImportError(f"No module named {name!r}")

    for module in (hugging_face, libraries):
        monkeypatch.setattr(module, "import_module", missing)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=rf"pip install 'residuum\[{library}\]'"):
        origin(word)


# ---- weights ----


def test_weights_are_all_loaded_or_none(there, tmp_path):
    state = opened("mine_for_tests:net", examples=2, initial_seed=3).model.state_dict()
    file = tmp_path / "only" / "weights.safetensors"
    file.parent.mkdir()
    save_file(state, file)
    for where in (file, file.parent):
        found = opened("mine_for_tests:net", examples=2, weights=where)
        assert all(torch.equal(t, state[n]) for n, t in found.model.state_dict().items())
        assert str(file) in found.provenance["weights"]
    renamed = {n.replace("head", "heads"): t for n, t in state.items()}
    save_file(renamed, tmp_path / "renamed.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks head.bias.*Did you mean 'heads.bias'"):
        opened("mine_for_tests:net", weights=tmp_path / "renamed.safetensors")
    with pytest.raises(CheckpointError, match=r"tensor head\.\w+ is"):
        opened("mine_for_tests:many", weights=file)
    with pytest.raises(UsageError, match="initial_seed"):
        opened("mine_for_tests:net", weights=file, initial_seed=1)
    (tmp_path / "weights.pt").write_bytes(b"x")
    with pytest.raises(UsageError, match="no pickle"):
        opened("mine_for_tests:net", weights=tmp_path / "weights.pt")
    save_file(state, file.parent / "second.safetensors")
    with pytest.raises(CheckpointError, match="2 safetensors files"):
        opened("mine_for_tests:net", weights=file.parent)


def test_classes_are_those_of_the_weights_and_must_be_those_of_the_data(there, tmp_path):
    file = tmp_path / "twelve.safetensors"
    model = open_model("mine_for_tests:net", Opening(classes=12)).model
    save_file(model.state_dict(), file)
    with pytest.raises(DataError, match=r"12 classes apart, and the data have 10.*--classes 12"):
        opened("mine_for_tests:net", weights=file)
    found = opened("mine_for_tests:net", weights=file, classes=12, examples=2)
    assert torch.equal(found.model.head.weight, model.head.weight)
    with pytest.raises(DataError, match="4 classes apart, and the data have 10"):
        opened("mine_for_tests:net", classes=4)
    with pytest.raises(DataError, match="12 classes apart"):
        opened("mine_for_tests:many")


# ---- libraries ----


def test_a_model_of_timm_sees_images_as_its_weights_ask():
    pytest.importorskip("timm")
    found = opened("timm:vit_tiny_patch16_224", image_size=32, examples=4)
    data = load("digits")
    at = torch.linspace(0, 897, 4).round().long()
    pixels = data.test.pixels[at].permute(0, 3, 1, 2).float()
    large = F.interpolate(pixels, (32, 32), mode="bicubic", antialias=True, align_corners=False)
    expected = large.round().clamp(0, 255) / 255 * 2 - 1  # mean and deviation of 0.5
    torch.testing.assert_close(found.test.inputs, expected, rtol=1e-5, atol=1e-5)
    assert len(found.view.units) == 24
    assert "nothing was learned" in found.provenance["weights"]


def test_torchvisions_models_are_made_for_a_size():
    pytest.importorskip("torchvision")
    vit, resnet = origin("tv:vit_b_32"), origin("tv:resnet18")
    assert (vit.fixed, vit.size, resnet.fixed, resnet.size) == (True, 224, False, 224)
    for mean, std, *theirs in zip(
        resnet.normaliser.mean, resnet.normaliser.std, *IMAGENET, strict=True
    ):
        assert [float(mean) / 255, float(std) / 255] == pytest.approx(theirs)
    small = open_model("tv:vit_b_32", image_size=64, device="meta")
    assert (small.shape, small.model.image_size, small.weights) == ((3, 64, 64), 64, "")


# ---- folders of transformers ----


def test_a_folder_of_transformers_is_its_own_model(there, language):
    found = opened("hf:gpt", "text.txt", length=TOKENS)
    text = (there / "text.txt").read_bytes()
    rows = len(text) // TOKENS
    tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    tokens = tokens[: rows * TOKENS].view(rows, TOKENS)
    assert torch.equal(found.test.targets, tokens[-(rows // 10) :])
    assert found.test.inputs["input_ids"] is found.test.targets
    last = tokens[: -(rows // 10)]
    assert torch.equal(found.train.targets, last[[0, round((len(last) - 1) / 2), -1]])
    with torch.no_grad():
        ours = found.model(**found.test.inputs).logits
        assert torch.equal(ours, language(input_ids=found.test.targets).logits)
    assert found.provenance["tokens"] == "bytes"
    # a file of weights holds a tensor of two names once
    filled = opened("hf:gpt", "text.txt", length=TOKENS, weights="gpt")
    assert torch.equal(filled.model.lm_head.weight, language.lm_head.weight)


def test_images_for_a_folder_of_transformers(there, vision):
    """Its images are resized to the one size that it takes, its classes found by their names."""
    found = opened("hf:vit", examples=6)
    assert found.test.inputs["pixel_values"].shape == (6, 3, 16, 16)
    labels = load("digits").test.labels[torch.linspace(0, 897, 6).round().long()]
    assert torch.equal(found.test.targets, 9 - labels)
    with pytest.raises(UsageError, match="comes with weights for 10 classes"):
        opened("hf:vit", classes=5)


def test_what_a_folder_must_not_hold(there, language, tmp_path):
    config = (there / "gpt" / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    word = f"hf:{tmp_path}"
    initial = opened(word, "text.txt")
    assert "nothing was learned" in initial.provenance["weights"]
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="is a pickle"):
        opened(word, "text.txt")
    state = load_file(there / "gpt" / "model.safetensors")
    name = "transformer.ln_f.weight"
    save_file(
        {f"{n}x" if n == name else n: t for n, t in state.items()}, tmp_path / "model.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"lacks .*; has besides"):
        opened(word, "text.txt")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="adapters"):
        opened(word, "text.txt")
    (tmp_path / "code.py").write_text("raise SystemExit('ran')")
    own = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    with pytest.raises(UsageError, match=r"config.json cannot be used"):
        opened(word, "text.txt")
    own = json.loads(config) | {"architectures": ["NoSuchModel"]}
    (tmp_path / "config.json").write_text(json.dumps(own))
    with pytest.raises(UsageError, match="has no model NoSuchModel"):
        opened(word, "text.txt")


def test_tokens_are_those_of_the_folders_tokenizer(there, language, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"[UNK]": 0, "is": 1, "the": 2, "square": 3, "of": 4, ".": 5}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    keep(language, tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(tmp_path)
    found = opened(f"hf:{tmp_path}", "text.txt", length=7)
    assert found.test.targets[0].tolist() == [0, 1, 2, 3, 4, 0, 5]


def test_models_and_data_that_do_not_belong_together(there, language, vision, tmp_path):
    library = pytest.importorskip("transformers")
    small = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    masked = library.BertConfig(**small, num_hidden_layers=1, vocab_size=256)
    keep(library.BertForMaskedLM(masked), tmp_path / "masked")
    (tmp_path / "short.txt").write_text("short, shorter than two sequences")
    for message, word, data, asked in (
        ("text.txt is a text file, and hf:vit reads images", "hf:vit", "text.txt", {}),
        ("digits holds images, and hf:gpt reads tokens", "hf:gpt", "digits", {}),
        ("say with --data which text file", "hf:gpt", None, {}),
        ("no such text file", "hf:gpt", "no.txt", {}),
        ("image_size is of images", "hf:gpt", "text.txt", {"image_size": 8}),
        ("length is of tokens", "mine_for_tests:net", None, {"length": 8}),
        ("fewer than two sequences", "hf:gpt", str(tmp_path / "short.txt"), {"length": 32}),
        ("empty.txt: is empty", "hf:gpt", "empty.txt", {}),
        ("tells 12 apart, not 3", "mine_for_tests:many", None, {"classes": 3}),
        ("hf:gpt is made for 32 tokens at most, not 64", "hf:gpt", "text.txt", {"length": 64}),
        ("fewer than the 256 bytes", "mine_for_tests:few", "text.txt", {}),
        ("sees the tokens behind", f"hf:{tmp_path / 'masked'}", "text.txt", {}),
        ("fails on these examples (3x8x8)", "mine_for_tests:Reader", None, {}),
        ("digits has 898 test images, not 899", "mine_for_tests:net", None, {"examples": 899}),
    ):
        said = ""
        try:
            opened(word, data, **asked)
        except ResiduumError as error:
            said = str(error)
        assert message in said


# ---- runs and presets ----


def test_a_run_is_what_it_was_trained_on(there, tmp_path):
    import residuum

    run = residuum.train("preresnet8", epochs=1, output=tmp_path / "run")
    found = opened(str(run.folder), examples=7)
    trained = open_trained(Run.open(run.folder), load("digits"))
    assert torch.equal(found.test.inputs, trained.test(7)[0])
    assert torch.equal(found.train.targets, trained.train(3)[1])
    assert run.outcome.weights.sha256 in found.provenance["weights"]
    preset = opened("preresnet8", weights=run.folder, examples=2)
    state = trained.network.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in preset.model.state_dict().items())
    for asked, message in (
        ({"weights": run.folder}, "its own weights"),
        ({"initial_seed": 1}, "initial_seed"),
        ({"data": "text.txt"}, "is a text file"),
    ):
        with pytest.raises(ResiduumError, match=message):
            opened(str(run.folder), **asked)


# ---- commands ----


def test_discover_maps_a_model_and_proves_it(capsys, there, language):
    code, out, err = call(capsys, "discover", "hf:gpt", "--verify", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (len(found["units"]), found["paths"], found["inputs"]) == (4, "16", "16 tokens")
    attention, mlp = found["units"][:2]
    assert (mlp["name"], mlp["where"]) == ("transformer.h.0.mlp", "transformer.h.0")
    sizes = [sum(p.numel() for p in part.parameters()) for part in (
        language.transformer.h[0].attn, language.transformer.h[0].ln_1,
        language.transformer.h[0].mlp, language.transformer.h[0].ln_2,
    )]  # fmt: skip
    assert attention["removable"] == attention["parameters"] == sum(sizes[:2])
    assert mlp["removable"] == sum(sizes[2:])
    assert found["verification"]["proven"] == 4
    assert not found["verification"]["contradicted"]
    words = call(capsys, "discover", "hf:gpt")[1]
    assert "4 residual units, 16 paths" in words
    assert "weights: without weights" in words
    rows = list(csv.DictReader(call(capsys, "discover", "hf:gpt", "--csv")[1].splitlines()))
    assert [row["shape_in"] for row in rows] == ["16x8"] * 4


def test_a_claim_that_numbers_contradict_is_told_and_fails(capsys, there, monkeypatch):
    words = ["discover", "mine_for_tests:net", "--verify"]
    assert call(capsys, *words)[0] == 0
    found = discovery.Proven(1, 0, (), ("unit 0: no",))
    monkeypatch.setattr(discovery, "_proven", lambda opened, view: found)
    code, out, err = call(capsys, *words)
    assert (code, "CONTRADICTED unit 0: no" in out) == (5, True)
    assert "mine_for_tests:net: numbers contradict what was found: unit 0: no" in err


def test_a_models_code_that_ends_the_program_is_an_error(capsys, there):
    code, _, err = call(capsys, "discover", "mine_for_tests:ends")
    assert (code, err) == (2, "residuum: error: the model's code ends the program (exit 0)\n")


def test_a_graph_of_another_number_of_examples(capsys, there):
    assert call(capsys, "discover", "mine_for_tests:fixed", "--image-size", 8)[0] == 0
    code, _, err = call(capsys, "lesion", "mine_for_tests:fixed", "--data", "digits")
    assert code == 2
    assert "takes no batch of 1" in err
    assert "Export it for any number of examples" in err


def test_a_function_imports_its_neighbours(capsys, there):
    assert call(capsys, "discover", "mine_for_tests:inside")[0] == 0


def test_no_more_tokens_than_a_model_takes(capsys, there, language):
    for command in ("discover", "paths"):
        code, _, err = call(capsys, command, "hf:gpt", "--length", 33)
        assert (code, "hf:gpt is made for 32 tokens at most, not 33" in err) == (2, True)
    most = call(capsys, "discover", "hf:gpt", "--length", 32, "--json")[1]
    assert json.loads(most)["inputs"] == "32 tokens"


def test_discover_numbers_our_own_units_as_lesions_do(capsys):
    found = json.loads(call(capsys, "discover", "preresnet8", "--json")[1])
    assert [unit["name"] for unit in found["units"]] == ["units.0", "units.1", "units.2"]
    assert [unit["shortcut"] for unit in found["units"]][1:] == ["resampled"] * 2
    assert found["verification"] is None
    assert call(capsys, "discover", "preresnet8", "--length", 3)[0] == 2
    said = call(capsys, "discover", "preresnet8", "--initial-seed", 5)
    assert all("initial weights of seed 5: nothing was learned" in text for text in said[1:])


def test_paths_of_any_model(capsys, there, language):
    found = json.loads(call(capsys, "paths", "hf:gpt", "--length", 8, "--json")[1])
    assert found["counts"] == ["1", "4", "6", "4", "1"]
    assert json.loads(call(capsys, "paths", "mine_for_tests:net", "--json")[1])["total"] == "4"
    for arguments in (["mine_for_tests:net", "--shortcut", "B"], ["resnet20", "--length", 3]):
        assert call(capsys, "paths", *arguments)[0] == 2


def test_lesions_of_a_language_model_are_losses(capsys, there, language):
    arguments = ["lesion", "hf:gpt", "--data", "text.txt", "--length", TOKENS]
    code, out, _ = call(capsys, *arguments, "--json", "-q")
    found = json.loads(out)
    tokens = opened("hf:gpt", "text.txt", length=TOKENS).test.targets

    def loss():
        with torch.no_grad():
            answers = language(input_ids=tokens).logits[:, :-1].movedim(-1, 1)
        return float(F.cross_entropy(answers, tokens[:, 1:]))

    assert (code, found["measure"], found["n"], found["lesions"]) == (0, "loss", len(tokens), [])
    assert found["intact"] == pytest.approx(loss(), rel=1e-5)
    hook = language.transformer.h[1].mlp.register_forward_hook(lambda m, x, y: torch.zeros_like(y))
    try:
        without = loss()
    finally:
        hook.remove()
    last = found["losses"][3]
    assert (last["deleted"], last["loss"]) == ([3], pytest.approx(without, rel=1e-5))
    assert last["change"] == pytest.approx(without - found["intact"], abs=1e-6)
    low, high = last["change_interval"]
    assert low < last["change"] < high
    words = call(capsys, *arguments, "--units", 3, "-q")[1]
    assert "loss in nats a token" in words
    assert "without 3" in words
    rows = list(
        csv.DictReader(call(capsys, *arguments, "--units", 3, "--csv", "-q")[1].splitlines())
    )
    assert float(rows[1]["loss"]) == last["loss"]
    drawn = json.loads(call(capsys, *arguments, "--random", 4, "--repeats", 2, "--json", "-q")[1])
    assert drawn["spread"]["4"][0] == pytest.approx(drawn["losses"][0]["loss"])
    code, _, said = call(capsys, *arguments, "--until-decided")
    assert (code, "compares errors" in said) == (2, True)


def test_lesions_of_a_functions_model_are_errors(capsys, there):
    arguments = ["lesion", "mine_for_tests:net", "--examples", 40]
    code, out, _ = call(capsys, *arguments, "--json")
    found = json.loads(out)
    subject = opened("mine_for_tests:net", examples=40)
    _, expected = anatomy.delete_each(subject.view, subject.test)
    assert (code, found["measure"], found["run"]) == (0, "error", "mine_for_tests:net")
    assert [x["error"] for x in found["lesions"]] == [d.error.value for d in expected]
    assert "as mine_for_tests:net gives them" in found["weights"]
    code, _, err = call(capsys, *arguments, "--output", there / "page")
    assert (code, "leave --output out" in err) == (2, True)


def test_similarity_and_its_agreement_with_deletions(capsys, there):
    arguments = ["similarity", "mine_for_tests:net", "--examples", 12]
    code, out, _ = call(capsys, *arguments, "--agreement", "--counts", 1, "--json")
    found = json.loads(out)
    subject = open_subject("mine_for_tests:net", Measuring(examples=12))
    expected = anatomy.redundancy(subject.view, subject.train.inputs)
    assert (code, found["n"], found["tested"]) == (0, 12, 12)
    assert [row["influence"] for row in found["scores"]] == [u.influence.value for u in expected]
    assert np.allclose(found["cka"], anatomy.cka(subject.view, subject.train.inputs))
    names = {each["score"] for each in found["agreement"]}
    assert {"influence", "angle", "ratio", "distance", "response"} == names
    assert {each["count"] for each in found["joint"]} == {1}
    words = call(capsys, *arguments)[1]
    assert "influence" in words
    assert "against deletions" not in words
    assert len(call(capsys, *arguments, "--csv")[1].splitlines()) == 3
    assert call(capsys, *arguments, "--counts", 1)[0] == 2
