"""The view of a model: its units, the expression that they stand in, and what can be done to them.

Anatomy knows models through these types alone, so that it works on our own networks and on foreign
ones alike. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .replay import Replay
    from .tape import Tape

# what is alive between two units: the stream, then what waits (the outer shortcuts of a nest, say)
Signal = tuple["Tensor", ...]
# what meets at a unit's sum: the unit's number, m(h, 0; z), m(0, F; z), m(h, F; z); the first is
# None in a plain unit. What it gives, if not None, stands in the last one's place
Observer = Callable[[int, "Tensor | None", "Tensor", "Tensor"], "Tensor | None"]


# ---- the expression: how units stand to each other ----


@dataclass(frozen=True)
class Leaf:
    """The branch of one unit, weight t in the path polynomial.

    `number`: of the leaf, in signal order.
    `opens`: deleting it leaves a way of its own (a plain unit, whose severed shortcut opens); a
    layer in a column of a fractal network leaves none.
    `terms`: branches that are added at once, each a way of its own: 2 t for two.
    """

    number: int
    opens: bool = False
    terms: int = 1


@dataclass(frozen=True)
class Series:
    """Parts one behind the other; empty, the way round."""

    parts: tuple[Expression, ...] = ()


@dataclass(frozen=True)
class Parallel:
    """Parts side by side that are merged. A residual unit is Parallel((Series(), Leaf(i)))."""

    parts: tuple[Expression, ...]


Expression = Leaf | Series | Parallel


def leaves(expression: Expression) -> Iterator[Leaf]:
    """In signal order."""
    if isinstance(expression, Leaf):
        yield expression
    else:
        for part in expression.parts:
            yield from leaves(part)


def single(part: Expression) -> Leaf | None:
    """The leaf of one unit, plain or residual; None for anything larger."""
    if isinstance(part, Parallel) and len(part.parts) == 2 and part.parts[0] == Series():
        part = part.parts[1]
    return part if isinstance(part, Leaf) else None


def residual(part: Expression) -> bool:
    """Whether it is one residual unit of one branch, 1 + t."""
    leaf = single(part)
    return isinstance(part, Parallel) and leaf is not None and leaf.terms == 1


def rows(series: Series) -> list[tuple[int, ...]]:
    """The leaves that stand directly in one series, of each that has any: they may trade places."""
    direct = tuple(leaf.number for part in series.parts if (leaf := single(part)))
    nests = [part for part in series.parts if not single(part)]
    inner = [p for nest in nests for p in (nest, *getattr(nest, "parts", ()))]
    nested = [row for part in inner if isinstance(part, Series) for row in rows(part)]
    return [direct, *nested] if direct else nested


# ---- edits ----


@dataclass(frozen=True)
class Keep:
    """The unit as it is."""


@dataclass(frozen=True)
class Delete:
    """The branch taken out; the rest of the unit stays.

    `strict` keeps the merge too: (1 - T) h for a gate.
    """

    strict: bool = False


@dataclass(frozen=True)
class Put:
    """The unit of that number in this place."""

    number: int


@dataclass(frozen=True)
class Scale:
    """What the branch adds, times a factor: m(h, 0; z) + factor m(0, F; z).

    0 is a strict deletion. UsageError: a factor that is not finite.
    """

    factor: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.factor):
            raise UsageError(f"a branch is scaled by a finite factor, not {self.factor}")


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor in place of what the branch adds: m(h, 0; z) + tensor.

    `tensor`: one row for all examples alike, (1, ...), as the mean over examples is; or a row for
    each example, (N, ...), as what the branch adds on other examples is (resampling).
    """

    tensor: Tensor


@dataclass(frozen=True)
class Repeat:
    """The unit, passed so many times: u(u(x)) for 2. Of a unit that keeps the shape.

    UsageError: less than once.
    """

    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise UsageError(f"a unit is passed once or more, not {self.times} times; see Delete")


Edit = Keep | Delete | Put | Scale | Value | Repeat
KEEP, DELETE = Keep(), Delete()


def require_edits(edits: Mapping[int, Edit], n: int) -> None:
    """UsageError: what is no edit; a place or a unit that is not there, of n."""
    for place, edit in edits.items():
        if not isinstance(edit, Edit):
            what = "Delete(), Put(unit), Scale(factor), Value(tensor), Repeat(times) or Keep()"
            raise UsageError(f"unit {place}: an edit is {what}, not {edit!r}")
        for number in (place, edit.number if isinstance(edit, Put) else place):
            require_unit(number, n)


# ---- the view ----


@dataclass(frozen=True)
class UnitInfo:
    """One unit: what is counted, deleted, numbered and drawn.

    `shortcut`, `merge`: words ("identity", "projection", "severed"; "sum", "gate").
    `terms`: branches that are added at once.
    `shape_in`, `shape_out`: without the batch; None where no example input was given.
    `removable_parameters`: how many go with the branch.
    `form`: units of one form and shape may stand in each other's places.
    """

    number: int
    name: str
    shortcut: str
    merge: str
    terms: int
    shape_in: tuple[int, ...] | None
    shape_out: tuple[int, ...] | None
    removable_parameters: int
    form: str = ""


def require_unit(number: int, total: int) -> None:
    """UsageError: a number that none of so many units has."""
    if number not in range(total):
        raise UsageError(f"no unit {number}: this network has units 0 to {total - 1}")


class Stages(Protocol):
    """A model cut at its units, prepared for many evaluations: what a fast sweep needs.

    No step changes a tensor that it was given, so that prefixes can be kept and shared.
    """

    def allows(self, edit: Edit) -> bool:
        """Whether `step` knows this edit."""
        ...

    def begin(self, inputs: Any) -> Signal:
        """The signal ahead of the first unit."""
        ...

    def step(self, place: int, signal: Signal, edit: Edit = KEEP) -> Signal:
        """The signal behind the unit at this place."""
        ...

    def finish(self, signal: Signal) -> Any:
        """The model's own output."""
        ...


class View(Protocol):
    """A model as units. `units` and the leaves of `expression` agree in number and order."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def units(self) -> Sequence[UnitInfo]: ...

    @property
    def expression(self) -> Series: ...

    def edited(self, edits: Mapping[int, Edit]) -> AbstractContextManager[None]:
        """The model with these places edited: the definition of every intervention."""
        ...

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """Passes of the model that show what meets at the sum of every unit, in signal order."""
        ...

    def stages(self, inputs: Any) -> Stages | None:
        """For inputs like these; None where the model cannot be cut."""
        ...

    def replay(self) -> Replay | None:
        """Passes that begin behind what they leave unchanged; None where a model cannot do that.

        Sweeps use `stages`, else this, else `edited`, one whole pass a variant, and say which.
        """
        ...

    def tape(self, inputs: Any) -> Tape | None:
        """The model linearised at these inputs; None where that is impossible.

        UsageError: a merge not linear.
        """
        ...
