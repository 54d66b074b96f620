"""The published recipes, to the digit; and recipes of one's own from a file. Loads no torch.

Where a paper and its code differ there are two recipes, and the source says which is which.
"""

from dataclasses import replace
from pathlib import Path

from ..data.augmentation import Augmentation
from ..errors import UsageError, nearest
from ..reader import read
from .optimisers import SGD
from .recipe import Recipe
from .schedules import Steps, Warmup

HE_CIFAR = Recipe(
    "he-cifar",
    64_000,
    "iterations",
    source="He et al. 2015, sec. 4.2; per-pixel mean subtracted, weights alone decay",
    schedule=Steps((32_000, 48_000)),
    normalisation="pixel-mean",
    decay="weights",
)
HE_CIFAR_WARM = replace(
    HE_CIFAR,
    name="he-cifar-warm",
    warmup=Warmup(400, 0.01),
    source="He et al. 2015, sec. 4.2, 110 layers: 0.01 until below 80 % error, 400 iterations",
)
PREACT_CIFAR = replace(
    HE_CIFAR_WARM,
    name="preact-cifar",
    source="He et al. 2016, sec. 4 and appendix (the paper): warm-up in all CIFAR runs",
)
# the code tests epoch >= 81 and epoch >= 122, counted from 1: the rate drops after 80 and 121 whole
# epochs, and milestones here are whole epochs done
FB_CIFAR = Recipe(
    "fb-cifar",
    164,
    source="fb.resnet.torch (the code): Nesterov momentum, channel statistics, everything decays, "
    "no warm-up",
    schedule=Steps((80, 121)),
    optimiser=SGD(nesterov=True),
)
PREACT_CIFAR_CODE = replace(
    FB_CIFAR,
    name="preact-cifar-code",
    length=200,
    batch_size=64,
    source="resnet-1k-layers (the code of He et al. 2016, 1001 layers): batches of 64, Nesterov "
    "momentum, channel statistics, everything decays, no warm-up",
)
DIGITS = Recipe(
    "digits",
    30,
    source="this project, 8x8 digits: shifts by a pixel, no flips (mirrored digits are others)",
    schedule=Steps((18, 25)),
    warmup=Warmup(22, 0.01),
    batch_size=64,
    optimiser=SGD(nesterov=True),
    weight_decay=5e-4,
    augmentation=Augmentation(pad=1, flip=False),
)

_ALL = (HE_CIFAR, HE_CIFAR_WARM, PREACT_CIFAR, PREACT_CIFAR_CODE, FB_CIFAR, DIGITS)
RECIPES = {r.name: r for r in _ALL}


def find_recipe(name: str) -> Recipe:
    """UsageError with the nearest name where there is none."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}.{nearest(name, RECIPES)}")
    return RECIPES[name]


def recipe_from_file(path: str | Path) -> Recipe:
    """A recipe of one's own: TOML with the fields of `Recipe`, at least `name` and `length`.

    UsageError, with the place: not TOML, an unknown word, a missing field, a wrong type or number.
    """
    path = Path(path)
    if path.suffix != ".toml":
        raise UsageError(f"{path}: a recipe file is TOML and its name ends in .toml")
    return read(path, Recipe, UsageError)
