"""Decisions before all examples are seen: the error rate holds however often one looks."""

import numpy as np
import pytest
import torch
from conftest import MENAGERIE, image_batch, leaf_units, lively
from torch import nn

from residuum import anatomy
from residuum.anatomy import betting
from residuum.errors import UsageError
from residuum.units import ResidualNetwork
from residuum.views.own import NetworkView

UNITS, SWEEPS, SIZE, MARGIN = 8, 500, 600, 0.02


def drawn(changes, size: int, sweeps: int, seed: int = 0):
    """(sweeps, units, size): finite sets with just these changes, in random order; 5 % of the
    examples get better."""
    source, shares = np.random.default_rng(seed), np.arange(size) / size
    sets = np.stack([(shares < 0.05 + c).astype(int) - (shares >= 0.95) for c in changes])
    return source.permuted(np.broadcast_to(sets, (sweeps, *sets.shape)), axis=-1)


def first(differences, mean, size, rate):
    """The number of examples at which "at most `mean`" falls, 0 for never; looking at every one."""
    hit = betting.log_wealth(differences, mean, size) >= -np.log(rate)
    return np.where(hit.any(-1), hit.argmax(-1) + 1, 0)


@pytest.mark.parametrize("size", [SIZE, np.inf])
def test_the_error_rate_holds_under_peeking(size):
    """At the bound, where a wrong decision is likeliest. A test for a fixed number of examples that
    is looked at after each errs far more often; and the wealth does use a larger rate."""
    if size == SIZE:
        d = drawn([MARGIN] * UNITS, SIZE, SWEEPS)
    else:
        shares = [0.05, 0.88, 0.05 + MARGIN]
        d = np.random.default_rng(1).choice([-1, 0, 1], (SWEEPS, UNITS, SIZE), p=shares)
    rate = 0.05 / UNITS
    wrong = first(d, MARGIN, size, rate).any(1).mean()
    assert wrong <= 0.05 + 2 * (0.05 * 0.95 / SWEEPS) ** 0.5
    assert first(d, MARGIN, size, 0.2).any(1).mean() > 0.2
    seen = np.arange(1, SIZE + 1)
    z = (np.cumsum(d, -1) / seen - MARGIN) / np.sqrt(0.12 / seen)
    assert (z[..., 50:] > 2.5).any(-1).any(1).mean() > 0.1  # 2.5: Bonferroni's normal quantile


def test_intervals_cover_and_decisions_are_those_of_all_values():
    changes = [-0.03, 0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.6]
    truth = ["worse" if c > MARGIN else "not worse" for c in changes]
    rate, missed, erred = 0.05 / UNITS, 0, 0
    for sweep in drawn(changes, SIZE, 40, seed=2):
        open_rows = set(range(UNITS))
        for n in range(50, SIZE + 1, 50):
            for row in sorted(open_rows):
                (verdict,) = betting.decisions(sweep[row : row + 1, :n], MARGIN, SIZE, rate)
                if verdict == "undecided":
                    continue
                open_rows.remove(row)
                low, high = betting.interval(sweep[row, :n], SIZE, rate)
                missed += not low <= sweep[row].mean() <= high
                erred += verdict != truth[row]
                assert n == SIZE or not low < MARGIN < high
        assert not open_rows
    assert missed <= 4
    assert erred <= 2


def test_large_changes_are_decided_at_once():
    d = drawn([0.6, 0.03], 10_000, 20)
    n = first(d, MARGIN, 10_000, 0.05 / 27)
    assert 0 < n[:, 0].max() <= 60
    assert n[:, 1].min() > 500


def test_what_is_left_may_settle_it():
    """2 worse of 10: one more example cannot bring that to 2 points, two can."""
    d = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0])
    assert betting.rejected(d, 0.02, 10, 1e-9)
    assert not betting.rejected(d[:8], 0.02, 10, 1e-9)


def scaled_down(network):
    """Every second unit, so that some deletions matter and others do not."""
    with torch.no_grad():
        for unit in leaf_units(network)[::2]:
            for module in unit.branch.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.mul_(0.05)
                    module.bias.mul_(0.05)
    return network


@pytest.mark.parametrize("name", ["post-activation A", "pre-activation B"])
def test_early_decisions_are_those_of_the_full_sweep(name, monkeypatch):
    network, n, margin = scaled_down(lively(MENAGERIE[name]())), 400, 0.1
    images = image_batch(n, size=8)
    with torch.no_grad():
        targets = network(images).argmax(1)
    targets[::5] = 0
    examples = anatomy.Examples(images, targets)
    _, full = anatomy.delete_each(network, examples)
    base, found = anatomy.delete_each_early(network, examples, margin, seed=3)
    assert [d.deleted for d in found] == [d.deleted for d in full]
    assert [d.decision for d in found] == [
        "worse" if d.change.value > margin else "not worse" for d in full
    ]
    assert {"worse", "not worse"} == {d.decision for d in found}
    assert sum(d.change.n for d in found) < 0.7 * n * len(found)
    assert min(d.change.n for d in found if d.decision == "not worse") < n
    assert base.n == max(d.change.n for d in found)
    for ours, whole in zip(found, full, strict=True):
        assert ours.interval[0] <= whole.change.value <= ours.interval[1]
    variants = [anatomy.without(network, units) for units in ([], *(d.deleted for d in full))]
    rows = anatomy.sweep(network, images, variants, keep=examples.wrong).numpy().astype(int)
    differences = (rows[1:] - rows[0])[:, np.random.default_rng(3).permutation(n)]
    for ours, row in zip(found, differences, strict=True):
        rate = 0.05 / len(full)
        assert ours.interval == betting.interval(row[: ours.change.n], n, rate)
    monkeypatch.setattr(
        NetworkView, "stages", lambda self, inputs: None
    )  # one forward pass a variant
    assert anatomy.delete_each_early(network, examples, margin, seed=3) == (base, found)
    assert anatomy.delete_each_early(network, examples, margin, seed=4) != (base, found)


def test_all_examples_are_the_full_sweep():
    """Few examples decide nothing early but are all there are; of a population they say less."""
    network = lively(MENAGERIE["pre-activation A"]())
    examples = anatomy.Examples(image_batch(40, size=8), torch.arange(40) % 10)
    intact, full = anatomy.delete_each(network, examples)
    base, found = anatomy.delete_each_early(network, examples, margin=0.01)
    assert base == intact
    assert [(d.error, d.change) for d in found] == [(d.error, d.change) for d in full]
    for d in found:
        assert d.decision == ("worse" if d.change.value > 0.01 else "not worse")
        assert d.interval == pytest.approx((d.change.value, d.change.value), abs=1e-6)
    _, open_ones = anatomy.delete_each_early(network, examples, margin=0.01, population=True)
    assert {d.decision for d in open_ones} == {"undecided"}


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"margin": 2.0}, {"error_rate": 0.0}])
def test_questions_that_cannot_be(wrong):
    network = lively(MENAGERIE["pre-activation A"]())
    with pytest.raises(UsageError, match=next(iter(wrong))):
        anatomy.delete_each_early(network, anatomy.Examples(image_batch(2), torch.ones(2)), **wrong)


def test_a_network_without_units_has_no_lesions():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    network = ResidualNetwork(nn.Conv2d(3, 4, 1), [], head)
    examples = anatomy.Examples(image_batch(5), torch.zeros(5, dtype=torch.long))
    assert anatomy.delete_each_early(network, examples) == anatomy.delete_each(network, examples)
    assert anatomy.layer_responses(network, examples.inputs) == []
    assert anatomy.path_gradients(network, examples.inputs, examples.targets).counts == (1,)
