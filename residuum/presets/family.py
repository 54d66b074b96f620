"""What a row of the catalogue says, and what a family says of the depths that no paper names."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from ..errors import UsageError, nearest
from ..networks.stages import UnitMaker
from ..parts.arrangements import ARRANGEMENTS
from ..parts.init import Initialisation
from ..parts.shortcuts import option_a, option_a_average, option_b, option_b_bare, option_c
from ..reader import Pixels, require
from ..units import ResidualNetwork
from .published import Published

Classes = Annotated[int, Meta(ge=2, le=2**31 - 1)]
SHORTCUTS = {
    "A": option_a,
    "A-avg": option_a_average,
    "B": option_b,
    "B-bare": option_b_bare,
    "C": option_c,
}


@dataclass(frozen=True)
class Preset:
    """One published network.

    `network`: its builder, (classes, maker) -> network; without a maker (classes, **options).
    `maker`: the maker of its units, from the options; None where the builder has no makers.
    `start`: its initial weights.
    `recipe`: the name of the recipe that belongs to it; empty where none is here.
    `size`: pixels of an image.
    `options`: the keyword arguments that `preset` takes for it.
    """

    name: str
    depth: int
    source: str
    network: Callable[..., ResidualNetwork]
    maker: Callable[..., UnitMaker] | None
    start: Initialisation
    recipe: str = ""
    published: tuple[Published, ...] = ()
    note: str = ""
    size: int = 32
    classes: int = 10
    options: tuple[str, ...] = ("shortcut", "arrangement")

    @property
    def family(self) -> str:
        """The letters ahead of the depth or number."""
        return re.split(r"-?\d", self.name)[0]

    @property
    def initialisation(self) -> str:
        """In words: "he_normal fan-in". A network built by `preset` says the same of itself."""
        return self.start.word

    def build(
        self,
        classes: int,
        options: Mapping[str, Any],
        wrap: Callable[[UnitMaker], UnitMaker] = lambda maker: maker,
    ) -> ResidualNetwork:
        """The network without initial weights of its own; `wrap` changes the maker of its units.

        UsageError: an option or value that it does not take (with the nearest), bad classes.
        """
        require(classes, Classes, f"{self.name}: classes", UsageError)
        parts = {option: self._part(option, value) for option, value in options.items()}
        try:
            if self.maker is None:
                return self.network(classes, **parts)
            return self.network(classes, wrap(self.maker(**parts)))
        except ValueError as error:
            raise UsageError(f"{self.name}: {error}") from error

    def _part(self, option: str, value: object) -> object:
        """What the builder takes for an option: the function or arrangement of that name."""
        if option not in self.options:
            near = nearest(option, self.options)
            raise UsageError(f"{self.name} has no option {option!r}.{near}")
        if option == "size":
            require(value, Pixels, f"{self.name}: size", UsageError)
            return value
        table = {"shortcut": SHORTCUTS, "arrangement": ARRANGEMENTS}[option]
        if not isinstance(value, str) or value not in table:
            raise UsageError(f"unknown {option} {value!r}.{nearest(str(value), table)}")
        return table[value]


@dataclass(frozen=True)
class Family:
    """Networks of every depth step*n + 2, named `prefix` depth `suffix`, say resnet26.

    `member`: (name, depth) -> its row.
    """

    prefix: str
    step: int
    member: Callable[[str, int], Preset]
    suffix: str = ""

    @property
    def rule(self) -> str:
        return f"{self.step}n+2"

    def depth(self, name: str) -> int | None:
        """The depth in a name of this family, whether it fits the rule or not; else None."""
        pattern = f"{self.prefix}([1-9][0-9]{{0,3}}){re.escape(self.suffix)}"
        return int(found[1]) if (found := re.fullmatch(pattern, name)) else None

    def near(self, depth: int) -> int:
        """The nearest depth that fits the rule."""
        return self.step * max(1, round((depth - 2) / self.step)) + 2

    def named(self, depth: int) -> str:
        return f"{self.prefix}{depth}{self.suffix}"
