"""A sweep that was killed goes on where it was, and measures anew what has changed."""

import copy
import functools
import importlib.util
import json
import linecache
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
import torch
from conftest import image_batch, labels
from foreign import ready
from torch import fx, nn

from residuum import anatomy, surgery, unravel
from residuum.anatomy import SweepLog, intact, resume, sweep, without
from residuum.anatomy.resume import described
from residuum.anatomy.walk import TILE
from residuum.errors import UsageError
from residuum.parts.arrangements import ORIGINAL
from residuum.parts.heads import linear_head
from residuum.presets import preset
from residuum.units import ResidualNetwork, ResidualUnit
from residuum.views.export import module_of, program


@pytest.fixture(params=["own", "foreign"])
def subject(request, monkeypatch):
    """A model, inputs and variants; our own takes five examples in three batches."""
    monkeypatch.setitem(TILE, "cpu", 2)
    monkeypatch.setattr(resume, "OFTEN", 0)
    if request.param == "own":
        model, x = preset("preresnet8", seed=0).eval(), image_batch(5)
        view = unravel(model, x)
    else:
        model, x = ready("cnn", 5)
        view = unravel(model, x)
    n = len(view.units)
    return view, x, [intact(view), *(without(view, [unit]) for unit in range(n))]


@pytest.fixture
def written(monkeypatch):
    """The numbers of the variants that a log was given."""
    found, put = [], resume.Measured.__setitem__
    monkeypatch.setattr(
        resume.Measured, "__setitem__", lambda *each: (found.append(each[1]), put(*each))
    )
    return found


class Stopped(Exception):
    pass


def counting(most: int, seen: list[slice]):
    """What a sweep keeps, `most` times."""

    def keep(output, at):
        if len(seen) == most:
            raise Stopped
        seen.append(at)
        return output

    return keep


def logged(subject, folder, seen, most=1000, memory=1 << 30):
    log = SweepLog(folder, "outputs")
    return sweep(*subject, memory, keep=counting(most, seen), log=log)


def test_what_was_measured_is_not_measured_again(subject, tmp_path):
    view, x, variants = subject
    expected = sweep(view, x, variants)
    first, second, third = [], [], []
    with pytest.raises(Stopped):
        logged(subject, tmp_path / "log", first, most=3)
    assert torch.equal(logged(subject, tmp_path / "log", second), expected)
    batches = 3 if len({at.start for at in second}) > 1 else 1
    assert len(first) == 3
    assert len(first) + len(second) == batches * len(variants)
    assert torch.equal(logged(subject, tmp_path / "log", third), expected)
    assert third == []
    more = [*variants, without(view, [0, 1])]  # only the new one
    assert torch.equal(logged((view, x, more), tmp_path / "log", third)[:-1], expected)
    assert len(third) == batches


def test_a_graph_of_operations_is_known_by_its_code_and_tensors(tmp_path, written):
    model, x = ready("cnn", 2)
    measured = []
    for scale in (1.0, 1.0, 2.0):
        model.get_parameter("conv1.weight").data *= scale
        graph = module_of(program(model, (x,), {}))
        view = unravel(graph, x)
        sweep(view, x, [intact(view), without(view, [1])], log=SweepLog(tmp_path / "log"))
        measured.append(len(written))
    assert measured == [2, 2, 4]


def test_a_constant_of_a_graph_is_part_of_its_key():
    class Shifts(nn.Module):
        def __init__(self, by: float):
            super().__init__()
            self.by = torch.full((3,), by)  # neither parameter nor buffer

        def forward(self, x):
            return x + self.by

    def of(by: float) -> nn.Module:
        graph = torch.export.export(Shifts(by), (torch.zeros(2, 3),)).module()
        assert not [*graph.parameters(), *graph.buffers()]
        return graph

    first, again, other = (described(of(by)) for by in (1.0, 1.0, 2.0))
    assert first == again
    assert first != other


