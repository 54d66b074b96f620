"""Foreign models cut at their units: the numbers of plain passes, and what is not cut."""

import pytest
import torch
from foreign import RUN, STEPS, VECTORS, Wide, ready
from test_foreign import unraveled
from torch import nn

from residuum import unravel
from residuum.anatomy import intact, sweep, ways, without
from residuum.anatomy.sweeps import naive
from residuum.anatomy.walk import TILE
from residuum.views.cut import ForeignStages, _Pieces
from residuum.views.inputs import take
from residuum.views.marks import MEETING, NotCut, marked
from residuum.views.view import DELETE, KEEP, Scale


@pytest.fixture
def worth(monkeypatch):
    """Every sweep is worth a cut."""
    monkeypatch.setattr(ways, "WORTH", 0)


@pytest.mark.parametrize("name", RUN)
def test_a_cut_model_gives_the_numbers_of_plain_passes(name, told, worth, monkeypatch):
    """In batches of two, so that variants are joined to larger ones than it was traced with."""
    monkeypatch.setitem(TILE, "cpu", 2)
    model, inputs = ready(name, 5)
    view = unraveled(model, take(inputs, slice(2)))
    n = len(view.units)
    variants = [intact(view), *(without(view, [u]) for u in range(n)), without(view, range(n))]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found, expected = sweep(view, inputs, variants), naive(view, inputs, variants)
    assert "is cut at its units" in told[0]
    scale = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * scale)
    assert (expected[0] - expected[1:]).flatten(1).norm(dim=1).min() > 1e-3 * scale
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_no_step_changes_its_signal_and_a_deletion_computes_no_branch():
    model, x = ready("cnn", 2)
    view = unravel(model, x)
    with torch.no_grad():
        stages = ForeignStages(view, x)
        signal = stages.begin(x)
        for place in range(len(view.units)):
            kept = [tensor.clone() for tensor in signal]
            for edit in (DELETE, KEEP):
                following = stages.step(place, signal, edit)
                assert all(map(torch.equal, kept, signal))
            signal = following
    assert not any(
        "conv" in str(node.target)
        for place, unit in enumerate(view.units)
        if unit.shortcut == "identity"
        for node in stages._function(place, True).graph.nodes
    )
    targets = [n.target for f in stages.functions.values() for n in f.graph.nodes]
    assert torch.ops.aten.batch_norm.default not in targets
    assert torch.ops.aten.relu_.default in targets


class Mixing(nn.Module):
    """Each branch reads the other examples, or none."""

    def __init__(self, mixing: bool):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.mixing = mixing

    def forward(self, x):
        for layer in self.layers:
            h = layer(x)
            x = x + (h - h.amax(0) if self.mixing else h)
        return x


def test_edits_that_pieces_do_not_know_are_replayed(told, worth):
    torch.manual_seed(0)
    x = torch.randn(2, 8)
    view = unravel(Mixing(mixing=False), x)
    variants = [without(view, [0]), (Scale(0.5), *intact(view)[1:])]
    assert torch.equal(sweep(view, x, variants), naive(view, x, variants))
    assert "the model is not cut at its units; each pass begins at its first edit" in told


def test_a_model_whose_examples_depend_on_each_other_is_not_cut(told, worth):
    torch.manual_seed(0)
    x = torch.randn(5, 8)
    view = unravel(Mixing(mixing=True), x[:2])
    variants = [intact(view), without(view, [1])]
    assert torch.equal(sweep(view, x, variants), naive(view, x, variants))
    assert "gives other numbers" in told[0]
    assert "begins at its first edit" in told[1]


REFUSED = {
    "highway": "gated",
    "highway, lerp": "gated",
    "stacked mean": "does not hold one example a row",
    "slice by slice": "under another name",
}


@pytest.mark.parametrize("step", STEPS)
def test_every_way_to_write_a_sum_is_cut_or_refused(step):
    torch.manual_seed(0)
    model, (x,) = Wide(STEPS[step]).eval(), VECTORS
    view = unravel(model, x)
    if step in REFUSED:
        with pytest.raises(NotCut, match=REFUSED[step]):
            ForeignStages(view, x)
        return
    with torch.no_grad():
        stages = ForeignStages(view, x)
        for gone in (None, 1):
            signal = stages.begin(torch.cat([x, x]))
            for place in range(3):
                signal = stages.step(place, signal, DELETE if place == gone else KEEP)
            with view.edited({} if gone is None else {gone: DELETE}):
                torch.testing.assert_close(stages.finish(signal)[:2], model(x))


def test_values_decide(told, worth):
    """torch.export does not follow a model that branches on values: it is replayed."""

    class Branching(Mixing):
        def forward(self, x):
            return super().forward(x) if x.sum() > -1e9 else x

    x = torch.randn(4, 8)
    view = unravel(Branching(mixing=False), x)
    found = sweep(view, x, [without(view, [1])])
    assert torch.equal(found, naive(view, x, [without(view, [1])]))
    assert told[0].startswith("the model cannot be cut at its units: torch.export cannot follow")


def test_convolutions_count_whole_and_matrix_products_a_tenth():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 7)

        def forward(self, x):
            return self.head(self.stem(x).mean((2, 3)))

    x = torch.zeros(1, 3, 5, 5)
    convolution, product = 2 * 3 * 4 * 25, 2 * 4 * 7
    assert ways.weighed(unravel(Both(), x), x) == convolution + product / 10


def test_a_unit_that_is_needed_ahead_of_its_place_is_refused():
    torch.manual_seed(0)
    view = unravel(Wide(STEPS["sum"]).eval(), *VECTORS)
    module, *_ = marked(view, VECTORS, {})
    sums = [node for node in module.graph.nodes if node.target is MEETING]
    for node, number in zip(sums, (0, 2, 1), strict=True):
        node.args = (*node.args[:2], number)
    with pytest.raises(NotCut, match="unit 2 is needed ahead of its place"):
        _Pieces(module, 3)
