"""What papers add to the plain loop: the defining law of each."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from conftest import convolution, headed, image_batch
from torch import nn

from residuum.data import load
from residuum.data.images import Dataset
from residuum.errors import UsageError
from residuum.machine import Machine
from residuum.networks.resnet import cifar_resnet
from residuum.networks.stages import residual
from residuum.networks.stochastic import survive, uniform
from residuum.parts.wrappers import Dropped, Noisy, Scaled, Weighted
from residuum.presets import find, preset
from residuum.training import find_recipe, train
from residuum.training.distributed import Team
from residuum.training.loop import Trainer
from residuum.training.schemes import ActiveSubset, Companions
from residuum.units import ResidualUnit, Row

CPU = Machine(device="cpu", threads=1)


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load("digits")
    return Dataset("digits", digits.train.first(64), digits.test.first(20), digits.classes)


def recipe(**changes):
    return replace(find_recipe("digits").shortened(2), batch_size=32, **changes)


def dropped(network) -> list[Dropped]:
    return [m for m in network.modules() if isinstance(m, Dropped)]


# ---- stochastic depth ----


def test_survival_falls_in_a_line_from_the_first_unit_to_the_last():
    """p_1 = 1 - 0.5/54 already below 1, p_54 = 0.5; 40.25 of 54 units are expected."""
    survivals = [part.survival for part in dropped(preset("resnet110-stochastic", seed=0))]
    assert survivals[0] == pytest.approx(1 - 0.5 / 54)
    assert survivals[-1] == pytest.approx(0.5)
    assert sum(survivals) == pytest.approx(40.25)
    assert len({round(a - b, 12) for a, b in pairwise(survivals)}) == 1
    even = cifar_resnet(20, 10, survive(residual(), uniform(0.8)))
    assert [part.survival for part in dropped(even)] == [0.8] * 9


def test_a_dropped_branch_is_not_computed_and_its_statistics_stand_still():
    network = preset("resnet20-stochastic", seed=0).train()
    for number, part in enumerate(dropped(network)):
        part.drawn = number != 4
    asked = Counter()
    for number, part in enumerate(dropped(network)):
        part.road.register_forward_hook(lambda *_, n=number: asked.update([n]))
    before = [part.road[1].running_mean.clone() for part in dropped(network)]
    network(image_batch(4, 8))
    moved = [
        not torch.equal(part.road[1].running_mean, mean)
        for part, mean in zip(dropped(network), before, strict=True)
    ]
    assert asked == {n: 1 for n in range(9) if n != 4}
    assert moved == [n != 4 for n in range(9)]


@pytest.mark.parametrize("scaling", ["test", "training"])
def test_in_the_linear_case_the_expectation_is_the_test_pass(scaling):
    """Over all 2^3 draws with their probabilities, to rounding."""
    torch.manual_seed(0)
    units = Row(
        ResidualUnit(Dropped(nn.Linear(5, 5, bias=False), p, scaling=scaling))
        for p in (0.9, 0.6, 0.3)
    ).double()
    x, mean = torch.randn(2, 5, dtype=torch.double), torch.zeros(2, 5, dtype=torch.double)
    for draw in range(8):
        probability = 1.0
        for place, part in enumerate(dropped(units)):
            part.drawn = bool(draw >> place & 1)
            probability *= part.survival if part.drawn else 1 - part.survival
        mean += probability * units.train()(x)
    torch.testing.assert_close(mean, units.eval()(x))


def test_each_example_is_dropped_by_itself():
    part = Dropped(None, 0.7, "sample", "training").train()
    torch.manual_seed(0)
    kept = part(torch.ones(20_000, 1, 1, 1)).flatten()
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert kept.mean().item() == pytest.approx(1, abs=0.02)
    part = Dropped(nn.Identity(), 0.7, "sample", "test").train()
    assert set(part(torch.ones(50, 2)).unique().tolist()) == {0.0, 1.0}
    assert part.eval()(torch.ones(1)).item() == pytest.approx(0.7)


def test_draws_follow_their_survival_and_are_a_function_of_the_step(data):
    network = preset("resnet20-stochastic", 10, 0)
    trainer = Trainer(network, data, recipe(), CPU, Team())
    drawn = []
    for _ in range(3):
        trainer.advance()
        drawn.append([part.drawn for part in dropped(network)])
    again = Trainer(preset("resnet20-stochastic", 10, 0), data, recipe(), CPU, Team())
    again.step = 2
    again.advance()
    assert [part.drawn for part in again.drawn] == drawn[2]
    assert len(set(map(tuple, drawn))) == 3
    source, part = torch.Generator().manual_seed(0), dropped(network)[-1]
    counted = Counter()
    for _ in range(4000):
        part.draw(source)
        counted[part.drawn] += 1
    assert counted[True] / 4000 == pytest.approx(0.5, abs=0.03)


def test_weights_that_were_left_out_decay_and_keep_their_momentum(data):
    """As in Torch7: the gradient is zero, not missing."""
    network = preset("resnet20-stochastic", 10, 0)
    trainer = Trainer(network, data, recipe(weight_decay=0.1), CPU, Team())
    for part in dropped(network):
        part.draw = lambda source, part=part: setattr(part, "drawn", False)
    weight = dropped(network)[0].road[0].weight
    before, rate = weight.detach().clone(), trainer.recipe.learning_rate_at(0, 1)
    trainer.advance()
    torch.testing.assert_close(weight.detach(), before * (1 - rate * 0.1 * 1.9))  # Nesterov


def test_a_run_leaves_no_draw_behind(data, tmp_path):
    network = preset("resnet20-stochastic", 10, 0)
    train(network, data, recipe(), tmp_path, CPU)
    assert [part.drawn for part in dropped(network)] == [None] * 9


def test_compiled_road_by_road_gives_the_same_step(data):
    networks = [preset("resnet8-stochastic", 10, 0) for _ in range(2)]
    machines = CPU, replace(CPU, compile=True)
    trainers = [
        Trainer(n, data, recipe(), m, Team()) for n, m in zip(networks, machines, strict=True)
    ]
    for trainer in trainers:
        for _ in range(2):
            trainer.advance()
    for eager, compiled in zip(*(n.parameters() for n in networks), strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"survival": 1.5}, "survival"),
        ({"survival": -0.1}, "survival"),
        ({"survival": float("nan")}, "survival"),
        ({"survival": 0.5, "per": "element"}, "per"),
        ({"survival": 0.5, "scaling": "inverted"}, "scaling"),
        ({"survival": 0.0, "scaling": "training"}, "never survives"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        Dropped(None, **arguments)


# ---- exactly k of n ----


def test_exactly_k_units_are_active_and_every_subset_is_as_likely():
    network = headed([ResidualUnit(Dropped(convolution(8, 8), 0.5)) for _ in range(4)], 8)
    scheme, counted = ActiveSubset(2), Counter()
    source = torch.Generator().manual_seed(0)
    for _ in range(6000):
        scheme.draw(network, source)
        counted[tuple(part.drawn for part in dropped(network))] += 1
    assert len(counted) == 6
    assert all(sum(active) == 2 for active in counted)
    # chi-squared with 5 degrees of freedom: above 20.5 once in a thousand
    assert sum((n - 1000) ** 2 / 1000 for n in counted.values()) < 20.5
    with pytest.raises(UsageError, match="5 units are to be active, but the network has 4 that"):
        ActiveSubset(5).draw(network, source)


def test_a_network_that_a_scheme_cannot_train_is_refused_before_a_run_is_made(data, tmp_path):
    with pytest.raises(UsageError, match="has 0 that can be dropped"):
        train(preset("resnet20", 10, 0), data, recipe(scheme=ActiveSubset(3)), tmp_path / "x", CPU)
    with pytest.raises(UsageError, match="no companion"):
        train(preset("resnet20", 10, 0), data, recipe(scheme=Companions(3)), tmp_path / "x", CPU)
    assert not (tmp_path / "x").exists()


def test_a_recipe_names_its_scheme(data, tmp_path):
    named = recipe(scheme=ActiveSubset(3))
    run = train(preset("resnet20-stochastic", 10, 0), data, named, tmp_path, CPU)
    assert run.recipe.scheme == ActiveSubset(3)
    with pytest.raises(UsageError, match="scheme"):
        train(preset("resnet20-stochastic", 10, 0), data, recipe(), tmp_path, CPU)
    with pytest.raises(UsageError, match="active-subset"):
        ActiveSubset(0)


# ---- other roads ----


def test_the_expectation_of_a_noisy_road_is_its_test_pass():
    road = Noisy(None, 0.3)
    torch.manual_seed(0)
    x = torch.ones(200_000)
    assert set(road.train()(x).unique().tolist()) == {0.0, 1.0}
    assert road(x).mean().item() == pytest.approx(0.3, abs=0.005)
    assert road.eval()(x[:1]).item() == pytest.approx(0.3)
    road.sampling = True
    assert road(x).mean().item() == pytest.approx(0.3, abs=0.005)


def test_a_learned_weight_starts_at_nothing_and_stays_in_its_interval(data):
    units = [ResidualUnit(Weighted(convolution(8, 8))) for _ in range(2)]
    network = find("resnet20").start(headed(units, 8), 0)
    trainer = Trainer(network, data, recipe(learning_rate=300.0, warmup=None), CPU, Team())
    weights = [unit.branch.weight for unit in units]
    assert [w.item() for w in weights] == [0, 0]
    trainer.advance()
    assert all(abs(w.item()) <= 1 for w in weights)
    assert any(abs(w.item()) == 1 for w in weights)


def test_scaled_is_that():
    x = torch.randn(3)
    torch.testing.assert_close(Scaled(None, 0.5)(x), x / 2)
