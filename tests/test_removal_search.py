"""Which units a search removes, and the table of what it brings."""

from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from conftest import image_batch, lively
from foreign import ready
from torch import nn

import residuum
from residuum.anatomy import Examples, applied, without
from residuum.anatomy.statistics import student_mean
from residuum.errors import UsageError
from residuum.networks.resnet import cifar_resnet
from residuum.surgery import Target, by_score, compare_sizes, greedy, lost, pairs, removed


def network() -> nn.Module:
    torch.manual_seed(0)
    return lively(cifar_resnet(14, 10, width=8))


def examples(n: int = 24) -> Examples:
    return Examples(image_batch(n), torch.arange(n) % 10)


def losses(model, data, units):
    with torch.no_grad(), applied(model, without(model, units)):
        return F.cross_entropy(model(data.inputs), data.targets, reduction="none")


def test_greedy_takes_the_cheapest_unit_of_those_that_are_left():
    model, data = network(), examples()
    found = greedy(model, data, Target(units=3))
    assert [len(step.removed) for step in found] == [1, 2, 3]
    gone: list[int] = []
    for step in found:
        rest = {
            unit: float(losses(model, data, [*gone, unit]).mean())
            for unit in range(6)
            if unit not in gone
        }
        gone.append(min(rest, key=rest.__getitem__))
        assert step.removed == tuple(gone)
        assert step.loss.value == pytest.approx(min(rest.values()), rel=1e-4)
        small = removed(model, gone)
        assert step.parameters == sum(p.numel() for p in small.parameters())
        differences = losses(model, data, gone) - losses(model, data, [])
        among = 6 - len(gone) + 1
        by_hand = student_mean(differences.double().numpy(), among)
        assert step.loss_change.low == pytest.approx(by_hand.low, rel=1e-3)
        with torch.no_grad():
            wrong = int((small(data.inputs).argmax(1) != data.targets).sum())
        assert step.error.count == wrong
        assert step.error_change.n == 24


def test_a_search_ends_at_its_target():
    model, data = network(), examples()
    whole = sum(p.numel() for p in model.parameters())
    steps = by_score(model, data, [5, 4, 3, 2, 1, 0], Target(parameters=0.7))
    assert steps[-1].parameters <= 0.7 * whole
    assert all(step.parameters > 0.7 * whole for step in steps[:-1])
    assert steps[-1].removed == (5, 4, 3, 2, 1)[: len(steps)]
    every = by_score(model, data, range(6), Target(units=6))
    bound = sorted(step.loss_change.value for step in every)[3]
    some = by_score(model, data, range(6), Target(loss=bound))
    assert all(step.loss_change.value <= bound for step in some)
    assert len(some) < 6
    assert every[len(some)].loss_change.value > bound
    for wrong in ({}, {"units": 0}, {"parameters": 1.5}):
        with pytest.raises(UsageError, match="target"):
            Target(**wrong)
    with pytest.raises(UsageError, match="2 scores for 6 units"):
        by_score(model, data, [1, 2], Target(units=1))


def test_all_pairs_of_a_model_that_nobody_prepared():
    model, inputs = ready("cnn", 6)
    view = residuum.unravel(model, inputs)
    data = Examples(inputs, torch.arange(6))
    sets = list(combinations(range(4), 2))
    found = lost(view, data, sets)
    for pair, candidate in zip(sets, found, strict=True):
        with torch.no_grad(), applied(view, without(view, pair)):
            loss = F.cross_entropy(model(inputs), data.targets)
        assert candidate.loss.value == pytest.approx(float(loss), rel=1e-5)
    small = removed(view, sets[0])
    assert found[0].parameters == sum(p.numel() for p in small.parameters())
    network_pairs = pairs(network(), examples(8))
    assert len(network_pairs) == 15
    values = [candidate.loss.value for candidate in network_pairs]
    assert values == sorted(values)


def test_before_and_after_are_measured():
    model, data = network(), examples()
    small = removed(model, [1, 3, 5])
    found = compare_sizes(model, small, (6, 3), data, data.inputs[:4], rounds=5)
    before, after = found.before, found.after
    assert (before.units, after.units) == (6, 3)
    assert after.parameters == sum(p.numel() for p in small.parameters())
    assert before.bytes == sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    one = 2 * 9 * 8 * 8 * 16 * 16 * 2  # two convolutions of the first stage, of 2 x MACs each
    assert before.flops - after.flops == 3 * one  # stages keep C * H * W and so their FLOPs
    assert found.speedup.value > 0
    change = (losses(model, data, [1, 3, 5]) - losses(model, data, [])).mean()
    assert found.loss_change.value == pytest.approx(float(change), abs=1e-5)
    assert after.error.n == 24
    assert [row[0] for row in found.table.rows][:3] == ["units", "parameters", "FLOPs an example"]


def test_the_most_memory_of_a_pass_is_counted():
    class Two(nn.Module):
        def forward(self, x):
            first = x + 1
            both = first * x  # x is given, so two are alive here
            del first
            return both.sum(1) + both[:, 0]  # and here one, and two columns

    x = torch.ones(4, 100)
    data = Examples(x, torch.zeros(4, dtype=torch.long), Anything())
    found = compare_sizes(Two(), Two(), (0, 0), data, x, rounds=2)
    assert found.before.peak == 2 * x.nbytes
    assert found.before.error is None


class Anything:
    def loss(self, output, targets):
        return output.flatten(1).sum(1) if output.ndim > 1 else output

    def right(self, output, targets):
        return None
