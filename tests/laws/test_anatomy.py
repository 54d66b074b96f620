"""Laws of dissection, over the menagerie: each is an equality that a wrong program would break."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from conftest import MENAGERIE, fingerprint, labels, lively, narrow, nested, pictures, same_fingerprint
from torch import nn

from residuum import anatomy
from residuum.anatomy import applied, intact, lesion, reordered, replace, sweep, without
from residuum.anatomy.replace import Detached, Silent
from residuum.anatomy.sweep import cost
from residuum.errors import UsageError
from residuum.parts.arrangements import ORIGINAL
from residuum.parts.shortcuts import Severed
from residuum.units import ResidualUnit, Row, leaves


def naive(network, images, variants):
    logits = []
    for variant in variants:
        with torch.no_grad(), applied(network, variant):
            logits.append(network(images))
    return torch.stack(logits)


def test_a_lesion_leaves_the_way_round(specimen):
    x = specimen.stem(pictures(2))
    for unit in specimen.units:
        if not isinstance(unit.branch, Row):
            road = unit.shortcut.road if isinstance(unit.shortcut, Severed) else unit.shortcut
            expected = unit.after(road(unit.before(x)))
            with lesion([unit]):
                assert torch.equal(unit(x), expected)
        x = unit(x)


def test_fast_sweep_equals_naive_sweep(specimen):
    n, images = len(list(leaves(specimen.units))), pictures(5)
    sets = [[], *([i] for i in range(n)), [0, n - 1], list(range(n)), [1, 2]]
    variants = [without(specimen, s) for s in sets]
    expected = naive(specimen, images, variants)
    found = sweep(specimen, images, variants)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert torch.equal(found.argmax(2), expected.argmax(2))
    assert len({tuple(row.flatten().tolist()) for row in expected}) > n // 2  # deletions do differ


def test_sweep_is_the_same_in_little_memory(specimen):
    variants = [intact(specimen), without(specimen, [1]), without(specimen, [0, 2])]
    images = pictures(7)
    small = sweep(specimen, images, variants, memory=1)
    torch.testing.assert_close(small, sweep(specimen, images, variants), rtol=1e-4, atol=1e-4)


def test_sweep_of_orders_equals_naive():
    network = lively(narrow(units=3))
    variants = [reordered(p) for p in ([0, 1, 2, 3, 4, 5], [0, 2, 1, 3, 5, 4], [0, 1, 2, 3, 5, 4], [2, 1, 0, 3, 4, 5])]
    images = pictures(4)
    torch.testing.assert_close(sweep(network, images, variants), naive(network, images, variants), rtol=1e-4, atol=1e-4)
    shared, alone = cost(network, variants)
    assert alone == 24
    assert shared < alone


def test_single_deletions_cost_half():
    network = MENAGERIE["pre-activation A"]()
    n = len(network.units)
    assert cost(network, [without(network, [i]) for i in range(n)]) == (n * (n + 1) // 2 - 1, n * (n - 1))


def test_no_residue_even_after_an_error(specimen):
    images, targets = pictures(4), labels(4)
    units = list(leaves(specimen.units))
    before, expected = fingerprint(specimen), specimen(images)
    examples = anatomy.Examples(images, targets)
    sweep(specimen, images, [without(specimen, [0])])
    anatomy.delete_each(specimen, examples)
    anatomy.layer_responses(specimen, images)
    anatomy.gradient_by_length(specimen, images, targets)
    anatomy.signed_sweep(specimen, images, targets, draws=1)
    with pytest.raises(RuntimeError, match="inside"), lesion(units[:2]), lesion([units[1], units[1]]):
        raise RuntimeError("inside")
    for call in (
        anatomy.layer_responses,
        lambda n, x: sweep(n, x, [intact(n)]),
        lambda n, x: anatomy.gradient_by_length(n, x, targets),
    ):
        with pytest.raises((RuntimeError, ValueError)):
            call(specimen, torch.zeros(2, 5, 16, 16))
    assert same_fingerprint(before, fingerprint(specimen))
    assert torch.equal(specimen(images), expected)


def test_modes_and_flags_return(specimen):
    specimen.train()
    specimen.stem.requires_grad_(False)
    before = fingerprint(specimen)
    anatomy.gradient_by_length(specimen, pictures(2), labels(2))
    assert same_fingerprint(before, fingerprint(specimen))


def ordinary_gradient(network, images, targets):
    x = images.clone().requires_grad_()
    F.cross_entropy(network(x), targets, reduction="sum").backward()
    network.zero_grad()
    return x.grad


def test_the_gradient_polynomial_sums_to_the_gradient(specimen):
    network, images, targets = specimen.double(), pictures(3).double(), labels(3)
    found = anatomy.gradient_by_length(network, images, targets)
    assert len(found) == len(list(leaves(network.units))) + 1
    torch.testing.assert_close(found.sum(0), ordinary_gradient(network, images, targets), rtol=1e-9, atol=1e-12)


def test_coefficient_zero_is_the_gradient_through_shortcuts(specimen):
    network, images, targets = specimen.double(), pictures(2).double(), labels(2)
    units = list(leaves(network.units))
    closed = [(unit, "branch", Detached(unit.branch)) for unit in units]
    opened = [(unit, "shortcut", Cut(unit.shortcut)) for unit in units if isinstance(unit.shortcut, Severed)]
    with replace([*closed, *opened]):
        expected = ordinary_gradient(network, images, targets)
    found = anatomy.gradient_by_length(network, images, targets, longest=0)
    torch.testing.assert_close(found[0], torch.zeros_like(images) if expected is None else expected, rtol=1e-9, atol=1e-12)


class Cut(nn.Module):
    """A severed shortcut that keeps the graph connected: zero times the input."""

    def __init__(self, severed):
        super().__init__()
        self.road = severed.road

    def forward(self, x):
        return 0 * self.road(x)


def enumerate_paths(network):
    """(length, edits) of every path, by walking the nest: an independent derivation of which parts let gradient pass."""

    def of_unit(unit):
        if not unit.plain:
            yield 0, [(unit, "branch", Detached(unit.branch))]
        closed = (unit, "shortcut", Detached(unit.shortcut))
        if isinstance(unit.branch, Row):
            for length, edits in of_row(list(unit.branch)):
                yield length, [closed, *edits]
        else:
            yield 1, [closed]

    def of_row(units):
        for choice in itertools.product(*(list(of_unit(u)) for u in units)):
            yield sum(k for k, _ in choice), [e for _, edits in choice for e in edits]

    return of_row(list(network.units))


@pytest.mark.parametrize(
    "build", [lambda: narrow(units=3), lambda: narrow(ORIGINAL, units=2), nested], ids=["pre", "post", "nested"]
)
def test_gradient_polynomial_and_signed_sweep_equal_enumeration(build):
    network, images, targets = lively(build()).double(), pictures(6, 8).double(), labels(6)
    n = len(list(leaves(network.units)))
    sums, squares, counts = torch.zeros(n + 1, *images.shape).double(), torch.zeros(n + 1, 6).double(), [0] * (n + 1)
    for length, edits in enumerate_paths(network):
        with replace(edits):
            gradient = ordinary_gradient(network, images, targets)
        sums[length] += gradient
        squares[length] += gradient.flatten(1).square().sum(1)
        counts[length] += 1
    assert tuple(counts) == anatomy.polynomial(network.units)
    torch.testing.assert_close(anatomy.gradient_by_length(network, images, targets), sums, rtol=1e-8, atol=1e-13)
    draws = anatomy.signed_sweep(network, images, targets, draws=60)
    estimate, error = draws.mean(0).mean(1), draws.mean(2).std(0) / 60**0.5
    distance = (estimate - squares.mean(1)).abs()
    assert (distance <= 5 * error + 1e-12 * squares.mean(1)).all()
    assert (error[1:-1] < 0.2 * squares.mean(1)[1:-1]).all()


def test_sampled_paths_are_paths():
    """All single-unit paths of a small network, found among the sampled norms; length 0 and n have one path each."""
    network, images, targets = lively(narrow(units=2)).double(), pictures(2, 8).double(), labels(2)
    norms = anatomy.sampled_paths(network, images, targets, [0, 1, 4], samples=40)
    allowed = {0: [], 1: [], 4: []}
    for length, edits in enumerate_paths(network):
        if length in allowed:
            with replace(edits):
                allowed[length].append(ordinary_gradient(network, images, targets).flatten(1).norm(dim=1))
    for row, (length, expected) in zip(norms.double(), allowed.items(), strict=True):
        matches = {next((i for i, e in enumerate(expected) if torch.allclose(s, e, rtol=1e-5)), None) for s in row}
        assert matches == set(range(len(expected))), length


def test_longest_drops_only_the_tail():
    network, images, targets = lively(nested()).double(), pictures(2, 8).double(), labels(2)
    whole = anatomy.gradient_by_length(network, images, targets)
    for longest in (0, 1, 3, 6, 9):
        found = anatomy.gradient_by_length(network, images, targets, longest)
        assert len(found) == longest + 1
        kept = min(longest + 1, len(whole))
        torch.testing.assert_close(found[:kept], whole[:kept], rtol=1e-10, atol=1e-14)
        assert not found[kept:].any()


def test_wrong_units_are_refused():
    network = narrow()
    for wrong in ([4], [-1], [1, 1]):
        with pytest.raises(UsageError, match=r"unit"):
            without(network, wrong)
    with pytest.raises(UsageError, match="nested"):
        anatomy.sampled_paths(nested(), pictures(1), labels(1), [0], 1)
    with pytest.raises(UsageError, match="same shape"):
        anatomy.reorder_random(nested(), anatomy.Examples(pictures(1), labels(1)), [1])


def test_units_that_add_nothing_change_nothing():
    network, x = lively(narrow()), pictures(2)
    still = ResidualUnit(Silent())
    with replace([(network.units, "1", still)]):
        expected = network(x)
    with lesion([network.units[1]]):
        assert torch.equal(network(x), expected)


def test_only_units_of_the_same_shape_trade_places():
    network = lively(MENAGERIE["pre-activation A"]())
    examples = anatomy.Examples(pictures(20), labels(20))
    base, found = anatomy.reorder_random(network, examples, [0, 1, 9], repeats=4)
    stage = [0, 0, 0, 1, 2, 2, 3, 4, 4]  # units 3 and 6 change the shape and stay
    assert all([stage[u] for u in r.permutation] == stage for r in found)
    assert all(r.tau == 1 and r.change.value == 0 and r.error == base for r in found if r.swaps == 0)
    assert all(r.tau < 1 for r in found if r.swaps == 1)
    assert len({r.permutation for r in found}) > 6


def test_random_deletions_are_a_function_of_the_seed():
    network, examples = lively(narrow()), anatomy.Examples(pictures(8), labels(8))
    _, first, spread = anatomy.delete_random(network, examples, [1, 3], repeats=5, seed=2)
    _, again, _ = anatomy.delete_random(network, examples, [3], repeats=5, seed=2)
    assert first[3] == again[3]
    assert all(len(set(d.deleted)) == k for k, group in first.items() for d in group)
    assert spread[3].mean == pytest.approx(sum(d.error.value for d in first[3]) / 5)
    for deletion in first[3]:
        with applied(network, without(network, deletion.deleted)), torch.no_grad():
            assert deletion.error.count == int((network(examples.images).argmax(1) != examples.labels).sum())
