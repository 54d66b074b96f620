"""A run's identity is its meaning: prose does not count, formulas and code do."""

import contextlib
import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import reseal
from golden.write_recipes import FILE, recipes
from torch import nn

from benchmarks.kill_resume import small_data
from residuum.errors import CheckpointError, UsageError
from residuum.experiments.trial import Trial
from residuum.networks.fingerprint import describe, differences, digest
from residuum.parts.shortcuts import Pad
from residuum.presets import catalogue, preset
from residuum.presets.index import listed
from residuum.storage import seal
from residuum.subjects.trained import rebuild
from residuum.training import Machine, Run, find_recipe, train
from residuum.training.optimisers import SGD
from residuum.training.schedules import Steps

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)
RECIPE = replace(find_recipe("digits").shortened(1), batch_size=100)


@pytest.fixture(scope="module")
def data():
    return small_data()


# ---- golden ----


def test_golden_identities():
    """Fails where finished runs would be orphaned: see tests/golden/write_recipes.py.

    The structures of all presets are golden in the index (tests/laws/test_presets.py).
    """
    assert recipes() == json.loads(FILE.read_text())
    structures = {name: row.structure for name, row in listed().items()}
    same = structures.pop("veit-preresnet110")  # one network, two trainings
    assert same == structures["preresnet110"]
    assert len(set(structures.values())) == len(structures)


# ---- structure ----


def small(**changes) -> nn.Sequential:
    parts = {
        "conv": nn.Conv2d(3, 4, 3, padding=1, bias=False),
        "norm": nn.BatchNorm2d(4),
        "relu": nn.ReLU(),
        "pool": nn.MaxPool2d(2),
        "drop": nn.Dropout(0.2),
        "flat": nn.Flatten(),
        "linear": nn.Linear(64, 10),
    }
    network = nn.Sequential()
    for name, part in (parts | changes).items():
        network.add_module(name, part)
    return network


def test_what_does_not_count():
    first = digest(small())
    assert digest(small(relu=nn.ReLU(inplace=True))) == first
    assert digest(small(relu=nn.ELU(inplace=True))) == digest(small(relu=nn.ELU()))
    assert digest(small().eval()) == first
    assert digest(small().double()) != first  # it computes other numbers
    assert digest(small().to(memory_format=torch.channels_last)) == first
    assert digest(small().requires_grad_(True)) == first
    with torch.device("meta"):
        assert digest(small()) == first
    assert digest(preset("resnet20", seed=0)) == digest(preset("resnet20", seed=1))


COUNTS = {
    "stride": {"conv": nn.Conv2d(3, 4, 3, 2, padding=1, bias=False)},
    "dilation": {"conv": nn.Conv2d(3, 4, 3, padding=2, dilation=2, bias=False)},
    "padding mode": {"conv": nn.Conv2d(3, 4, 3, padding=1, bias=False, padding_mode="reflect")},
    "bias": {"conv": nn.Conv2d(3, 4, 3, padding=1)},
    "eps": {"norm": nn.BatchNorm2d(4, eps=1e-3)},
    "momentum": {"norm": nn.BatchNorm2d(4, momentum=0.2)},
    "statistics": {"norm": nn.BatchNorm2d(4, track_running_stats=False)},
    "kind of pool": {"pool": nn.AvgPool2d(2)},
    "size of pool": {"pool": nn.MaxPool2d(2, stride=1)},
    "dropout": {"drop": nn.Dropout(0.3)},
    "activation": {"relu": nn.ELU()},
    "a setting of an activation": {"relu": nn.ELU(0.5)},
    "another setting": {"relu": nn.LeakyReLU(0.2)},
    "classes": {"linear": nn.Linear(64, 9)},
    "one part more": {"more": nn.Identity()},
    "frozen": {"linear": nn.Linear(64, 10).requires_grad_(False)},
}


def test_what_counts():
    found = {name: digest(small(**changes)) for name, changes in COUNTS.items()}
    found["nothing"] = digest(small())
    assert len(set(found.values())) == len(found)


