"""The second derivation of the units, from autograd's graph: a fault in the first shows in it."""

import pytest
import torch
from foreign import CASES, STEPS, VECTORS, Wide
from torch import nn

import residuum
from residuum.views import detect, recorder


def verified(model, *inputs):
    torch.manual_seed(0)
    return residuum.discover(model, *inputs).verify()


def wide(step="sum"):
    torch.manual_seed(0)
    return Wide(STEPS[step])


BROKEN = {
    "layers are missed": (detect.Detector, "weighted", lambda self, operation: False),
    "one unit is lost": (detect, "nest", lambda units: setattr(units[-1], "long", True)),
    "the way back ends early": (
        *(detect.Detector, "_meet"),
        lambda self, shortcut, branch, real=detect.Detector._meet: (
            None if shortcut > 4 else real(self, shortcut, branch)
        ),
    ),
    "no parameter is seen": (
        *(detect.Detector, "branch"),
        lambda self, split, end, real=detect.Detector.branch: (
            *real(self, split, end)[:2],
            frozenset([end]),
        ),
    ),
    "sums are taken for something else": (
        *(recorder, "classify"),
        lambda name, real=recorder.classify: "cheap" if name == "add" else real(name),
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_detector_is_contradicted(fault, monkeypatch):
    assert not verified(wide(), *VECTORS).contradicted
    monkeypatch.setattr(*BROKEN[fault])
    assert any("autograd's graph shows" in line for line in verified(wide(), *VECTORS).contradicted)


@pytest.mark.parametrize("name", ["over", "shared", "encoder", *STEPS])
def test_both_agree(name):
    """On values; without values on every model of test_discovery."""
    model = CASES[name].build() if name in CASES else wide(name)
    inputs = CASES[name].inputs if name in CASES else VECTORS
    found = verified(model, *map(torch.randn_like, inputs))
    assert found.holds
    told = [line for line in found.unproven if "second derivation" in line]
    if name == "slice by slice":
        assert told[0].endswith("a write into a part of a tensor hides what is written")
    else:
        assert not told


class Detached(Wide):
    def forward(self, x):
        x = x + self.branches[0](x).relu().detach()
        return x + self.branches[1](x).relu()


class Aside(Wide):
    """Each branch reads the stream without its history."""

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x.detach()).tanh()
        return x


class Unseen(Wide):
    """Each branch reads what was made of the stream without a history."""

    def forward(self, x):
        for branch in self.branches:
            with torch.no_grad():
                half = x / 2
            x = x + branch(half).tanh()
        return x


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8, dtype=torch.complex64) for _ in range(3))

    def forward(self, x):
        z = x if x.is_complex() else torch.complex(x, x.tanh())
        for layer in self.layers:
            z = z + layer(z).tanh()
        return z.abs()


@pytest.mark.parametrize("kind", [torch.float32, torch.complex64])
def test_complex_streams_by_both(kind):
    torch.manual_seed(0)
    found = verified(Complex(), torch.randn(2, 8, dtype=kind))
    assert (found.contradicted, found.unproven, found.proven) == ((), (), 3)


def test_a_history_that_ends_hides_no_fault_elsewhere(monkeypatch):
    """Tables that are read by shape alone are no such end."""

    class Shaped(Wide):
        def forward(self, x):
            return super().forward(x * torch.ones_like(x.tanh()) + x.tanh().new_zeros(1))

    assert not verified(Shaped(STEPS["sum"]), *VECTORS).contradicted
    monkeypatch.setattr(*BROKEN["one unit is lost"])
    assert verified(Shaped(STEPS["sum"]), *VECTORS).contradicted


class Ours(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, f):
        return x + f


class Numbers(nn.Module):
    """No parameter, integers alone."""

    def forward(self, x):
        return x + x.cumsum(1)


class Mixed(nn.Module):
    def forward(self, x):
        return x + torch.softmax(x, 0)


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        (Detached(STEPS["sum"]), VECTORS, "branches.0.bias is used and has no gradient"),
        (
            Wide(lambda x, branch, gate: Ours.apply(x, branch(x))),
            *(VECTORS, "Ours, an autograd.Function, hides what it computes"),
        ),
        (Aside(STEPS["sum"]), VECTORS, "what is made of an activation has no gradient (detach"),
        (Unseen(STEPS["sum"]), VECTORS, "what is made of an activation has no gradient (detach"),
        (Numbers(), (torch.arange(6).view(2, 3),), "no output leads back to a floating input"),
        (Mixed(), VECTORS, "no parameters, so only the count"),
    ],
)
def test_what_autograd_does_not_tell_is_said(model, inputs, words):
    found = verified(model, *inputs)
    assert found.holds
    assert any(words in line for line in found.unproven)


def test_units_inside_a_branch_are_nested_by_both():
    class Nest(Wide):
        def forward(self, x):
            for outer, inner in zip(self.branches, self.gates, strict=True):
                z = outer(x).relu()
                z = z + inner(z).relu()
                x = x + outer(z)
            return x

    torch.manual_seed(0)
    units = residuum.discover(Nest(STEPS["sum"]), *VECTORS)
    assert [len(unit.nested) for unit in units] == [1, 1, 1]
    found = units.verify()
    assert found.holds
    assert not any("second derivation" in line for line in found.unproven)


def test_memory_that_is_used_again_links_nothing():
    """Two roads that have nothing in common, over values, whose memory is freed and written into:
    their sum is no unit."""

    class Apart(Wide):
        def forward(self, a, b):
            assert float(a.sum()) < 1e9  # asks for values
            for branch, gate in zip(self.branches, self.gates, strict=True):
                a = branch(a).relu_()
                b = gate(b).relu_()
            return a + b

    units = residuum.discover(Apart(STEPS["sum"], units=8), *VECTORS, *VECTORS)
    assert not units.fake
    assert len(units) == 0
    assert units.verify().holds


def test_sums_of_lists_by_both():
    class Foreach(Wide):
        def forward(self, x):
            for branch in self.branches:
                (x,) = torch._foreach_add([x], [branch(x).relu()])
            return x.tanh()

    found = verified(Foreach(STEPS["sum"]), *VECTORS)
    assert found.holds
    assert len(found.units) == 3
    assert not any("second derivation" in line for line in found.unproven)
