"""Our own networks as a view: rows and nests of `ResidualUnit`, flattened to their leaves."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import chain, count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..parts.shortcuts import Severed
from ..parts.wrappers import Wrapper
from ..units import ResidualNetwork, ResidualUnit, Row
from . import fold
from .edits import Repeated, at_rest, deleted, device_of, observed, replace, scaled, valued
from .tape import Tape, writes
from .view import (
    KEEP,
    Delete,
    Edit,
    Expression,
    Keep,
    Leaf,
    Observer,
    Parallel,
    Put,
    Repeat,
    Scale,
    Series,
    Signal,
    UnitInfo,
    Value,
    require_edits,
)

Move = Callable[[Signal], Signal]


class Slot(NamedTuple):
    """The place of a leaf: where it hangs, and what nests do to the signal ahead of it and behind.

    A nest is entered ahead of its first leaf, turned to its second road ahead of that road's first
    leaf (where its shortcut is a row) and left behind its last.
    """

    row: Row
    key: str
    name: str
    ahead: tuple[Move, ...] = ()
    behind: tuple[Move, ...] = ()

    @property
    def unit(self) -> ResidualUnit:
        return getattr(self.row, self.key)


def slots(row: Row, name: str = "units") -> Iterator[Slot]:
    """Of every leaf, in signal order."""
    for number, unit in enumerate(row):
        key, here = str(number), f"{name}.{number}"  # one unit may stand in several places
        if not isinstance(unit.branch, Row):
            yield Slot(row, key, here)
            continue
        inner = list(slots(unit.branch, f"{here}.branch"))
        roads, moves = [inner], [_enter]
        if isinstance(unit.shortcut, Row):
            roads.insert(0, list(slots(unit.shortcut, f"{here}.shortcut")))
            moves.append(_turn)
        for road, move in zip(roads, moves, strict=True):
            if not road:
                raise UsageError(f"{here}: a nested unit whose row has no units")
            road[0] = road[0]._replace(ahead=(partial(move, unit), *road[0].ahead))
        inner[-1] = inner[-1]._replace(behind=(*inner[-1].behind, partial(_leave, unit)))
        yield from chain(*roads)


def leaves(network: ResidualNetwork) -> Iterator[ResidualUnit]:
    """The innermost units in signal order: those that a path counts and a lesion edits."""
    return (slot.unit for slot in slots(network.units))


def express(row: Row, numbers: Iterator[int] | None = None) -> Series:
    """The row as an expression: a leaf is t, a residual unit 1 + t, a nest 1 + (its row), a nest
    whose shortcut is a row (that row) + (its row)."""
    numbers = count() if numbers is None else numbers
    parts: list[Expression] = []
    for unit in row:
        around = express(unit.shortcut, numbers) if isinstance(unit.shortcut, Row) else Series()
        if isinstance(unit.branch, Row):
            inside: Expression = express(unit.branch, numbers)
        else:
            inside = Leaf(next(numbers), opens=unit.opens)
        parts.append(inside if unit.plain else Parallel((around, inside)))
    return Series(tuple(parts))


class NetworkView:
    """A `ResidualNetwork` as a view. Units are looked up when they are used, so edits show."""

    def __init__(self, network: ResidualNetwork, *inputs: Tensor):
        self.model = network
        self.slots = list(slots(network.units))
        places = Counter((id(slot.row), slot.key) for slot in self.slots)
        if places and max(places.values()) > 1:
            raise UsageError("a nest stands in two places: its units cannot be edited apart")
        self.expression = express(network.units)
        self._inputs = inputs

    @property
    def units(self) -> tuple[UnitInfo, ...]:
        return self._units

    @cached_property
    def _units(self) -> tuple[UnitInfo, ...]:
        shapes = [(None, None)] * len(self.slots)
        if self._inputs:
            shapes = list(self._shapes(self._inputs[0][:1]))
        return tuple(
            _describe(number, slot, *shape)
            for number, (slot, shape) in enumerate(zip(self.slots, shapes, strict=True))
        )

    @torch.no_grad()
    def _shapes(self, example: Tensor) -> Iterator[tuple[Any, Any]]:
        """Of what each leaf is given and gives."""
        with at_rest(self.model):
            steps = NetworkStages(self.model, writes(self.model))
            signal = steps.begin(example.to(device_of(self.model)))
            for place in range(len(self.slots)):
                given = steps.ahead(place, signal)
                gives = steps.across(place, given)
                yield tuple(given[0].shape[1:]), tuple(gives[0].shape[1:])
                signal = steps.behind(place, gives)

    @contextmanager
    def edited(self, edits: Mapping[int, Edit]) -> Iterator[None]:
        """UsageError: what is no edit; a place or a unit that is not there."""
        require_edits(edits, len(self.slots))
        units = [slot.unit for slot in self.slots]
        moved = [
            (self.slots[place].row, self.slots[place].key, _edited(units, place, edit))
            for place, edit in edits.items()
        ]
        with replace(moved):
            yield

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        watched = [
            (slot.row, slot.key, observed(slot.unit, number, observer))
            for number, slot in enumerate(self.slots)
        ]
        with replace(watched):
            yield

    def stages(self, inputs: Any = None) -> "NetworkStages":
        return NetworkStages(fold.prepared(self.model), writes(self.model))

    def replay(self) -> None:
        """`stages` is faster."""
        return None

    def tape(self, inputs: Tensor) -> Tape | None:
        return Tape(self.model, inputs.to(device_of(self.model)))


class NetworkStages:
    """A network cut at its leaves. A nest opens at its first; its roads wait behind the stream."""

    def __init__(self, network: ResidualNetwork, writes: bool):
        """`writes`: parts of the network may change what they are given, so they get a copy."""
        self.network, self.writes = network, writes
        self.slots = list(slots(network.units))
        self.units = [slot.unit for slot in self.slots]

    def allows(self, edit: Edit) -> bool:
        return True

    def begin(self, inputs: Tensor) -> Signal:
        return (self.network.stem(self._own(inputs)),)

    def step(self, place: int, signal: Signal, edit: Edit = KEEP) -> Signal:
        return self.behind(place, self.across(place, self.ahead(place, signal), edit))

    def ahead(self, place: int, signal: Signal) -> Signal:
        """The signal that the leaf is given: nests are entered, or turned to their second road."""
        for move in self.slots[place].ahead:
            signal = move((self._own(signal[0]), *signal[1:]))
        return signal

    def across(self, place: int, signal: Signal, edit: Edit = KEEP) -> Signal:
        """The leaf itself."""
        return (_edited(self.units, place, edit)(self._own(signal[0])), *signal[1:])

    def behind(self, place: int, signal: Signal) -> Signal:
        """Nests that end here are left."""
        for move in self.slots[place].behind:
            signal = move(signal)
        return signal

    def finish(self, signal: Signal) -> Tensor:
        return self.network.head(self._own(signal[0]))

    def _own(self, x: Tensor) -> Tensor:
        return x.clone() if self.writes else x


class MemoryView(NetworkView):
    """A network whose units a memory reads (networks/crmn.py): see there why it has no tape."""

    def stages(self, inputs: Any = None) -> "MemoryStages":
        return MemoryStages(fold.prepared(self.model), writes(self.model))

    def tape(self, inputs: Tensor) -> None:
        return None


class MemoryStages(NetworkStages):
    """The signal is x and the memory's state."""

    def begin(self, inputs: Tensor) -> Signal:
        (x,) = super().begin(inputs)
        return (x, *self.network.memory.begin(x))  # type: ignore[operator, union-attr]

    def behind(self, place: int, signal: Signal) -> Signal:
        return (signal[0], *self.network.memory(*signal))  # type: ignore[operator]

    def finish(self, signal: Signal) -> Tensor:
        return self.network.head(*signal[:2])


