"""What verbs are asked, as values: the one list of arguments, for Python and the command line.

The text below a field is its help. Loads no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import wraps
from inspect import Parameter, signature
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from msgspec import Meta

from ..errors import UsageError, nearest
from ..reader import Count, NotNegative, Pixels, Seed, Share, Whole, check, expect, require
from ..subjects.asked import Measuring, Opening, Source

if TYPE_CHECKING:
    from ..training import Recipe

__all__ = [
    "Deletions", "Looking", "Measuring", "NetworkOptions", "Opening", "Scope", "Some", "Source",
    "Training", "verb",
]  # fmt: skip

T = TypeVar("T")
Some = Annotated[tuple[T, ...], Meta(min_length=1)]


@dataclass(frozen=True)
class NetworkOptions:
    """Options of a preset; each network takes those that it has."""

    shortcut: str | None = None
    """A, A-avg, B, B-bare or C."""
    arrangement: str | None = None
    """original, bn_after_add, relu_before_add, relu_preact or preact."""
    size: Pixels | None = None
    """Pixels of an image (where linear layers read the whole image: vgg15, dsn, ...)."""

    def given(self) -> dict[str, str | int]:
        """Those that are not left to the network."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Training:
    """Which recipe, and what is changed of it."""

    recipe: str | None = None
    """A name of `residuum ls` or a file (TOML); by default one that fits the data."""
    epochs: Count | None = None
    """Shorten or stretch the recipe, its milestones in proportion."""
    batch_size: Count | None = None
    """Instead of the recipe's own."""
    learning_rate: NotNegative | None = None
    """Instead of the recipe's own."""
    seed: Seed | None = None
    """Of weights, order and augmentation; the recipe's own, 0, by default."""
    teacher: str | Path | None = None
    """The finished run that the recipe learns from (scheme hints)."""

    def choose(self, image_size: int) -> "Recipe":
        """UsageError: an unknown name, a file that is no recipe, a number that cannot be."""
        from ..training.recipes import find_recipe, recipe_from_file

        name = self.recipe or ("digits" if image_size < 16 else "fb-cifar")
        is_file = name.endswith(".toml") or "/" in name
        recipe = recipe_from_file(name) if is_file else find_recipe(name)
        own = {name: getattr(self, name) for name in ("batch_size", "learning_rate", "seed")}
        recipe = replace(recipe, **{k: v for k, v in own.items() if v is not None})
        if self.teacher is not None:
            recipe = recipe.taught_by(str(self.teacher))
        return recipe if self.epochs is None else recipe.shortened(self.epochs)


@dataclass(frozen=True)
class Looking:
    """How each test image is looked at: once as it is, where nothing is given."""

    crops: Literal["ten"] | None = None
    """ten: average over the four corners and the centre, each also mirrored."""
    crop_size: Pixels | None = None
    """Of --crops: pixels of a side; by default the image's own, padded as in training."""
    scales: Some[Annotated[int, Meta(ge=1, le=4096)]] | None = None
    """Average over these sizes in pixels: --scales 24 --scales 32."""
    samples: Count | None = None
    """Average over so many noisy passes (Swapout; the paper takes 30)."""

    def __post_init__(self) -> None:
        if self.crops is not None and self.scales is not None:
            raise UsageError("give either crops (--crops) or sizes (--scales), not both")
        if self.crop_size is not None and self.crops is None:
            raise UsageError("crop_size is of ten crops (--crops ten), not given here")
        if self.scales and len(set(self.scales)) < len(self.scales):
            raise UsageError(f"scales: a size is given twice among {list(self.scales)}")


