"""torchvision's models as tv:NAME, weights exported under its names, and the catalogue's tables."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_cli import call
from torch import nn

import residuum
from residuum.data import load
from residuum.errors import CheckpointError, UsageError
from residuum.presets import build, describe_model, libraries
from residuum.presets.index import listed
from residuum.subjects.trained import open_trained, rebuild
from residuum.training import Run

models = pytest.importorskip("torchvision.models")
QUICK = {"epochs": 1, "batch_size": 449}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A network with a counterpart in torchvision, and torchvision's own."""
    folder = tmp_path_factory.mktemp("runs")
    residuum.train("resnet18", output=folder / "resnet18", **QUICK)
    residuum.train("tv:shufflenet_v2_x0_5", output=folder / "tv", **QUICK)
    residuum.train("resnet8", output=folder / "resnet8", **QUICK)
    return folder


# ---- torchvision's models ----


@pytest.mark.parametrize(
    ("name", "depth", "millions"),
    [
        ("alexnet", 8, 61.1), ("googlenet", 22, 6.6), ("vgg16", 16, 138.4), ("vgg19", 19, 143.7),
        ("resnet50", 50, 25.6), ("densenet121", 121, 8.0), ("regnet_x_400mf", None, 5.5),
        ("vit_b_32", 0, 88.2),
    ],
)  # fmt: skip
def test_what_can_be_counted_of_torchvisions_models(name, depth, millions):
    found = describe_model(f"tv:{name}")
    assert round(found.parameters / 1e6, 1) == millions
    assert depth is None or found.depth == depth
    macs = next(iter(models.get_model_weights(name))).meta["_ops"]  # in 1e9, theirs
    assert found.flops / 2e9 == pytest.approx(macs, rel=0.03)
    assert (found.units, found.published, found.recipe, found.size) == (0, (), "", 224)


def test_info_claims_nothing_of_torchvisions_models(capsys):
    text = call(capsys, "info", "tv:squeezenet1_1")[1]
    names = [line.split("  ")[0] for line in text.splitlines()]
    assert "torchvision.models.squeezenet1_1" in text
    assert not {"units", "paths", "published", "recipe"} & set(names)
    found = json.loads(call(capsys, "info", "tv:squeezenet1_1", "--classes", 10, "--json")[1])
    assert (found["classes"], found["units"], found["polynomial"]) == (10, None, "")
    assert found["parameters"] == 727_626
    names = [e["name"] for e in json.loads(call(capsys, "ls", "tv:vgg1*", "--json")[1])["entries"]]
    assert names == [f"tv:vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")]