def _enter(nest: ResidualUnit, signal: Signal) -> Signal:
    """The stream of the row inside, then what waits: h(z), and z where the merge reads it.

    Where h is a row too, its stream, then z for the branch.
    """
    if isinstance(nest.shortcut, Row):
        z = nest.before(signal[0])
        return (z, z, *signal[1:])
    around, z = nest.enter(signal[0])
    if (around is None) != nest.plain:
        raise UsageError("a shortcut that carries nothing is a residuum.parts.shortcuts.Severed")
    waiting = (around, z if nest.merge.needs_input else None)
    return (z, *(road for road in waiting if road is not None), *signal[1:])


def _turn(nest: ResidualUnit, signal: Signal) -> Signal:
    """From the end of the shortcut's row to the start of the branch's; h waits."""
    around, z, *waiting = signal
    return (z, around, *waiting)


def _leave(nest: ResidualUnit, signal: Signal) -> Signal:
    through, *waiting = signal
    around = None if nest.plain else waiting.pop(0)
    z = waiting.pop(0) if nest.merge.needs_input else None
    return (nest.leave(around, through, z), *waiting)


def _edited(units: list[ResidualUnit], place: int, edit: Edit) -> ResidualUnit:
    """What stands at the place after the edit."""
    match edit:
        case Keep():
            return units[place]
        case Delete(strict):
            return deleted(units[place], strict)
        case Put(number):
            return units[number]
        case Scale(factor):
            return units[place] if factor == 1 else scaled(units[place], factor)
        case Value():
            return valued(units[place], edit.tensor)
        case Repeat(times):
            return Repeated(units[place], times)


def _describe(number: int, slot: Slot, shape_in: Any, shape_out: Any) -> UnitInfo:
    unit = slot.unit
    kept = {id(p) for part in (unit.before, unit.shortcut, unit.after) for p in part.parameters()}
    removable = sum(p.numel() for p in unit.parameters() if id(p) not in kept)
    merge = type(unit.merge).__name__.lower()
    return UnitInfo(
        number, slot.name, _shortcut(unit.shortcut), merge, 1, shape_in, shape_out, removable
    )


def _shortcut(road: nn.Module) -> str:
    if isinstance(road, nn.Identity | Severed | Wrapper):
        return type(road).__name__.lower()
    return "projection" if any(True for _ in road.parameters()) else "resampled"