def test_a_function_that_a_graph_calls_is_part_of_its_key(tmp_path):
    def graph(body: str) -> nn.Module:
        (tmp_path / "made.py").write_text(f"def bent(x):\n    return {body}\n")
        spec = importlib.util.spec_from_file_location("made", tmp_path / "made.py")
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        linecache.checkcache()
        found = fx.Graph()
        x = found.placeholder("x")
        found.output(found.call_function(made.bent, (x,)))
        return fx.GraphModule({}, found)

    first, again, other = (described(graph(body)) for body in ("x + 1", "x + 1", "x + 22"))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "thing",
    [
        "(lambda x: x in {'a', 'bc', 'd', 'efg'})",
        "__import__('test_sweep_log').ready('decoder')[0]",
    ],
)
def test_a_key_is_the_same_in_every_process(thing):
    """Where Python's own hashes of words, and so the order of sets, are others."""

    def process(seed):
        code = f"from residuum.anatomy import resume\nprint(resume.described({thing}))"
        environment = os.environ | {"PYTHONHASHSEED": seed}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        return subprocess.check_output([sys.executable, "-c", code], env=environment)

    assert process("1") == process("2")


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        return self.layer(x)


def test_functions_and_classes_are_told_apart_by_what_they_run(monkeypatch):
    one, two = (lambda x: x + 1), (lambda x: x + 2)  # in one line of source
    assert described(one) != described(two)
    typed = {}
    for number in (1, 1, 2):
        exec(f"def typed(x): return [y + {number} for y in x]", scope := {})  # noqa: S102
        typed.setdefault(json.dumps(described(scope["typed"])), []).append(number)
    assert list(typed.values()) == [[1, 1], [2]]

    def patched(factor):
        model = Bare()
        model.forward = types.MethodType(lambda self, x: factor * self.layer(x), model)
        return json.dumps(described(model))

    assert patched(1) == patched(1)
    assert patched(1) != patched(5)
    before = described(Bare())
    assert described(copy.deepcopy(Bare())) == before
    monkeypatch.setattr(Bare, "forward", lambda self, x: self.layer(x).flip(1))
    assert described(Bare()) != before


def test_a_changed_key_measures_anew(tmp_path):
    model, x = preset("preresnet8", seed=0).eval(), image_batch(3)
    view = unravel(model)
    variants = [intact(view), without(view, [0])]

    def measured(model, x, kept="outputs") -> int:
        seen: list[slice] = []
        keep = counting(9, seen)
        found = sweep(model, x, variants, keep=keep, log=SweepLog(tmp_path, kept))
        torch.testing.assert_close(found, sweep(model, x, variants), rtol=0, atol=0)
        return len(seen)

    assert measured(model, x) == 2
    assert measured(copy.deepcopy(model), x.clone()) == 0
    twin = copy.deepcopy(model)
    twin.head[-1].bias.data[0] += 1e-3
    assert measured(twin, x) == 2
    twin = copy.deepcopy(model)
    next(b for n, b in twin.named_buffers() if "running_mean" in n).add_(1e-3)
    assert measured(twin, x) == 2
    twin = copy.deepcopy(model)
    next(m for m in twin.modules() if isinstance(m, torch.nn.BatchNorm2d)).eps = 0.1
    assert measured(twin, x) == 2
    assert measured(model, x + 1e-3) == 2
    assert measured(model, x, "something else") == 2
    assert measured(model, x) == 0


def scaled(factor):
    return lambda x: factor * x


class Keeping:
    def __init__(self, value):
        self._value = value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (scaled(2), scaled(3)),
        (functools.partial(scaled, 2), functools.partial(scaled, 3)),
        (Keeping(1.5), Keeping(2.5)),
        (np.arange(5000), np.arange(5000) + (np.arange(5000) == 2000)),
        (torch.relu, torch.sigmoid),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(3)}),
    ],
)
def test_content_tells_what_differs(one, other):
    assert described(one) == described(copy.deepcopy(one))
    assert described(one) != described(other)
    json.dumps(described(one))