def test_sharing_and_hooks_count():
    twice, shared = nn.Linear(4, 4), nn.Linear(4, 4)
    assert digest(nn.Sequential(twice, nn.Linear(4, 4))) != digest(nn.Sequential(shared, shared))
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    apart = digest(tied)
    tied[1].weight = tied[0].weight
    assert digest(tied) != apart
    hooked = nn.Sequential(nn.Linear(4, 4))
    apart = digest(hooked)
    hooked[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    assert digest(hooked) != apart


def test_a_raised_version_and_the_initialisation_count(monkeypatch):
    first = digest(preset("resnet20"))
    network = preset("resnet20")
    network.__dict__["initialisation"] = "he normal, fan out"
    assert digest(network) != first
    monkeypatch.setattr(Pad, "version", 2, raising=False)
    assert digest(preset("resnet20")) != first
    assert digest(preset("plain20")) != digest(preset("resnet20"))


def test_settings_of_ours_count_and_defaults_do_not():
    assert digest(Pad(4, 8, 2)) != digest(Pad(4, 8, 1))
    assert "Pad(extra=4, stride=2)" in describe(Pad(4, 8, 2))[1]


def own(source: str, **names) -> nn.Module:
    """A network of one's own, from source that no file holds."""
    space = {"nn": nn, "torch": torch} | names
    code = compile(source, "<string>", "exec")
    exec(code, space)  # noqa: S102
    return space["Net"]()


SOURCE = """
class Net(nn.Module):
    scale = 1
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(192, 10)
    def forward(self, x):
        return self.linear(x.flatten(1))
"""


def test_code_of_ones_own_counts(tmp_path, monkeypatch):
    changed = (("x.flatten(1)", "2 * x.flatten(1)"), ("scale = 1", "scale = 2"))
    assert digest(own(SOURCE)) == digest(own(SOURCE))
    for old, new in changed:
        assert digest(own(SOURCE)) != digest(own(SOURCE.replace(old, new)))
    (tmp_path / "nets_a.py").write_text("from torch import nn\n" + SOURCE)
    (tmp_path / "nets_b.py").write_text("from torch import nn\n" + SOURCE.replace(*changed[0]))
    (tmp_path / "nets_c.py").write_text("from torch import nn\n\n\n" + SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    import nets_a
    import nets_b
    import nets_c

    assert digest(nets_a.Net()) == digest(nets_c.Net())  # another module, another line
    assert digest(nets_a.Net()) != digest(nets_b.Net())
    for name in ("nets_a", "nets_b", "nets_c"):
        del sys.modules[name]


class Applied(nn.Module):
    """A part whose formula is handed in."""

    def __init__(self, function, settings=()):
        super().__init__()
        self.function, self.settings = function, settings

    def forward(self, x):
        return self.function(x)


def shifted(by):
    def shift(x, by=by):
        return x + by

    return shift


def scaled(by):
    return lambda x: by * x


def test_callables_and_what_they_hold_count():
    def double(x):
        return 2 * x

    def power(x, n=2):
        return x**n

    kinds = [
        Applied(double),
        Applied(power),
        Applied(partial(power, n=3)),
        Applied(scaled(2)),
        Applied(scaled(3)),
        Applied(shifted(2)),
        Applied(shifted(3)),
        Applied(torch.relu),
        Applied(torch.tanh),
        Applied(nn.functional.relu),
        Applied(nn.ReLU),
        Applied(nn.Linear(2, 2).forward),
        Applied(double, ({"a": 1},)),
        Applied(double, ({"a": 2},)),
        Applied(double, (Steps((1,)), SGD())),
        Applied(lambda x: x + 1), Applied(lambda x: x + 2),
    ]  # fmt: skip
    assert len({digest(kind) for kind in kinds}) == len(kinds)
    assert digest(Applied(scaled(2))) == digest(Applied(scaled(2)))


def test_rings_of_references_end():
    one, two = Applied(torch.relu), Applied(torch.relu)
    one.settings, two.settings = [two], [one]
    assert digest(one) == digest(one)


def test_differences_are_lines():
    text = differences(describe(small()), describe(small(drop=nn.Dropout(0.5))))
    assert text == "  -drop: Dropout(p=0.2)\n  +drop: Dropout(p=0.5)"
    more = differences(describe(small()), describe(preset("resnet20")))
    assert more.splitlines()[-1].startswith("  and ")


# ---- runs ----


def test_prose_finds_the_same_run(data, tmp_path):
    trial = Trial("preresnet8", RECIPE)
    folder = trial.folder(tmp_path, data, CPU)
    done = trial.train(data, folder, CPU)
    again = replace(trial, recipe=replace(RECIPE, source="another citation", name="another name"))
    assert again.folder(tmp_path, data, CPU) == folder
    assert again.train(data, folder, CPU).outcome == done.outcome
    others = [
        replace(trial, recipe=replace(RECIPE, weight_decay=1e-3)),
        replace(trial, recipe=replace(RECIPE, optimiser=SGD(0.8, nesterov=True))),
        replace(trial, recipe=replace(RECIPE, schedule=Steps((1,), 0.2))),
        replace(trial, recipe=replace(RECIPE, seed=1)),
        replace(trial, options={"shortcut": "B"}),
        replace(trial, preset="resnet8"),
    ]
    folders = {t.folder(tmp_path, data, CPU) for t in others}
    folders |= {trial.folder(tmp_path, data, replace(CPU, precision="bfloat16"))}
    assert len(folders - {folder}) == 7


def test_a_changed_builder_is_not_taken_for_finished(data, tmp_path, monkeypatch):
    trial = Trial("preresnet8", RECIPE)
    folder = trial.folder(tmp_path, data, CPU)
    run = trial.train(data, folder, CPU)
    rebuild(run)
    find = catalogue.find

    def mended(name):
        row = find(name)

        def build(*arguments):
            network = row.network(*arguments)
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 1e-3
            return network

        return replace(row, network=build)

    monkeypatch.setattr(catalogue, "find", mended)
    with pytest.raises(
        CheckpointError, match=r"another network(.|\n)*-.*eps=1e-05(.|\n)*\+.*eps=0.001"
    ):
        rebuild(run)
    assert trial.folder(tmp_path, data, CPU) != folder
    with pytest.raises(UsageError, match=r"something else(.|\n)*eps=0.001"):
        trial.train(data, folder, CPU)


class Held(nn.Module):
    """A part that holds a value outside of its parameters."""

    def __init__(self, **held):
        super().__init__()
        self.__dict__.update(held)


@pytest.mark.parametrize("name", ["k", "_k"])
@pytest.mark.parametrize("kind", [float, partial(torch.full, (3,)), partial(np.full, 3)])
def test_values_held_beside_parameters_count(name, kind):
    one, same, other = (digest(Held(**{name: kind(v)})) for v in (1.0, 1.0, 2.0))
    assert one == same != other


def test_two_networks_of_ones_own_are_two_runs(data, tmp_path):
    train(own(SOURCE), data, RECIPE, tmp_path, CPU)
    train(own(SOURCE), data, RECIPE, tmp_path, CPU)
    other = SOURCE.replace("x.flatten(1)", "2 * x.flatten(1)")
    with pytest.raises(UsageError, match=r"something else(.|\n)*another network(.|\n)*Net code"):
        train(own(other), data, RECIPE, tmp_path, CPU)
    with pytest.raises(UsageError, match="something else"):
        train(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), data, RECIPE, tmp_path, CPU)


def test_an_old_folder_is_refused_with_one_message(data, tmp_path):
    (tmp_path / "run.json").write_text('{"schema": 1, "network": {"preset": "resnet20"}}')
    for call in (Run.open, lambda folder: train(small(), data, RECIPE, folder, CPU)):
        with pytest.raises(
            CheckpointError, match=r"schema 1; this version reads 3\. Train it again"
        ):
            call(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"length": 1', '"length": "1"', r"run\.json: \$\.recipe\.length: expected int, got str"),
        ('"length": 1', '"lenght": 1, "length": 1', r"\$\.recipe: unknown word 'lenght'.*'length'"),
        (
            '"kind": "sgd"',
            '"kind": "sdg"',
            r"\$\.recipe\.optimiser\.kind: unknown word 'sdg'.*'sgd'",
        ),
        ('"digest": "', '"digest": 1, "x": "', r"\$\.data\.digest: expected str, got int"),
        ('"precision"', '"precison"', r"\$: (missing precision|unknown word 'precison')"),
    ],
)
def test_a_damaged_description_is_one_message(data, tmp_path, old, new, message):
    train(small(pool=nn.MaxPool2d(2)), data, RECIPE, tmp_path, CPU)
    text = (tmp_path / "run.json").read_text()
    assert old in text
    reseal(tmp_path / "run.json", lambda text: text.replace(old, new))
    with pytest.raises(CheckpointError, match=message):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text(text)
    reseal(tmp_path / "done.json", lambda text: text.replace('"last"', '"lst"'))
    with pytest.raises(CheckpointError, match=r"done\.json: \$: missing last"):
        _ = Run.open(tmp_path).outcome


