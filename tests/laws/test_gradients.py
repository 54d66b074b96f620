"""Laws of gradient along paths: everything equals the enumeration of all paths, for every merge."""

import itertools

import pytest
import torch
from conftest import (
    MENAGERIE,
    Zeroed,
    columns,
    convolution,
    dense,
    fractal,
    gated_nest,
    headed,
    highway,
    image_batch,
    labels,
    leaf_units,
    lively,
    narrow,
    nested,
    ordinary_gradient,
)
from torch import nn

from residuum import anatomy
from residuum.anatomy import count_paths, intact, replace, sweep, unravel, without
from residuum.anatomy.gradients import count_signs
from residuum.anatomy.recording import Recording
from residuum.errors import UsageError
from residuum.parts.arrangements import ORIGINAL
from residuum.parts.merges import Merge
from residuum.task import CLASSIFICATION
from residuum.units import ResidualNetwork, ResidualUnit, Row
from residuum.views.view import DELETE

# ---- paths: the polynomial, the signed sweep and single paths against the enumeration of all of
# them ----


def test_the_gradient_polynomial_sums_to_the_gradient(specimen):
    network, x, targets = specimen.double(), image_batch(3).double(), labels(3)
    found = anatomy.gradient_by_length(network, x, targets)
    assert len(found) == len(leaf_units(network)) + 1
    torch.testing.assert_close(
        found.sum(0), ordinary_gradient(network, x, targets), rtol=1e-9, atol=1e-12
    )


class OneWay(Merge):
    """The merge of a unit, gradient passing through one half alone; halves by their definition,
    zeros in the other."""

    def __init__(self, merge: Merge, through: bool, nest: bool):
        super().__init__()
        self.merge, self.takes, self.nest = merge, through, nest

    def forward(self, around, through, z):
        if self.nest:  # the gate's own derivative passes no branch inside: it goes round
            if self.takes:
                return self.merge(None if around is None else around.detach(), through, z.detach())
            return self.merge(around, through.detach(), z)
        if around is None:
            return self.merge(around, through, z)
        round_half = self.merge(around, torch.zeros_like(through), z)
        through_half = self.merge(torch.zeros_like(around), through, z)
        return (
            round_half.detach() + through_half if self.takes else round_half + through_half.detach()
        )


def enumerate_paths(network):
    """(length, edits) of every path, by walking the nest: an independent derivation of which parts
    let gradient pass."""

    def of_unit(unit):
        nest = isinstance(unit.branch, Row)
        if not unit.plain:
            kept = (unit, "merge", OneWay(unit.merge, False, nest))
            beside = list(unit.shortcut) if isinstance(unit.shortcut, Row) else []
            for length, edits in of_row(beside):
                yield length, [kept, *edits]
        taken = (unit, "merge", OneWay(unit.merge, True, nest))
        for length, edits in of_row(list(unit.branch)) if nest else [(1, [])]:
            yield length, [taken, *edits]

    def of_row(units):
        for choice in itertools.product(*(list(of_unit(u)) for u in units)):
            yield sum(k for k, _ in choice), [e for _, edits in choice for e in edits]

    return of_row(list(network.units))


def gradients_of_paths(network, x, targets):
    """By length, the gradient through every single path."""
    found = {}
    for length, edits in enumerate_paths(network):
        with replace(edits):
            found.setdefault(length, []).append(ordinary_gradient(network, x, targets))
    return found


SMALL = {
    "pre": lambda: narrow(units=3),
    "post": lambda: narrow(ORIGINAL, units=2),
    "nested": nested,
    "highway": highway,
    "dense": dense,
    "fractal": fractal,
    "gated nest": gated_nest,
    "RiR": MENAGERIE["RiR"],
    "RoR-3": MENAGERIE["pre-RoR-3, stochastic depth"],
    "gated shortcut": MENAGERIE["shortcut gate, dropout"],
    "columns": columns,
    "two columns": lambda: columns(2),
}


@pytest.mark.parametrize("name", SMALL)
def test_gradient_polynomial_and_signed_sweep_equal_enumeration(name):
    network, x, targets = lively(SMALL[name]()).double(), image_batch(6, 8).double(), labels(6)
    n = len(leaf_units(network))
    found = gradients_of_paths(network, x, targets)
    counts = tuple(len(found.get(k, ())) for k in range(n + 1))
    sums = torch.stack([sum(found.get(k, [torch.zeros_like(x)])) for k in range(n + 1)])
    squares = torch.stack(
        [
            sum((g.flatten(1).square().sum(1) for g in found.get(k, ())), torch.zeros(6).double())
            for k in range(n + 1)
        ]
    )
    expected = anatomy.polynomial(unravel(network).expression)
    assert counts == expected + (0,) * (n + 1 - len(expected))
    torch.testing.assert_close(
        anatomy.gradient_by_length(network, x, targets), sums, rtol=1e-8, atol=1e-13
    )
    draws = anatomy.signed_sweep(network, x, targets, draws=60)
    estimate, error = draws.mean(0).mean(1), draws.mean(2).std(0) / 60**0.5
    distance = (estimate - squares.mean(1)).abs()
    assert (distance <= 5 * error + 1e-12 * squares.mean(1)).all()


