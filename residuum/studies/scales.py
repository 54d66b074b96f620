"""How large a study is: the same figures in seconds, on a laptop, or as published."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError, nearest
from ..experiments.trial import Trial
from .study import CONTROL, PLAIN, RESIDUAL, VGG, Scale

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training import Recipe

SMOKE = Scale(
    name="smoke",
    depth=20,
    epochs=1,
    seeds=1,
    examples=100,
    draws_examples=100,
    subsets=4,
    orders=3,
    gradient_examples=8,
    particles=2,
    replicates=2,
    samples=3,
)
LAPTOP = Scale(
    name="laptop",
    depth=56,
    epochs=20,
    seeds=1,
    examples=None,
    draws_examples=500,
    subsets=50,
    orders=100,
    gradient_examples=64,
    particles=8,
    replicates=2,
    samples=64,
)
PAPER = Scale(
    name="paper",
    depth=110,
    epochs=None,
    seeds=1,
    examples=None,
    draws_examples=10_000,
    subsets=200,
    orders=100,
    gradient_examples=128,
    particles=16,
    replicates=2,
    samples=1000,
)
SCALES = {scale.name: scale for scale in (SMOKE, LAPTOP, PAPER)}
SMALL_IMAGE = 16  # pixels; below it the short recipe for digits is used, and time allows more seeds
SMALL = SCALES | {
    "smoke": replace(SMOKE, epochs=2),
    "laptop": replace(LAPTOP, epochs=30, seeds=3, draws_examples=300),
}
# of the epochs, for VGG: its steps cost more (six times as much at 32 pixels), and it needs fewer
VGG_SHARE, SMALL_VGG_SHARE = 0.3, 0.5
SMALL_VGG_RATE = 0.02  # in so few steps it does not train at 0.1
UNTRAINED_STEPS = 50  # at a learning rate of zero: batch statistics settle, weights stay
LEAST_DEPTH = 14  # two units in a stage


def find_scale(name: str, size: int = 32) -> Scale:
    """For images of `size` pixels. UsageError with the nearest name where there is none."""
    if name not in SCALES:
        raise UsageError(f"unknown scale {name!r}.{nearest(name, SCALES)}")
    return (SMALL if size < SMALL_IMAGE else SCALES)[name]


def recipes(
    scale: Scale, data: "Dataset", epochs: int | None, seed: int
) -> "tuple[Recipe, Recipe]":
    """For the residual network and its plain twin, and for VGG (not the pre-activation recipe)."""
    from ..training import find_recipe

    small = data.size < SMALL_IMAGE
    stacked = find_recipe("digits" if small else "fb-cifar")
    as_published = scale.name == "paper" and not small
    residual = find_recipe("preact-cifar") if as_published else stacked
    length = scale.epochs if epochs is None else epochs
    if length is not None:
        residual = residual.shortened(length)
        share = SMALL_VGG_SHARE if small else VGG_SHARE
        if small:
            name = f"{stacked.name}, rate {SMALL_VGG_RATE}"
            stacked = replace(stacked, name=name, learning_rate=SMALL_VGG_RATE)
        stacked = stacked.shortened(max(1, round(share * length)))
    return replace(residual, seed=seed), replace(stacked, seed=seed)


def untrained(recipe: "Recipe") -> "Recipe":
    """The same in a few steps at a learning rate of zero: a control with its initial weights."""
    from ..training.schedules import Steps

    still = replace(recipe, learning_rate=0.0, schedule=Steps(), warmup=None)
    return replace(still, name="untrained", length=UNTRAINED_STEPS, clock="iterations")


def veit_trials(
    scale: Scale, data: "Dataset", epochs: int | None, seed: int, depth: int | None
) -> dict[str, Trial]:
    """A pre-activation residual network, its plain twin, VGG-15 with pools to fit the images, and
    the residual network untrained."""
    residual, stacked = recipes(scale, data, epochs, seed)
    depth = scale.depth if depth is None else depth
    if depth < LEAST_DEPTH:
        why = f"figure 5b reorders units, and below depth {LEAST_DEPTH} no two have the same shape"
        raise UsageError(f"depth {depth} is too shallow: {why}")
    return {
        RESIDUAL: Trial(f"preresnet{depth}", residual),
        PLAIN: Trial(f"preplain{depth}", residual),
        VGG: Trial("vgg15", stacked, {} if data.size == 32 else {"size": data.size}),
        CONTROL: Trial(f"preresnet{depth}", untrained(residual)),
    }
