"""Rows M: what is asked for, in a file, on the command line or in Python, and cannot be."""

import json
import os
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from conftest import reseal
from test_cli import call
from torch import nn

import residuum
from residuum import progress
from residuum.data import load
from residuum.errors import ResiduumError, ResourceError, UsageError
from residuum.experiments.trial import advise
from residuum.networks.sizes import require_size
from residuum.parts.arrangements import ORIGINAL
from residuum.parts.heads import linear_head
from residuum.presets import catalogue, preset
from residuum.results import Claim, Figure, Result, Series, Study, Table
from residuum.studies import Request, scales
from residuum.studies.study import PLAIN, RESIDUAL
from residuum.training import Machine, Run, find_recipe, recipe_from_file, train
from residuum.units import ResidualNetwork, ResidualUnit

STUDY = Path(__file__).parents[2] / "results" / "digits-laptop" / "study.json"
RECIPE = find_recipe("digits").shortened(1)


def error(capsys, *arguments) -> tuple[int, str]:
    """Exit code and message of a command that says nothing else."""
    code, out, err = call(capsys, *arguments)
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
    return code, err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return residuum.train("preresnet8", epochs=1, output=folder).folder


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("train", "preresnet8", "--output"), "output"),
        (("study", "veit2016", "--output"), "output"),
        (("study", "veit2016", "--store"), "store"),
        (("lesion", "nowhere", "--output"), "output"),
        (("report",), "folder"),
        (("runs",), "folder"),
        (("eval",), "run"),
    ],
)
def test_no_text_is_no_path(capsys, arguments, name):
    """A shell's unset variable does not stand for the default, or for the folder one is in."""
    code, said = error(capsys, *arguments, "")
    assert code == 2
    assert f"{name}: expected str of length >= 1" in said


@pytest.mark.parametrize("flags", [("--seeds", 10**6), ("--seed", 2**63 - 1, "--seeds", 2)])
def test_seeds_that_no_study_has(capsys, flags):
    code, said = error(capsys, "study", "veit2016", "--plan", *flags)
    assert code == 2
    assert "must be at most" in said


def test_draws_that_no_memory_holds(capsys, run):
    code, said = error(capsys, "lesion", run, "--random", 1, "--repeats", 10**8)
    assert code == 2
    assert "repeats: must be at most 100000" in said


# ---- descriptions ----

BASE = 'name = "mine"\nlength = 3\n'
FILES = {
    "yaml": ("!!python/object/apply:os.mkdir [marker]\n", "not valid TOML"),
    "anchors": ("a: &a [x, x]\nb: [*a, *a]\n", "not valid TOML"),
    "key twice": (BASE + "length = 4\n", "not valid TOML"),
    "table twice": (BASE + '[optimiser]\nkind = "sgd"\n[optimiser]\n', "not valid TOML"),
    "control character": (BASE + 'source = "a\x00b"\n', "not valid TOML"),
    "ten megabytes": (BASE + f'source = "{"x" * 10_000_000}"\n', "bytes are too many"),
    "deep": (BASE + "source = " + "[" * 50_000, "not valid TOML"),
    "not UTF-8": (BASE + 'source = "\udcff"', "not valid TOML"),
    "huge number": (BASE + f"seed = {'9' * 5000}", "not valid TOML"),
    "import path": (BASE + '[optimiser]\nkind = "os.system"\n', "unknown word 'os.system'"),
    "target": (BASE + '[optimiser]\nkind = "sgd"\n_target_ = "os.system"\n', "'_target_'"),
    "typo": (BASE + "lenght = 3\n", "Did you mean 'length'"),
    "word": (BASE + 'normalisation = "chanel"\n', "Did you mean 'channel'"),
    "clock": (BASE + 'clock = "epoch"\n', "Did you mean 'epochs'"),
    "decay": (BASE + 'decay = "weight"\n', "Did you mean 'weights'"),
}