@pytest.mark.parametrize(
    "name", ["highway", "dense", "fractal", "gated nest", "pre", "two columns"]
)
def test_the_signed_sweep_over_all_patterns_is_exact(name):
    """The mean over every set of signs, not an estimate: the sum over paths of |g|^2, at each
    length."""
    build = {"pre": narrow}.get(name, SMALL[name])
    network, x, targets = lively(build()).double(), image_batch(2, 8).double(), labels(2)
    view = unravel(network)
    n, signs = len(view.units), count_signs(view)
    found = gradients_of_paths(network, x, targets)
    squares = torch.stack(
        [
            sum((g.flatten(1).square().sum(1) for g in found.get(k, ())), torch.zeros(2).double())
            for k in range(n + 1)
        ]
    )
    with anatomy.at_rest(network):
        recording, mean = Recording(view, x, targets, CLASSIFICATION), torch.zeros_like(squares)
        for pattern in itertools.product((-1.0, 1.0), repeat=signs):
            given = torch.tensor(pattern).double()[:, None].expand(signs, 2)
            mean += recording.polynomial(n, given).flatten(2).square().sum(2) / 2**signs
    torch.testing.assert_close(mean, squares, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["pre", "highway", "dense", "nested", "fractal", "gated nest", "columns"]
)
def test_sampled_paths_are_paths(name):
    """Every norm is that of a path of its length; all of them are found, about equally often."""
    build = {"pre": narrow, "nested": lambda: nested(units=1)}.get(name, SMALL[name])
    network, x, targets = lively(build()).double(), image_batch(2, 8).double(), labels(2)
    expected = {
        k: [g.flatten(1).norm(dim=1) for g in found]
        for k, found in gradients_of_paths(network, x, targets).items()
    }
    lengths = sorted(expected)
    samples = 40 * max(map(len, expected.values()))
    norms = anatomy.sampled_paths(network, x, targets, lengths, samples)
    for row, length in zip(norms.double(), lengths, strict=True):
        distances = torch.cdist(row, torch.stack(expected[length])) / row.norm(
            dim=1, keepdim=True
        ).clamp_min(1e-12)
        assert (distances.min(1).values < 1e-5).all()
        times = distances.argmin(1).bincount(minlength=len(expected[length])).double()
        even = samples / len(times)
        assert ((times - even).square() / even).sum() < len(times) + 6 * len(
            times
        ) ** 0.5 + 12  # chi-square


def test_longest_drops_only_the_tail():
    network, x, targets = lively(nested()).double(), image_batch(2, 8).double(), labels(2)
    whole = anatomy.gradient_by_length(network, x, targets)
    for longest in (0, 1, 3, 6, 9):
        found = anatomy.gradient_by_length(network, x, targets, longest)
        assert len(found) == longest + 1
        kept = min(longest + 1, len(whole))
        torch.testing.assert_close(found[:kept], whole[:kept], rtol=1e-10, atol=1e-14)
        assert not found[kept:].any()


def test_deletions_take_their_paths_away():
    """Of a lesioned network the polynomial counts what is left, and the gradient that is left has
    no longer path."""
    network, x, targets = lively(nested()).double(), image_batch(2, 8).double(), labels(2)
    view = unravel(network)
    left = anatomy.polynomial(view.expression, deleted=[1, 4])
    assert sum(left) == count_paths(network).total - sum(
        1
        for _, edits in enumerate_paths(network)
        if {id(u) for u, _, m in edits if m.takes} & {id(leaf_units(network)[i]) for i in (1, 4)}
    )
    with view.edited({1: DELETE, 4: DELETE}):
        found = anatomy.gradient_by_length(network, x, targets)
        torch.testing.assert_close(
            found.sum(0), ordinary_gradient(network, x, targets), rtol=1e-9, atol=1e-12
        )
    assert found[: len(left)].flatten(1).any(1).all()
    assert not found[len(left) :].any()


# ---- merges of one's own ----


class Weighted(Merge):
    """0.3 h + 1.7 F: linear, and nothing else is said about it."""

    def forward(self, around, through, z):
        return 0.3 * around + 1.7 * through


class Turned(Merge):
    """A linear merge that mixes channels, different in each half and depending on z."""

    def forward(self, around, through, z):
        scale = torch.tanh(z.mean((2, 3), keepdim=True))
        return around.flip(1) * scale + through.roll(1, 1)


