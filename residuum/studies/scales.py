"""How large a study is: the same figures in seconds, on a laptop, or as published."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError, nearest
from ..experiments.trial import Trial
from .study import PLAIN, RESIDUAL, VGG, Scale

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training import Recipe

SCALES = {
    "smoke": Scale("smoke", 20, 1, 2, 100, 100, 8, 3, 3, 2),
    "laptop": Scale("laptop", 56, 20, None, None, 2000, 64, 64, 10),
    "paper": Scale("paper", 110, None, None, None, 10_000, 128, 1000, 20),
}
# of the epochs, on laptops and images of 32 pixels: a step of VGG-15 costs six of the others there
VGG_SHARE = 0.3
LEAST_DEPTH = 14  # two units in a stage
SMALL_IMAGE = 16  # pixels; below it the short recipe for digits is used


def find_scale(name: str) -> Scale:
    """UsageError with the nearest name where there is none."""
    if name not in SCALES:
        raise UsageError(f"unknown scale {name!r}.{nearest(name, SCALES)}")
    return SCALES[name]


def recipes(
    scale: Scale, data: "Dataset", epochs: int | None, seed: int
) -> "tuple[Recipe, Recipe]":
    """For the residual network and its plain twin, and for VGG (not the pre-activation recipe)."""
    from ..training import find_recipe

    small = data.size < SMALL_IMAGE
    stacked = find_recipe("digits" if small else "fb-cifar")
    as_published = scale.name == "paper" and not small
    residual = find_recipe("preact-cifar") if as_published else stacked
    length = epochs
    if length is None:
        length = scale.small_epochs if small else scale.epochs
    if length is not None:
        residual = residual.shortened(length)
        stacked = stacked.shortened(length if small else max(1, round(VGG_SHARE * length)))
    return replace(residual, seed=seed), replace(stacked, seed=seed)


def veit_trials(
    scale: Scale, data: "Dataset", epochs: int | None, seed: int, depth: int | None
) -> dict[str, Trial]:
    """A pre-activation residual network, its plain twin, VGG-15 with pools to fit the images."""
    residual, stacked = recipes(scale, data, epochs, seed)
    depth = scale.depth if depth is None else depth
    if depth < LEAST_DEPTH:
        why = f"figure 5b reorders units, and below depth {LEAST_DEPTH} no two have the same shape"
        raise UsageError(f"depth {depth} is too shallow: {why}")
    return {
        RESIDUAL: Trial(f"preresnet{depth}", residual),
        PLAIN: Trial(f"preplain{depth}", residual),
        VGG: Trial("vgg15", stacked, {} if data.size == 32 else {"size": data.size}),
    }