def test_an_object_that_tells_nothing_is_never_the_same():
    lock = threading.Lock()
    assert described(lock) != described(lock)


def test_deletions_depend_on_targets(tmp_path):
    model, x = preset("preresnet8", seed=0).eval(), image_batch(4)
    log = SweepLog(tmp_path)
    for targets in (labels(4), labels(4) + 1):
        examples = anatomy.Examples(x, targets)
        expected = anatomy.delete_each(model, examples)
        files = len(list(tmp_path.iterdir()))
        assert anatomy.delete_each(model, examples, log) == expected
        assert len(list(tmp_path.iterdir())) == files + 1
        assert anatomy.delete_each(model, examples, log) == expected
        assert len(list(tmp_path.iterdir())) == files + 1


def test_a_damaged_file_is_told_and_measured_again(subject, tmp_path, told):
    expected = logged(subject, tmp_path, [])
    files = sorted(tmp_path.iterdir())
    data = bytearray(files[0].read_bytes())
    data[-1] ^= 1
    files[0].write_bytes(data)
    files[1].write_bytes(files[1].read_bytes()[:40])
    seen: list[slice] = []
    told.clear()
    assert torch.equal(logged(subject, tmp_path, seen), expected)
    assert len(seen) == 2  # with OFTEN = 0 every value has a file of its own
    warnings = [line for line in told if "measured again" in line]
    assert len(warnings) == 2
    assert {name for name in files[:2] if str(name) in " ".join(warnings)} == set(files[:2])


def test_a_log_of_something_else_needs_a_word(tmp_path):
    model, x = preset("preresnet8", seed=0), image_batch(2)
    with pytest.raises(UsageError, match="kept="):
        sweep(model, x, [intact(model)], keep=lambda o, at: o, log=SweepLog(tmp_path))


def test_killed_at_any_moment(subject, tmp_path):
    view, x, variants = subject
    expected, done = sweep(view, x, variants), tmp_path / "done"
    folder, source = tmp_path / "log", np.random.default_rng(0)

    def run():
        found = sweep(view, x, variants, log=SweepLog(folder))
        done.write_bytes(b"equal" if torch.equal(found, expected) else b"other")
        os._exit(0)

    kills = 0
    for _ in range(60):  # the longest wait grows, so that a slow machine gets there too
        child = multiprocessing.get_context("fork").Process(target=run)
        child.start()
        time.sleep(source.uniform(0, 0.02 * 1.2**kills))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
        if done.exists():
            break
    assert done.read_bytes() == b"equal"
    assert kills


LOGGED = {
    "delete_random": lambda *on, log: anatomy.delete_random(*on, [1, 2], 3, log=log),
    "delete_each_early": lambda *on, log: anatomy.delete_each_early(*on, log=log),
    "reorder_random": lambda *on, log: anatomy.reorder_random(*on, [1, 2], 2, log=log),
    "interactions": lambda *on, log: anatomy.interactions(*on, log=log),
    "greedy": lambda *on, log: surgery.greedy(*on, surgery.Target(units=2), log=log),
    "by_score": lambda *on, log: surgery.by_score(*on, [3, 1, 2], surgery.Target(units=2), log=log),
    "pairs": lambda *on, log: surgery.pairs(*on, log=log),
}


@pytest.mark.parametrize("name", LOGGED)
def test_whatever_sweeps_takes_a_log(name, tmp_path, written):
    torch.manual_seed(0)
    branches = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(3)]
    network = ResidualNetwork(
        nn.Conv2d(3, 4, 1),
        [ResidualUnit(branch) for branch in branches],
        linear_head(4, 10, ORIGINAL),
    ).eval()
    on = network, anatomy.Examples(image_batch(6), labels(6))
    expected, log = LOGGED[name](*on, log=None), SweepLog(tmp_path / "log")
    assert written == []
    assert LOGGED[name](*on, log=log) == expected
    assert len(written) > 3
    del written[:]
    assert LOGGED[name](*on, log=log) == expected
    assert written == []