class Stacked(Merge):
    """F ahead of h: roads of different shapes, of which it says nothing."""

    def forward(self, around, through, z):
        return torch.cat([through, around], 1)


class Product(Merge):
    def forward(self, around, through, z):
        return around * through


class Largest(Merge):
    def forward(self, around, through, z):
        return torch.maximum(around, through)


class Shifted(Merge):
    """Affine, not linear: a constant is in both halves."""

    def forward(self, around, through, z):
        return around + through + 1


def merged(merge) -> nn.Module:
    torch.manual_seed(0)
    growth = 4 if merge is Stacked else 0
    units = [
        ResidualUnit(convolution(8 + growth * i, growth or 8), merge=merge()) for i in range(3)
    ]
    return lively(headed(units, 8 + 3 * growth))


@pytest.mark.parametrize("merge", [Weighted, Turned, Stacked])
def test_a_new_linear_merge_is_measured_rightly(merge):
    network, x, targets = merged(merge).double(), image_batch(4, 8).double(), labels(4)
    found = gradients_of_paths(network, x, targets)
    sums = torch.stack([sum(found[k]) for k in range(4)])
    torch.testing.assert_close(
        anatomy.gradient_by_length(network, x, targets), sums, rtol=1e-9, atol=1e-13
    )
    norms = anatomy.sampled_paths(network, x, targets, [0, 3], 1)
    expected = torch.stack([found[k][0].flatten(1).norm(dim=1) for k in (0, 3)])
    torch.testing.assert_close(norms[:, 0].double(), expected, rtol=1e-5, atol=1e-9)
    variants = [without(network, s) for s in ([], [0], [1], [2], [0, 2])]
    kept = []
    for deleted in ([], [0], [1], [2], [0, 2]):  # naively: the branch's output is zero
        with (
            replace(
                [(network.units[i], "branch", Zeroed(network.units[i].branch)) for i in deleted]
            ),
            torch.no_grad(),
        ):
            kept.append(network(x))
    torch.testing.assert_close(sweep(network, x, variants), torch.stack(kept), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("merge", [Product, Largest, Shifted])
@pytest.mark.parametrize(
    "tool",
    [
        lambda n, e: anatomy.gradient_by_length(n, e.inputs, e.targets),
        lambda n, e: anatomy.signed_sweep(n, e.inputs, e.targets, draws=1),
        lambda n, e: anatomy.sampled_paths(n, e.inputs, e.targets, [1], 1),
        lambda n, e: anatomy.path_gradients(n, e.inputs, e.targets, 2, 2, 2),
        lambda n, e: sweep(n, e.inputs, [intact(n)]),
        lambda n, e: anatomy.delete_each(n, e),
        lambda n, e: anatomy.delete_random(n, e, [1]),
        lambda n, e: anatomy.reorder_random(n, e, [1]),
    ],
)
def test_a_merge_that_is_not_linear_is_refused(merge, tool):
    with pytest.raises(UsageError, match=rf"units\.0: the merge {merge.__name__} is not linear"):
        tool(merged(merge), anatomy.Examples(image_batch(4, 8), labels(4)))


def test_a_merge_must_be_one():
    with pytest.raises(UsageError, match="Subclass it"):
        ResidualUnit(convolution(8, 8), merge=torch.add)


def test_a_strict_deletion_keeps_the_gate():
    network, x = lively(highway()), image_batch(3)
    unit = network.units[1]
    with torch.no_grad():
        z = network.units[0](network.stem(x))
        expected = (1 - torch.sigmoid(unit.merge.transform(z))) * z
        found = sweep(network, x, [without(network, [1], strict=True), without(network, [1])])
        for row, left in zip(found, (expected, z), strict=True):
            rest = network.head(network.units[3](network.units[2](left)))
            torch.testing.assert_close(row, rest, rtol=1e-4, atol=1e-5)
    with (
        pytest.raises(UsageError, match="plain unit"),
        unravel(plain := MENAGERIE["plain"]()).edited({}),
    ):
        sweep(plain, x, [without(plain, [1], strict=True)])


@pytest.mark.parametrize("merge", [Product, Largest])
def test_data_cannot_hide_that_a_merge_is_not_linear(merge):
    """All roads carry zeros on the first image, where a product is zero and adds up."""
    units = [ResidualUnit(nn.Conv2d(3, 3, 3, padding=1, bias=False), merge=merge())]
    network = ResidualNetwork(nn.Identity(), units, nn.Flatten())
    x = torch.cat([torch.zeros(1, 3, 4, 4), image_batch(2, 4)])
    with pytest.raises(UsageError, match="is not linear"):
        sweep(network, x, [without(network, [0])])


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_narrow_types_round_and_are_still_linear(kind):
    network = lively(highway()).to(kind)
    assert len(sweep(network, image_batch(2).to(kind), [intact(network)])) == 1