@dataclass(frozen=True)
class Deletions:
    """Which units are deleted: each on its own where neither `units` nor `random` is given."""

    units: Some[Whole] | None = None
    """Delete these together: --units 3 --units 5."""
    random: Some[Count] | None = None
    """Delete this many at random: --random 1 --random 5."""
    repeats: Annotated[int, Meta(ge=1, le=100_000)] = 10
    """Random sets of each number."""
    seed: Seed = 0
    """Of the random sets, and of the order of images when deciding."""
    until_decided: bool = False
    """Each unit on its own, on no more images than it takes to decide whether the error rises by
    more than the margin."""
    margin: Share | None = None
    """Of --until-decided, as a fraction: 0.02 (2 points) by default."""
    error_rate: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Of --until-decided: the chance that any unit's decision is wrong, 0.05 by default."""

    def __post_init__(self) -> None:
        if self.units is not None and self.random is not None:
            both = "units to delete together or numbers to delete at random"
            raise UsageError(f"give either {both}, not both")
        if self.random is None and self.repeats != 10:
            raise UsageError("repeats is of random sets: say with --random of how many")
        if self.random is None and self.seed and not self.until_decided:
            raise UsageError("seed is of random sets and of until_decided: give --random, or that")
        if self.random and len(set(self.random)) < len(self.random):
            raise UsageError(f"random: a number is given twice among {list(self.random)}")
        if self.until_decided and (self.units is not None or self.random is not None):
            raise UsageError("until_decided deletes each unit on its own: no units, no random")
        for name in ("margin", "error_rate"):
            if getattr(self, name) is not None and not self.until_decided:
                raise UsageError(f"{name} is of until_decided (--until-decided), not given here")

    @property
    def question(self) -> tuple[float, float]:
        """Margin and error rate."""
        from ..anatomy.betting import ERROR_RATE, MARGIN

        return (
            MARGIN if self.margin is None else self.margin,
            ERROR_RATE if self.error_rate is None else self.error_rate,
        )


@dataclass(frozen=True)
class Scope:
    """How large a study is, where it is kept, and by how many workers it is carried out."""

    scale: str = "laptop"
    """smoke (seconds), laptop (2 cores) or paper (as published)."""
    epochs: Count | None = None
    """Instead of the scale's own length of training."""
    depth: Count | None = None
    """Instead of the scale's own depth, 6n+2."""
    seed: Seed = 0
    """Of the first training, and of what is drawn when measuring."""
    seeds: Annotated[int, Meta(ge=1, le=100)] | None = None
    """Trainings of every network, from that seed on; by default the scale's own: one, or three on
    images below 16 pixels."""
    store: str | Path = "runs"
    """Where finished trainings and measurements are kept, for all studies."""
    output: str | Path | None = None
    """The study's folder; runs/NAME-SCALE by default."""
    workers: Count = 1
    """Networks trained and measured at the same time, each with its own threads."""


def verb(function: Callable[..., T]) -> Callable[..., T]:
    """Lets a function's requests be given field by field; its own signature stays the only list.

    UsageError: a keyword that is neither an argument nor a field of one, a missing argument, or a
    value of another type than it is annotated with.
    """
    taken = signature(function)
    own = taken.parameters
    requests = {name: p.annotation for name, p in own.items() if is_dataclass(p.annotation)}
    within = {name: [field.name for field in fields(kind)] for name, kind in requests.items()}
    known = {*own.keys() - requests.keys(), *chain(*within.values())}

    def typed(name: str, value: object) -> None:
        kind = own[name].annotation
        if name not in requests:
            several = own[name].kind is Parameter.VAR_POSITIONAL
            for each in value if several else (value,):  # type: ignore[attr-defined]
                require(each, kind, name, UsageError)
            return
        expect(value, kind, name)
        check(value, "", UsageError)

    @wraps(function)
    def call(*arguments: Any, **words: Any) -> T:
        for word in words:
            if word not in known and word not in requests:
                raise UsageError(f"{function.__name__} takes no {word!r}.{nearest(word, known)}")
        given = {name: words.pop(name) for name in chain(*within.values()) if name in words}
        try:
            bound = taken.bind(*arguments, **words)
        except TypeError as error:
            raise UsageError(f"{function.__name__}: {error}") from error
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            typed(name, value)
        for name, names in within.items():
            if changed := {word: given[word] for word in names if word in given}:
                bound.arguments[name] = replace(bound.arguments[name], **changed)
                typed(name, bound.arguments[name])
        return function(*bound.args, **bound.kwargs)

    return call
