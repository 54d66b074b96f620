"""What verbs are asked, as values: the one list of arguments, for Python and the command line.

The text below a field is its help. Loads no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import wraps
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UsageError, nearest

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training import Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """Where the images come from."""

    data: str | None = None
    """digits (the default), class folders or an archive of them, cifar10:DIR, cifar100:DIR,
    svhn:DIR."""
    data_name: str | None = None
    """What figures call the data (class folders)."""
    image_size: int | None = None
    """Resize and crop to this many pixels (class folders)."""
    download: bool = False
    """Fetch a published archive that is missing."""

    def load(self) -> "Dataset":
        """Raises what `residuum.data.load` raises."""
        from ..data import load

        return load(self.data or "digits", self.data_name, self.download, self.image_size)


@dataclass(frozen=True)
class NetworkOptions:
    """Options of a preset; each network takes those that it has."""

    shortcut: str | None = None
    """A, A-avg, B, B-bare or C."""
    arrangement: str | None = None
    """original, bn_after_add, relu_before_add, relu_preact or preact."""
    size: int | None = None
    """Pixels of an image (VGG)."""

    def given(self) -> dict[str, str | int]:
        """Those that are not left to the network."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Training:
    """Which recipe, and what is changed of it."""

    recipe: str | None = None
    """A name of `residuum ls` or a file (TOML); by default one that fits the data."""
    epochs: int | None = None
    """Shorten or stretch the recipe, its milestones in proportion."""
    batch_size: int | None = None
    """Instead of the recipe's own."""
    learning_rate: float | None = None
    """Instead of the recipe's own."""
    seed: int | None = None
    """Of weights, order and augmentation; the recipe's own, 0, by default."""

    def choose(self, image_size: int) -> "Recipe":
        """UsageError: an unknown name, a file that is no recipe, a number that cannot be."""
        from ..training.recipes import find_recipe, recipe_from_file

        name = self.recipe or ("digits" if image_size < 16 else "fb-cifar")
        is_file = name.endswith(".toml") or "/" in name
        recipe = recipe_from_file(name) if is_file else find_recipe(name)
        own = {name: getattr(self, name) for name in ("batch_size", "learning_rate", "seed")}
        recipe = replace(recipe, **{k: v for k, v in own.items() if v is not None})
        return recipe if self.epochs is None else recipe.shortened(self.epochs)


@dataclass(frozen=True)
class Deletions:
    """Which units are deleted: each on its own where neither `units` nor `random` is given."""

    units: tuple[int, ...] | None = None
    """Delete these together: --units 3 --units 5."""
    random: tuple[int, ...] | None = None
    """Delete this many at random: --random 1 --random 5."""
    repeats: int = 10
    """Random sets of each number."""
    seed: int = 0
    """Of the random sets."""

    def __post_init__(self) -> None:
        if self.units is not None and self.random is not None:
            both = "units to delete together or numbers to delete at random"
            raise UsageError(f"give either {both}, not both")
        if self.repeats < 1:
            raise UsageError(f"repeats must be at least 1, not {self.repeats}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, not {self.seed}")


@dataclass(frozen=True)
class Scope:
    """How large a study is, where it is kept, and by how many workers it is carried out."""

    scale: str = "laptop"
    """smoke (seconds), laptop (2 cores) or paper (as published)."""
    epochs: int | None = None
    """Instead of the scale's own length of training."""
    depth: int | None = None
    """Instead of the scale's own depth, 6n+2."""
    seed: int = 0
    """Of the first training, and of what is drawn when measuring."""
    seeds: int | None = None
    """Trainings of every network, from that seed on; by default the scale's own: one, or three on
    images below 16 pixels."""
    store: str | Path = "runs"
    """Where finished trainings and measurements are kept, for all studies."""
    output: str | Path | None = None
    """The study's folder; runs/NAME-SCALE by default."""
    workers: int = 1
    """Networks trained and measured at the same time, each with its own threads."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"workers must be at least 1, not {self.workers}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, not {self.seed}")
        if self.seeds is not None and self.seeds < 1:
            raise UsageError(f"seeds must be at least 1, not {self.seeds}")


def verb(function: Callable[..., T]) -> Callable[..., T]:
    """Lets a function's requests be given field by field; its own signature stays the only list.

    UsageError: a keyword that is neither an argument nor a field of one.
    """
    own = signature(function).parameters
    requests = {name: p.annotation for name, p in own.items() if is_dataclass(p.annotation)}
    within = {name: [field.name for field in fields(kind)] for name, kind in requests.items()}
    known = {*own.keys() - requests.keys(), *chain(*within.values())}

    @wraps(function)
    def call(*arguments: Any, **words: Any) -> T:
        for word in words:
            if word not in known and word not in requests:
                raise UsageError(f"{function.__name__} takes no {word!r}.{nearest(word, known)}")
        for name, names in within.items():
            if given := {word: words.pop(word) for word in names if word in words}:
                words[name] = replace(words.get(name, own[name].default), **given)
        return function(*arguments, **words)

    return call