def test_their_weights_are_a_function_of_the_seed():
    before = torch.get_rng_state()
    a, b, c = (build("tv:squeezenet1_1", 5, seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["features.0.weight"], c["features.0.weight"])
    with torch.device("meta"):  # widths that are computed with tensors
        assert next(build("tv:regnet_x_400mf", 5, seed=0).parameters()).is_meta


def test_the_longest_way_is_counted_where_it_can_be():
    class Roads(nn.Module):
        def __init__(self):
            super().__init__()
            self.long = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
            self.short, self.never = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.long(x) + self.short(x)

    class Unclear(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    assert libraries.longest_way(Roads()) == 2
    assert libraries.longest_way(Unclear()) is None
    assert libraries.longest_way(nn.MultiheadAttention(4, 1)) is None


def test_torchvisions_models_train_resume_and_evaluate(capsys, runs, tmp_path):
    done = Run.open(runs / "tv")
    assert done.network is not None
    assert done.network.preset == "tv:shufflenet_v2_x0_5"
    assert type(rebuild(done)) is models.ShuffleNetV2
    found = json.loads(call(capsys, "eval", runs / "tv", "--json")[1])
    assert found["error"] == pytest.approx(done.outcome.last.test_error)
    again = residuum.train("tv:shufflenet_v2_x0_5", output=runs / "tv", **QUICK)
    assert again.outcome == done.outcome  # found, not trained again
    shutil.copytree(runs / "tv", tmp_path / "tv")
    for file in ("done.json", "weights.safetensors"):
        (tmp_path / "tv" / file).unlink()
    again = residuum.train("tv:shufflenet_v2_x0_5", output=tmp_path / "tv", **QUICK)
    assert again.outcome.weights.sha256 == done.outcome.weights.sha256  # from its checkpoint
    other = ["--seed", 1, "--output", runs / "tv"]
    code, _, err = call(capsys, "train", "tv:shufflenet_v2_x0_5", *other)
    assert (code, "holds a run of something else" in err) == (2, True)


def test_units_of_torchvisions_models_are_found(capsys, tmp_path):
    found = json.loads(call(capsys, "paths", "tv:resnet18", "--delete", 1, "--json")[1])
    assert (found["units"], found["total"], found["counts"][1]) == (8, "256", "8")
    run = tmp_path / "resnet"
    residuum.train("tv:resnet18", output=run, **QUICK)
    lesions = json.loads(call(capsys, "lesion", run, "--units", 5, "--json")[1])
    network = rebuild(Run.open(run))
    for parameter in network.layer3[1].bn2.parameters():  # unit 5's branch, by hand
        nn.init.zeros_(parameter)
    subject = open_trained(Run.open(run), load("digits"))
    images, labels = subject.test()
    with torch.no_grad():
        wrong = (network(images).argmax(1) != labels).float().mean().item()
    assert lesions["lesions"][0]["error"] == pytest.approx(wrong)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("no residual units", ["lesion", "tv"]),
        ("no residual units", ["paths", "tv:alexnet"]),
        ("no option 'shortcut'", ["paths", "tv:resnet18", "--shortcut", "B"]),
        ("leave --output out", ["lesion", "tv", "--output", "page"]),
        ("Did you mean 'alexnet'", ["info", "tv:alexnt"]),
        ("Did you mean 'alexnet'", ["train", "tv:alexnt"]),
        ("no option 'shortcut'", ["info", "tv:alexnet", "--shortcut", "B"]),
        ("no option 'shortcut'", ["train", "tv:alexnet", "--shortcut", "B"]),
        ("images of 8x8 pixels do not pass its layers", ["train", "tv:alexnet"]),
        ("images of 8x8 pixels do not pass its layers", ["train", "tv:vit_b_32"]),
        ("classes: must be at least 2", ["info", "tv:alexnet", "--classes", 1]),
        ("torchvision's names already", ["export", "tv", "--as", "timm", "--output", "x"]),
    ],
)
def test_what_is_not_there_is_refused(capsys, runs, tmp_path, monkeypatch, message, arguments):
    monkeypatch.chdir(tmp_path)
    words = {"tv": runs / "tv", "x": tmp_path / "x.safetensors"}
    code, out, err = call(capsys, *(words.get(a, a) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_without_torchvision_they_are_refused(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(libraries, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'residuum\[zoo\]'"):
        residuum.info("tv:alexnet")
    assert libraries.counterpart("timm", "resnet18", 5) == ("timm is not installed", None)


# ---- export ----


@pytest.mark.row("E6", "E7")
def test_an_exported_run_is_the_librarys_own_model(capsys, runs, tmp_path):
    file = tmp_path / "new" / "theirs.safetensors"
    arguments = ["export", runs / "resnet18", "--as", "torchvision", "--output", file]
    found = json.loads(call(capsys, *arguments, "--json")[1])
    assert found["counterpart"] == "torchvision.models.resnet18"
    assert found["difference"] < 1e-5
    theirs = models.resnet18(num_classes=10)
    theirs.load_state_dict(load_file(file))
    ours = rebuild(Run.open(runs / "resnet18"))
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(x), ours(x), rtol=1e-4, atol=1e-4)
    code, _, err = call(capsys, *arguments)
    assert (code, "is there already" in err) == (2, True)


def test_what_no_library_builds_is_exported_unchecked_and_says_so(capsys, runs, tmp_path):
    file = tmp_path / "x.safetensors"
    for library, why in (
        ("torchvision", "torchvision builds no model 'resnet8'"),
        ("fb", "nothing here builds models of fb"),
    ):
        text = call(capsys, "export", runs / "resnet8", "--as", library, "--output", file)[1]
        assert f"not checked: {why}" in text
        network = residuum.preset("resnet8", seed=1)
        assert residuum.load_weights(network, file) == library
        file.unlink()
    for more, code, message in (
        (["--model", "resnet18"], 4, "torchvision.models.resnet18 is another network"),
        (["--model", "resnet19"], 2, "torchvision builds no model 'resnet19'"),
    ):
        command = ["export", runs / "resnet8", "--as", "torchvision", "--output", file, *more]
        found, out, err = call(capsys, *command)
        assert (found, out) == (code, "")
        assert message in err
    assert not file.exists()


@pytest.mark.row("E2")
def test_other_logits_are_not_exported(runs, tmp_path, monkeypatch):
    """The same names and shapes, another function: the stride of a bottleneck, say."""
    real = libraries.counterpart

    def altered(*arguments):
        name, theirs = real(*arguments)
        theirs.layer2[0].relu = nn.Tanh()
        return name, theirs

    monkeypatch.setattr(libraries, "counterpart", altered)
    file = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match=r"logits differ .* Nothing was written"):
        residuum.export(runs / "resnet18", as_="torchvision", output=file)
    with pytest.raises(UsageError, match=r"NAME\.safetensors"):
        residuum.export(runs / "resnet18", as_="torchvision", output=tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []


# ---- the catalogue's tables ----


def test_ls_has_columns_that_fit(capsys):
    lines = call(capsys, "ls")[1].splitlines()
    assert max(map(len, lines)) <= 100
    (row,) = [line for line in lines if line.startswith("preresnet164 ")]
    assert re.split("  +", row) == [
        "preresnet164", "preresnet", "164", "1.70 M", "CIFAR-10 5.46; CIFAR-100 24.33",
    ]  # fmt: skip
    assert any(re.search(r"^plain110 .* CIFAR-10 fail$", line) for line in lines)
    assert any(line.startswith("veit2016") for line in lines)


def test_ls_of_a_family(capsys):
    found = json.loads(call(capsys, "ls", "--family", "plain", "--json")[1])["entries"]
    assert {e["family"] for e in found} == {"plain"}
    assert [e["name"] for e in found] == [n for n, p in listed().items() if p.family == "plain"]
    (one,) = residuum.ls("plain110", family="plain")
    assert (one.depth, one.parameters) == (110, 1_727_962)
    assert one.published[0].error == "fail"
    assert call(capsys, "ls", "--family", "plane")[0] == 2
    assert call(capsys, "ls", "--markdown", "--json")[0] == 2


def test_info_tells_what_papers_say(capsys):
    text = call(capsys, "info", "resnet110")[1]
    assert max(map(len, text.splitlines())) <= 100
    flat = re.sub(r"\s+", " ", text)
    for words in (
        "family resnet", "source He et al. 2015", "parameters 1 727 962 with 10 classes",
        "252 887 680 MACs", "units 54", "(1+t)^54: 2^54 (about 1.80e16) paths, mean length 27",
        "6.43 % (best of 5; He et al. 2015", "(mean of 5; He et al. 2015, Deep Residual Learning, "
        "table 6; +- 0.16)", "recipe he-cifar-warm: 64 000 iterations; He et al. 2015",
    ):  # fmt: skip
        assert words in flat
    assert "note quoted elsewhere with 2.5M" in re.sub(
        r"\s+", " ", call(capsys, "info", "resnet164")[1]
    )


def test_the_zoo_is_true(capsys):
    page = Path(__file__).parents[1] / "docs" / "zoo.md"
    assert page.read_text() == call(capsys, "ls", "--markdown")[1], "run `make zoo`"
    rows = re.findall(r"^\| `([^`]+)` \|", page.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(listed())