def test_any_one_change_of_the_files_is_one_message(data, tmp_path):
    """A value of another kind at any place of any file: refused or still whole, no traceback."""
    train(small(), data, RECIPE, tmp_path, CPU)
    readers = {
        "run.json": lambda: Run.open(tmp_path).recipe.meaning(),
        "done.json": lambda: Run.open(tmp_path).weights(),
        "checkpoints/manifest.json": lambda: Run.open(tmp_path).metrics,
    }
    for name, use in readers.items():
        value = json.loads((tmp_path / name).read_text())
        for path in places(value):
            for stranger in (None, -1, 1.5, "../x", [], {}, [[]], True):
                (tmp_path / name).write_text(json.dumps(resealed(replaced(value, path, stranger))))
                with contextlib.suppress(CheckpointError):
                    use()
        (tmp_path / name).write_text(json.dumps(value))
    assert Run.open(tmp_path).weights()


def resealed(value):
    """As one who knows of the digest would; what is no object is left as it is."""
    if not isinstance(value, dict):
        return value
    content = {name: part for name, part in value.items() if name not in ("schema", "sha256")}
    return seal(content, value.get("schema", 0))


def places(value, path=()):
    """Every place of a JSON value; of a mapping of digests the first alone."""
    yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in list(inner)[: 2 if path and path[-1] == "tensors" else None]:
        yield from places(part, (*path, key))


def replaced(value, path, stranger):
    if not path:
        return stranger
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], stranger)
    return copy