@pytest.mark.row("M1", "M2", "M3")
@pytest.mark.parametrize("kind", FILES)
def test_a_recipe_that_is_none_is_one_message(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    text, message = FILES[kind]
    Path("mine.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=message):
        recipe_from_file("mine.toml")
    assert os.listdir() == ["mine.toml"]


@pytest.mark.row("M2", "M3")
@pytest.mark.parametrize("name", ["os.system", "../resnet20", "resnet56.py", "resnet-56", ""])
def test_names_are_of_a_closed_list(name):
    with pytest.raises(UsageError, match="unknown preset"):
        preset(name)
    with pytest.raises(UsageError, match="unknown recipe"):
        find_recipe(name)
    with pytest.raises(UsageError, match="unknown study"):
        Request(name)


# ---- numbers ----

NUMBERS = [
    ("at least 1, not 0", ["train", "resnet20", "--epochs", 0]),
    ("'1.5' is not a whole number", ["train", "resnet20", "--epochs", "1.5"]),
    ("'2.0' is not a whole number", ["train", "resnet20", "--epochs", "2.0"]),
    ("epochs: must be at least 1", ["study", "veit2016", "--epochs", 0]),
    ("depth: must be at least 1", ["study", "veit2016", "--depth", 0]),
    ("too shallow: figure 5b", ["study", "veit2016", "--depth", 8]),
    ("6n+2", ["study", "veit2016", "--depth", 21]),
    ("classes: must be at most", ["info", "resnet20", "--classes", 10**20]),
    ("classes: must be at least 2", ["info", "resnet20", "--classes", 1]),
    ("size: must be at most", ["info", "vgg15", "--size", 2**30]),
    ("size: must be at least 1", ["info", "vgg15", "--size", -8]),
    ("--seed", ["train", "resnet20", "--seed", "1e23"]),
    ("seed: must be at least 0", ["train", "resnet20", "--seed", -1]),
    ("seed: must be at most", ["train", "resnet20", "--seed", 2**63]),
    ("larger than the training part of digits", ["train", "preresnet8", "--batch-size", 5000]),
    ("batch_size: must be at least 1", ["train", "resnet20", "--batch-size", 0]),
    ("learning_rate: must be at least 0", ["train", "resnet20", "--learning-rate", "nan"]),
    ("learning_rate: must be at most", ["train", "resnet20", "--learning-rate", "inf"]),
    ("learning_rate: must be at least 0", ["train", "resnet20", "--learning-rate", -1]),
    ("save_seconds: must be", ["train", "resnet20", "--save-seconds", "nan"]),
    ("workers: must be at least 1", ["study", "veit2016", "--workers", -1]),
    ("delete: must be at least 0", ["paths", "resnet20", "--delete", -1]),
    ("'2.5' is not a whole number", ["paths", "resnet20", "--between", 1, 2.5]),
    ("do not pass its", ["train", "vgg15", "--size", 32]),
]


@pytest.mark.row("M4", "M5")
@pytest.mark.parametrize(
    ("words", "arguments"), NUMBERS, ids=[" ".join(map(str, n[1])) for n in NUMBERS]
)
def test_numbers_that_cannot_be_are_told_before_any_work(
    capsys, tmp_path, monkeypatch, words, arguments
):
    monkeypatch.chdir(tmp_path)
    code, message = error(capsys, *arguments)
    assert code == 2
    assert words in message
    assert os.listdir() == []


@pytest.mark.row("M4")
def test_a_network_for_larger_images_is_advised_against(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(progress, "say", said.append)
    digits = load("digits")
    for name in ("preresnet56", "preresnet110", "preresnet164"):
        advise(name, preset(name, 10), digits)
    assert said == []
    deep = preset("preresnet20", 10)
    monkeypatch.setattr("residuum.experiments.trial.MANY", 8)
    advise("preresnet20", deep, digits)
    advise("resnet18", deep, digits)
    assert "9 units, far more" in said[0]
    assert "made for images of 224 pixels" in said[1]


@pytest.mark.row("M5")
def test_roads_that_do_not_meet_name_the_unit_and_both_shapes():
    units = [ResidualUnit(nn.Conv2d(8, c, 3, padding=1)) for c in (8, 16)]
    head = linear_head(16, 10, ORIGINAL)
    network = ResidualNetwork(nn.Conv2d(3, 8, 3, padding=1), units, head)
    with pytest.raises(
        UsageError, match=r"mine: units\.1: the shortcut gives 8x8x8, the branch 16x8x8"
    ):
        require_size(network, (8, 8), "mine")


@pytest.mark.row("M6")
def test_weights_larger_than_memory_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(catalogue, "memory_bytes", lambda: 10**9)
    with pytest.raises(ResourceError, match=r"\d+ GB of weights, but this machine has 1"):
        preset("resnet20", classes=2**31 - 1)
    assert preset("resnet20")


@pytest.mark.row("M7")
def test_output_that_cannot_be_written_or_is_anothers_stays(capsys, tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("precious")
    for place, words in (
        (tmp_path / "file", "a file stands where"),
        (tmp_path / "file" / "run", "a file stands where"),
        (tmp_path / "foreign", "not empty and not a run"),
        (Path("/proc/run"), "cannot be made"),
    ):
        command = ["train", "preresnet8", "--epochs", 1, "--output", place]
        code, message = error(capsys, *command, "--quiet")
        assert (code, words in message) == (2, True), message
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.suffix == ".txt"]
    assert [*texts, (tmp_path / "file").read_text()] == ["precious", "precious"]


@pytest.mark.row("M8")
@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("no unit 3: this network has units 0 to 2", ["--units", 3]),
        ("units[0]: must be at least 0", ["--units", -1]),
        ("named twice", ["--units", 1, "--units", 1]),
        ("cannot delete 4 of 3", ["--random", 4]),
        ("random[0]: must be at least 1", ["--random", 0]),
        ("given twice", ["--random", 1, "--random", 1]),
        ("repeats: must be at least 1", ["--random", 1, "--repeats", 0]),
        ("not both", ["--units", 1, "--random", 1]),
        ("repeats is of random sets", ["--repeats", 3]),
        ("digits has 898 test images, not 899", ["--examples", 899]),
        ("examples: must be at least 1", ["--examples", 0]),
    ],
)
def test_lesions_of_what_is_not_there(capsys, run, words, arguments):
    code, message = error(capsys, "lesion", run, *arguments)
    assert code == 2
    assert words in message


@pytest.mark.row("M8")
def test_a_lesion_of_no_unit_is_refused(run):
    for asked in ({"units": ()}, {"random": ()}):
        with pytest.raises(UsageError, match="length >= 1"):
            residuum.lesion(run, **asked)


# ---- Python ----

WRONG = {
    "preset": lambda run: preset(5),
    "seed": lambda run: preset("resnet20", seed=1.5),
    "classes": lambda run: preset("resnet20", "10"),
    "unravel": lambda run: residuum.unravel(nn.Linear(2, 2)),
    "open": lambda run: Run.open(5),
    "train": lambda run: residuum.train(5),
    "train, whole request": lambda run: residuum.train("resnet20", training="fast"),
    "train, class for a value": lambda run: residuum.train("resnet20", machine=Machine),
    "train, field": lambda run: residuum.train("resnet20", epochs="2"),
    "train, no preset": lambda run: residuum.train(),
    "train, folder": lambda run: residuum.train("resnet20", output=5),
    "info": lambda run: residuum.info("resnet20", classes="10"),
    "ls": lambda run: residuum.ls(5),
    "runs": lambda run: residuum.runs(None),
    "diff": lambda run: residuum.diff(run, 5),
    "report": lambda run: residuum.report(5),
    "paths": lambda run: residuum.paths("resnet20", between=3),
    "paths, three": lambda run: residuum.paths("resnet20", between=(1, 2, 3)),
    "lesion": lambda run: residuum.lesion(run, units=3),
    "evaluate": lambda run: residuum.evaluate([run]),
    "study": lambda run: residuum.study("veit2016", workers=True),
    "module": lambda run: train("resnet20", None, RECIPE, run),
    "data": lambda run: train(nn.Linear(2, 2), "digits", RECIPE, run),
    "recipe": lambda run: train(nn.Linear(2, 2), load("digits"), "digits", run),
    "machine": lambda run: train(nn.Linear(2, 2), load("digits"), RECIPE, run, "cpu"),
}


@pytest.mark.row("M4")
@pytest.mark.parametrize("name", WRONG)
def test_wrong_types_are_told_what_is_taken(run, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResiduumError, match=r"expected|such as|cannot|missing|takes|no study"):
        WRONG[name](run)
    assert os.listdir() == []


def test_paths_are_taken_where_text_is(run):
    assert residuum.evaluate(Path(run)) == residuum.evaluate(str(run))


# ---- studies ----


def figure(**changes) -> Figure:
    known = {"name": "a", "x": (1, 2), "y": (1.0, None)} | changes
    return Figure("x", "y", (Series(**known),))


def result(item: str, **changes) -> Result:
    return Result(item, "title", "found", Claim("s", "p", "o", "exact"), **changes)


def study(*results: Result, name: str = "mine") -> Study:
    return Study(name, "title", "digits", "smoke", (), (), results)


def swapped(old: str, new: str, text: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("name", ["../../ESCAPED", "a/b", "/tmp/x", "..", "", "a\0b", "a\n"])
def test_names_of_studies_and_items_are_names_of_files(tmp_path, name):
    with pytest.raises(UsageError, match="study: name: must be like"):
        study(name=name)
    with pytest.raises(UsageError, match="study: item: must be like"):
        study(result(name))
    folder = tmp_path / "deep" / "study"
    folder.mkdir(parents=True)
    for old in ('"name": "veit2016"', '"item": "figure 3"'):
        shutil.copy(STUDY, folder)
        new = f"{old.split()[0]} {json.dumps(name)}"
        reseal(folder / "study.json", partial(swapped, old, new))
        with pytest.raises(UsageError, match="must be like"):
            residuum.report(folder)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["study.json"]


def test_numbers_and_lengths_that_no_study_has(tmp_path):
    for change, words in (
        (('"classes": 10', '"classes": -3'), "classes: must be at least 1"),
        (('"number": 0', '"number": -1'), "number: must be at least 0"),
        (('"name": "veit2016"', f'"name": "{"x" * 101}"'), "length <= 100"),
    ):
        shutil.copy(STUDY, tmp_path)
        reseal(tmp_path / "study.json", partial(swapped, *change))
        with pytest.raises(UsageError, match=words):
            Study.load(tmp_path / "study.json")


def test_two_items_of_one_name_are_refused():
    study(result("figure 3"), result("figure 4"))
    for second in ("figure 3", "Figure 3", "figure-3", "figure (3)"):
        with pytest.raises(UsageError, match="two items"):
            study(result("figure 3"), result(second))


@pytest.mark.parametrize(
    "make",
    [
        lambda: figure(y=(1.0,)),
        lambda: figure(low=(0.0,), high=(2.0, 2.0)),
        lambda: figure(low=(0.0,), high=(2.0,)),
        lambda: figure(low=(0.0, 0.0)),
        lambda: figure(labels=("one",)),
        lambda: Table(("a", "b"), ((1,),)),
    ],
)
def test_lists_of_unequal_length_are_refused(make):
    with pytest.raises(UsageError, match=r"length|points"):
        make()


@pytest.mark.row("W9")
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"y": [', '"y": [0, '),
        lambda text: text.replace('"labels": [\n', '"labels": ["x",\n'),
        lambda text: text.replace('"findings": [', '"findings": "x", "y": ['),
        lambda text: text.replace('"results": [', '"results": null, "x": ['),
        lambda text: text.replace('"units": [', '"units": ["x", ', 1),
        lambda text: text.replace(" to ", " by "),
        lambda text: text.replace('"style": "points"', '"style": "dots"', 1),
        lambda text: text.replace('"x": [', '"x": [NaN, ', 1),
        lambda text: text.replace('"x": [', '"x": [1e999, ', 1),
    ],
)
def test_a_study_from_a_stranger_is_one_message_and_draws_nothing(capsys, tmp_path, change):
    (tmp_path / "study.json").write_text(text := STUDY.read_text())
    assert change(text) != text
    if "NaN" in change(text) or "1e999" in change(text):
        (tmp_path / "study.json").write_text(change(text))
    else:
        reseal(tmp_path / "study.json", change)
    code, message = error(capsys, "report", tmp_path)
    assert code == 2
    assert "study.json: " in message
    assert os.listdir(tmp_path) == ["study.json"]


def test_a_flipped_bit_of_a_study_is_noticed(tmp_path):
    whole = STUDY.read_bytes()
    for position in range(0, len(whole), len(whole) // 40):
        changed = whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
        (tmp_path / "study.json").write_bytes(changed)
        with suppress(ValueError):  # the last digit of a float may not reach its bits
            if json.loads(changed) == json.loads(whole):
                continue
        with pytest.raises(UsageError):
            Study.load(tmp_path / "study.json")


def test_zero_epochs_are_not_the_scales_own():
    digits = load("digits")
    for wrong in ({"epochs": 0}, {"depth": 0}):
        asked = {"epochs": None, "depth": None} | wrong
        with pytest.raises(UsageError):
            scales.veit_trials(scales.SCALES["smoke"], digits, asked["epochs"], 0, asked["depth"])
    made = scales.veit_trials(scales.SCALES["smoke"], digits, 3, 0, 14)
    assert [made[role].recipe.length for role in (RESIDUAL, PLAIN)] == [3, 3]
