"""How large a study is: the same figures in seconds, on a laptop, or as published."""

from dataclasses import dataclass, replace

from ..data import Dataset
from ..errors import UsageError, nearest
from ..training import Recipe, find_recipe
from .trial import Trial


@dataclass(frozen=True)
class Scale:
    """The networks' depth and training, and how much is measured. `examples`: of the test part (None: all of them).

    `draws_examples`: for figures with many random draws; `gradient_examples`: training pictures for gradients;
    `samples`: single paths of every length; `repeats`: random subsets or orders of every size.
    """

    name: str
    depth: int
    epochs: int | None
    small_epochs: int | None
    examples: int | None
    draws_examples: int | None
    gradient_examples: int
    samples: int
    repeats: int
    signed_draws: int = 4


SCALES = {
    s.name: s
    for s in (
        Scale("smoke", 20, 1, 2, 100, 100, 8, 3, 3, 2),
        Scale("laptop", 56, 20, None, None, 2000, 64, 64, 10),
        Scale("paper", 110, None, None, None, 10_000, 128, 1000, 20),
    )
}


def find_scale(name: str) -> Scale:
    if name not in SCALES:
        raise UsageError(f"unknown scale {name!r}.{nearest(name, SCALES)}")
    return SCALES[name]


VGG_SHARE = 0.3  # of the epochs, on laptops and pictures of 32 pixels: a step of VGG-15 costs six of the others there
SMALL_PICTURE = 16  # pixels; below it the short recipe for digits is used


def recipes(scale: Scale, data: Dataset, epochs: int | None, seed: int) -> tuple[Recipe, Recipe]:
    """For the residual network and its plain twin, and for VGG, which the pre-activation recipe is not meant for."""
    small = data.size < SMALL_PICTURE
    residual = find_recipe("digits" if small else "preact-cifar" if scale.name == "paper" else "fb-cifar")
    stacked = find_recipe("digits") if small else find_recipe("fb-cifar")
    length = epochs or (scale.small_epochs if small else scale.epochs)
    if length is not None:
        share = 1.0 if small else VGG_SHARE
        residual, stacked = residual.shortened(length), stacked.shortened(max(1, round(share * length)))
    return replace(residual, seed=seed), replace(stacked, seed=seed)


def veit_trials(
    scale: Scale, data: Dataset, epochs: int | None = None, seed: int = 0, depth: int | None = None
) -> list[Trial]:
    """A pre-activation residual network, its plain twin and VGG-15 (its pools fitted to the pictures)."""
    residual, stacked = recipes(scale, data, epochs, seed)
    vgg_options = {} if data.size == 32 else {"size": data.size}
    deep = depth or scale.depth
    return [
        Trial(f"preresnet{deep}", residual),
        Trial(f"preplain{deep}", residual),
        Trial("vgg15", stacked, vgg_options),
    ]
