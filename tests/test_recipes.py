"""The named recipes to the step, and the parts that they are made of."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from residuum.data import load
from residuum.data.augmentation import Augmentation
from residuum.data.images import Dataset, hold_out
from residuum.errors import DataError, UsageError
from residuum.presets import preset
from residuum.training import RECIPES, Machine, Recipe, find_recipe, train
from residuum.training.distributed import Team
from residuum.training.epoch import draw_epoch, steps_per_epoch
from residuum.training.limits import Limits
from residuum.training.loop import Trainer
from residuum.training.optimisers import SGD, LayerFactor, parameter_groups
from residuum.training.schedules import Piecewise, Steps
from residuum.training.schemes import Companions

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)
CIFAR, SVHN, IMAGENET = 50_000, 604_388, 1_281_167

# images of the training part, steps of a tick, ticks, and from which tick on which rate
RATES = {
    "he-cifar": (CIFAR, 1, 64_000, {0: 0.1, 32_000: 0.01, 48_000: 0.001}),
    "he-cifar-warm": (CIFAR, 1, 64_000, {0: 0.01, 400: 0.1, 32_000: 0.01, 48_000: 0.001}),
    "preact-cifar": (CIFAR, 1, 64_000, {0: 0.01, 400: 0.1, 32_000: 0.01, 48_000: 0.001}),
    "preact-cifar-code": (CIFAR, 782, 200, {0: 0.1, 80: 0.01, 121: 0.001}),
    "fb-cifar": (CIFAR, 391, 164, {0: 0.1, 80: 0.01, 121: 0.001}),
    "veit-cifar-code": (CIFAR, 1, 78_516, {0: 0.1, 31_250: 0.01, 46_875: 0.001}),
    "veit-effective-paths": (CIFAR, 1, 64_000, {0: 0.1, 32_000: 0.01, 48_000: 0.001}),
    "pelu-cifar": (CIFAR, 196, 200, {0: 0.1, 81: 0.01, 122: 0.001}),
    "pelu-cifar-code": (CIFAR, 196, 200, {0: 0.1, 80: 0.01, 121: 0.001}),
    "rir-cifar": (CIFAR, 100, 82, {0: 0.1, 42: 0.01, 62: 0.001}),
    "sd-cifar": (CIFAR, 352, 500, {0: 0.1, 250: 0.01, 375: 0.001}),
    "sd-cifar-code": (CIFAR, 352, 500, {0: 0.1, 249: 0.01, 374: 0.001}),
    "sd-1202": (CIFAR, 352, 300, {0: 0.01, 10: 0.1, 150: 0.01, 225: 0.001}),
    "sd-svhn": (SVHN, 4_675, 50, {0: 0.1, 30: 0.01, 35: 0.001}),
    "sd-svhn-code": (SVHN, 4_675, 50, {0: 0.1, 29: 0.01, 34: 0.001}),
    "ror-cifar": (CIFAR, 391, 500, {0: 0.1, 250: 0.01, 375: 0.001}),
    "ror-svhn": (SVHN, 4_722, 50, {0: 0.1, 30: 0.01, 35: 0.001}),
    "swapout-cifar": (CIFAR, 391, 256, {0: 0.1, 192: 0.01, 224: 0.001}),
    "swapout-cifar-code": (CIFAR, 391, 256, {0: 0.1, 192: 0.01, 224: 0.001}),
    "fractal-cifar": (CIFAR, 500, 400, {0: 0.02, 200: 2e-3, 300: 2e-4, 350: 2e-5, 375: 2e-6}),
    "wrn-cifar": (CIFAR, 391, 200, {0: 0.1, 60: 0.02, 120: 0.004, 160: 0.0008}),
    "wrn-cifar-zca": (CIFAR, 391, 200, {0: 0.1, 60: 0.02, 120: 0.004, 160: 0.0008}),
    "wrn-cifar-code": (CIFAR, 390, 200, {0: 0.1, 59: 0.02, 119: 0.004, 159: 0.0008}),
    "wrn-cifar-port": (CIFAR, 391, 200, {0: 0.1, 59: 0.02, 119: 0.004, 159: 0.0008}),
    "wrn-svhn": (SVHN, 4_722, 160, {0: 0.01, 80: 0.001, 120: 0.0001}),
    "wrn-svhn-code": (SVHN, 4_721, 160, {0: 0.01, 79: 0.001, 119: 0.0001}),
    "densenet-cifar": (CIFAR, 782, 300, {0: 0.1, 150: 0.01, 225: 0.001}),
    "densenet-cifar-code": (CIFAR, 782, 300, {0: 0.1, 149: 0.01, 224: 0.001}),
    "densenet-svhn": (SVHN, 9_444, 40, {0: 0.1, 20: 0.01, 30: 0.001}),
    "densenet-svhn-code": (SVHN, 9_444, 40, {0: 0.1, 19: 0.01, 29: 0.001}),
    "resnext-cifar": (CIFAR, 196, 300, {0: 0.1, 150: 0.01, 225: 0.001}),
    "resnext-cifar-code": (CIFAR, 391, 300, {0: 0.1, 147: 0.01, 222: 0.001}),
    "highway-cifar": (
        CIFAR, 1, 200_000, {0: 0.025, 100_000: 2.5e-3, 150_000: 2.5e-4, 175_000: 2.5e-5},
    ),
    "highway-cifar-40k": (
        CIFAR, 1, 200_000, {0: 0.025, 100_000: 2.5e-3, 150_000: 2.5e-4, 175_000: 2.5e-5},
    ),
    "dsn-cifar": (CIFAR, 1, 200_000, {0: 0.025, 150_001: 0.00125, 170_000: 1e-4}),
    "fitnet-cifar": (CIFAR, 390, 288, {0: 0.005}),
    "lsuv-fitnet4": (CIFAR, 1, 90_000, {0: 0.01, 40_000: 1e-3, 60_000: 1e-4, 80_000: 1e-5}),
    "lsuv-fitnet4-rmsprop": (
        CIFAR, 1, 190_000,
        {
            0: 5e-4, 70_000: 2.5e-4, 100_000: 1.25e-4, 130_000: 6.25e-5, 150_000: 3.125e-5,
            170_000: 1.5625e-5, 180_000: 7.8125e-6,
        },
    ),
    "elu11-cifar": (
        CIFAR, 1, 165_000, {0: 0.01, 35_000: 0.005, 85_000: 0.0005, 135_000: 0.00005},
    ),
    "allcnn-cifar": (CIFAR, 391, 350, {0: 0.05, 200: 5e-3, 250: 5e-4, 300: 5e-5}),
    "boost-cifar": (CIFAR, 1, 10_000, {0: 1e-3}),
    "boost-svhn": (SVHN, 1, 10_000, {0: 1e-3}),
    "imagenet-he": (IMAGENET, 5_005, 90, {0: 0.1, 30: 0.01, 60: 0.001}),
    "imagenet-fb": (IMAGENET, 5_005, 90, {0: 0.1, 30: 0.01, 60: 0.001}),
    "imagenet-resnext": (IMAGENET, 5_005, 100, {0: 0.1, 30: 0.01, 60: 0.001, 90: 0.0001}),
}  # fmt: skip


def test_every_recipe_has_its_rates_here():
    assert set(RATES) == set(RECIPES) - {"digits"}


@pytest.mark.parametrize("name", RATES)
def test_the_rate_at_every_step_around_each_change(name):
    recipe, (images, tick, ticks, rates) = RECIPES[name], RATES[name]
    per_epoch = steps_per_epoch(name, images, recipe)
    assert recipe.iterations(1, per_epoch) == tick
    total = recipe.iterations(recipe.length, per_epoch)
    assert total == tick * ticks
    starts = [tick * start for start in rates]
    for start, end, rate in zip(starts, [*starts[1:], total], rates.values(), strict=True):
        for step in (start, start + 1, start + tick, end - 2, end - 1):
            if start <= step < end:
                assert recipe.learning_rate_at(step, per_epoch) == pytest.approx(rate, rel=1e-12)


def test_paper_and_code_say_which_they_are():
    for name, recipe in RECIPES.items():
        if name.endswith(("-code", "-port")) and name != "swapout-cifar-code":
            assert "code" in recipe.source, name
            paper = RECIPES.get(name.rpartition("-")[0])
            assert paper is None or "the paper" in paper.source or "He et al." in paper.source


# ---- the parts ----


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Piecewise((3, 1), (0.1, 0.2)),
        lambda: Piecewise((1, 3), (0.1,)),
        lambda: Piecewise((1,), (0.0,)),
        lambda: LayerFactor("bias"),  # type: ignore[arg-type]
        lambda: LayerFactor("biases", rate=0.0),
        lambda: Limits(gradient=-1.0),
        lambda: Limits(linear=0.0),
        lambda: Recipe("x", 3, sampling="replaced"),  # type: ignore[arg-type]
        lambda: Recipe("x", 3, validation=-1),
        lambda: Recipe("x", 3, augmentation=Augmentation(border="mirror")),  # type: ignore[arg-type]
        lambda: Recipe("x", 3, augmentation=Augmentation(pad_after=-1)),
    ],
)
def test_impossible_parts(wrong):
    with pytest.raises(UsageError):
        wrong()


def test_shortened_recipes_keep_the_shares_of_the_way():
    short = RECIPES["wrn-cifar-code"].shortened(20)
    assert short.schedule == Steps((6, 12, 16), 0.2)
    assert short.restarts == (6, 12, 16)
    dsn = RECIPES["dsn-cifar"].shortened(20)
    assert (dsn.schedule, dsn.restarts) == (Piecewise((15, 17), (0.05, 0.004)), (17,))
    assert dsn.scheme == Companions(5)


def layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5), nn.Linear(5, 2)
    )


def test_rates_and_decays_of_layers():
    network, names = layers(), {}
    for name, parameter in network.named_parameters():
        names[id(parameter)] = name
    found = {}
    for recipe in ("highway-cifar", "dsn-cifar", "fitnet-cifar", "he-cifar"):
        for group in parameter_groups(network, replace(RECIPES[recipe], weight_decay=1.0)):
            for parameter in group["params"]:
                factors = (group["rate_factor"], group["weight_decay"])
                found[recipe, names[id(parameter)]] = factors
    assert len(found) == 4 * 8
    assert found["highway-cifar", "0.weight"] == (1, 1)
    assert found["highway-cifar", "3.bias"] == (2, 0)
    assert found["highway-cifar", "4.weight"] == (1, 10)
    assert found["highway-cifar", "4.bias"] == (2, 0)
    assert found["dsn-cifar", "3.weight"] == (1, 1)
    assert found["dsn-cifar", "4.weight"] == (0.1, 1)
    assert found["dsn-cifar", "4.bias"] == (0.2, 0)
    assert found["fitnet-cifar", "0.bias"] == (0.05, 1)
    assert found["fitnet-cifar", "4.weight"] == (1, 1)
    assert found["he-cifar", "1.weight"] == (1, 0)


def test_largest_norms_and_gradients():
    network = layers()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(20)
        network[4].weight[1] = 0.01
    before = {name: t.clone() for name, t in network.state_dict().items()}
    Limits(convolution=0.9, linear=1.9).project(network)
    after = network.state_dict()
    torch.testing.assert_close(after["0.weight"].flatten(1).norm(dim=1), torch.full((4,), 0.9))
    torch.testing.assert_close(after["3.weight"].norm(dim=1), torch.full((5,), 1.9))
    directions = (torch.nn.functional.normalize(w["0.weight"].flatten(1)) for w in (before, after))
    torch.testing.assert_close(*directions)
    for name in ("1.weight", "0.bias", "3.bias"):
        assert torch.equal(before[name], after[name])
    assert torch.equal(before["4.weight"][1], after["4.weight"][1])  # small enough: to the bit
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    wanted = [p.grad.clamp(-0.1, 0.1) for p in network.parameters()]
    Limits(gradient=0.1).clamp(network)
    assert all(torch.equal(p.grad, w) for p, w in zip(network.parameters(), wanted, strict=True))


# ---- training by them ----


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load("digits")
    return Dataset("digits", digits.train.first(150), digits.test.first(40), digits.classes)


SHORT = replace(find_recipe("digits").shortened(2), batch_size=32, warmup=None)


def trainer(data: Dataset, recipe: Recipe) -> Trainer:
    return Trainer(preset("preresnet8", 10, 0), data, recipe, CPU, Team())


def test_a_restart_forgets_the_momentum(data):
    """Its step is that of an optimiser made anew; the next has momentum again."""
    old = trainer(data, replace(SHORT, restarts=(1,)))
    while old.step < old.steps_per_epoch:
        old.advance()
    new = trainer(data, SHORT)
    new.network.load_state_dict(old.network.state_dict())
    new.step = old.step
    for _ in range(2):
        old.advance(), new.advance()
        for mine, theirs in zip(old.network.parameters(), new.network.parameters(), strict=True):
            assert torch.equal(mine, theirs)
    without = trainer(data, SHORT)
    while without.step < old.step:
        without.advance()
    weights = (t.network.get_parameter("stem.0.weight") for t in (old, without))
    assert not torch.equal(*weights)


def test_rates_and_limits_reach_the_step(data):
    """Plain gradient descent written out: clamped gradients, biases at double rate, no decay."""
    limits = Limits(gradient=1e-3, linear=0.5)
    recipe = replace(SHORT, optimiser=SGD(momentum=0.0), limits=limits, layers=(
        LayerFactor("biases", rate=2.0, decay=0.0),
    ))  # fmt: skip
    mine, twin = trainer(data, recipe), preset("preresnet8", 10, 0).train()
    images, labels = mine.batch()
    nn.functional.cross_entropy(twin(images), labels).backward()
    mine.advance()
    for (name, found), start in zip(
        mine.network.named_parameters(), twin.parameters(), strict=True
    ):
        bias = name.endswith("bias")
        change = start.grad.clamp(-1e-3, 1e-3) + (0 if bias else 5e-4) * start
        wanted = (start - (0.2 if bias else 0.1) * change).detach()
        if wanted.ndim == 2:
            wanted = wanted * (0.5 / wanted.norm(dim=1, keepdim=True)).clamp_max(1)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_short_batches_are_kept_or_dropped():
    for name, kept in (("wrn-cifar", 391), ("wrn-cifar-code", 390)):
        assert steps_per_epoch("CIFAR-10", 50_000, RECIPES[name]) == kept
    assert steps_per_epoch("CIFAR-10", 50_000, RECIPES["sd-cifar"]) == 352  # of 45,000
    with pytest.raises(UsageError, match="45000 images"):
        steps_per_epoch("CIFAR-10", 50_000, replace(RECIPES["sd-cifar"], batch_size=45_001))


def test_sampling_with_replacement_crops_anew():
    recipe = replace(RECIPES["boost-cifar"], seed=3)
    indices, draws = draw_epoch(recipe, 0, 5000)
    assert len(indices) == len(draws) == 5000
    # a share 1 - 1/e of all is drawn at least once
    assert abs(len(indices.unique()) / 5000 - 0.632) < 0.03
    assert indices.max() < 5000
    twice = indices.bincount().argmax()
    assert len(draws[indices == twice].unique(dim=0)) > 1
    assert draws[:, :2].unique().tolist() == [0, 1, 2, 3]


def test_held_out_images_are_fixed_even_and_disjoint(data):
    stays, held = hold_out(data.train, 50)
    assert held.labels.bincount().tolist() == [5] * 10
    assert len(stays) == 100
    rows = [{(p.numpy().tobytes()) for p in part.pixels} for part in (stays, held)]
    assert not rows[0] & rows[1]
    assert rows[0] | rows[1] == {p.numpy().tobytes() for p in data.train.pixels}
    assert hold_out(data.train, 50)[1].digest == held.digest
    assert hold_out(data.train, 0) == (data.train, None)
    for n in (51, 150, 1000):
        with pytest.raises(DataError, match=f"{n} validation images"):
            hold_out(data.train, n)


EVERYTHING = replace(
    SHORT,
    length=3,
    normalisation="gcn-zca",
    augmentation=Augmentation(pad=2, pad_after=1, border="reflection", per="batch"),
    layers=(LayerFactor("biases", rate=2.0, decay=0.0), LayerFactor("last", rate=0.1)),
    limits=Limits(gradient=0.1, convolution=2.0),
    restarts=(1, 2),
    validation=50,
    partial_batches="dropped",
    sampling="replacement",
)


def test_the_best_epoch_is_named_and_a_resumed_run_is_the_same(data, tmp_path, monkeypatch):
    done = train(preset("preresnet8", 10, 0), data, EVERYTHING, tmp_path / "whole", CPU)
    errors = [row.validation_error for row in done.metrics]
    assert None not in errors
    best = done.metrics[errors.index(min(errors))]
    assert done.outcome.best == best
    assert (best.test_n, done.total_steps) == (40, 9)
    real = Trainer.advance

    def advance(self):
        if self.step == 5:
            raise RuntimeError("the power went")
        real(self)

    stopped = preset("preresnet8", 10, 0), data, EVERYTHING, tmp_path / "stopped", CPU
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", advance)
        with pytest.raises(RuntimeError):
            train(*stopped)
    again = train(*stopped)
    assert again.outcome.weights == done.outcome.weights
    assert again.metrics == done.metrics
    without = train(preset("preresnet8", 10, 0), data, SHORT, tmp_path / "plain", CPU)
    assert without.outcome.best is None
    assert without.metrics[0].validation_error is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"augmentation": Augmentation(border="reflection")},
        {"augmentation": Augmentation(pad=2, pad_after=1)},
        {"augmentation": Augmentation(pad=1, per="batch")},
        {"sampling": "replacement"},
        {"normalisation": "gcn"},
        {"normalisation": "gcn-pixel-mean", "validation": 20},
    ],
)
def test_a_batch_is_a_function_of_the_step(data, changes):
    """What a trainer that starts in the middle of an epoch reads is what the other would have."""
    through, fresh = (trainer(data, replace(SHORT, **changes)) for _ in range(2))
    for step in range(2 * through.steps_per_epoch):
        through.step = step
        batch = through.batch()
        if step in (0, 3, through.steps_per_epoch + 1):
            fresh.step, fresh._drawn = step, None
            assert all(torch.equal(a, b) for a, b in zip(batch, fresh.batch(), strict=True))
