"""The recipes that have a name, and recipes of one's own from a file. Loads no torch.

The literature's are in `published/`.
"""

from pathlib import Path

from ..data.augmentation import Augmentation
from ..errors import UsageError, nearest
from ..reader import read
from .optimisers import SGD
from .published import dropping, imagenet, residual, stacks, wide
from .recipe import Recipe
from .schedules import Steps, Warmup

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

_PUBLISHED = (residual, dropping, wide, stacks, imagenet)
RECIPES = {r.name: r for kind in _PUBLISHED for r in kind.RECIPES} | {DIGITS.name: DIGITS}


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
