"""Our own networks built again without units: a shorter row."""

from __future__ import annotations

import copy
from collections.abc import Collection

from torch import Tensor, nn

from ..errors import UsageError
from ..parts.merges import Gate, Merge, Sum
from ..parts.shortcuts import Severed
from ..units import ResidualNetwork, ResidualUnit, Row
from ..views.own import slots


class Remains(nn.Module):
    """f(m(h(z), 0)), z = a(x): what a deletion leaves of a unit whose merge is not a sum."""

    def __init__(self, before: nn.Module, road: nn.Module, merge: Merge, after: nn.Module):
        super().__init__()
        self.before, self.road, self.merge, self.after = before, road, merge, after

    def forward(self, x: Tensor) -> Tensor:
        z = self.before(x)
        return self.after(self.merge.bypass(self.road(z), z))


def without_units(network: ResidualNetwork, numbers: Collection[int]) -> ResidualNetwork:
    """A copy of the network without the branches of these units, which are numbered as in its view.

    What a deletion leaves of a unit (a projection, a widening, an activation) stands in `before` of
    the unit behind it, or in `after` of the one ahead where it is the last. A nest that would lose
    all its units keeps a plain one with what is left.

    UsageError: a network that does more than stem, units, head; a unit that stands in several
    places; a merge that needs the branch's shape.
    """
    if hasattr(network, "memory"):
        raise UsageError(
            f"units cannot be removed from {type(network).__name__}: its own forward reads every "
            "unit, so that the network without one is another network. They can be deleted"
        )
    small = copy.deepcopy(network)
    places = list(slots(small.units))
    if len({id(slot.unit) for slot in places}) < len(places):
        raise UsageError("a unit that stands in several places cannot be removed from one of them")
    gone = {id(places[number].unit) for number in numbers}
    small.stem, small.head = _shortened(small.units, gone, small.stem, small.head)
    return small


def _shortened(
    row: Row, gone: set[int], ahead: nn.Module, behind: nn.Module
) -> tuple[nn.Module, nn.Module]:
    """The row loses the units; what is ahead of it and behind it, with what was left over."""
    kept, waiting = list[ResidualUnit](), list[nn.Module]()
    for unit in row:
        if id(unit) in gone:
            last = waiting[-1] if waiting else kept[-1].after if kept else ahead
            waiting += _without_repeated(last, _remains(unit))
            continue
        for road in ("shortcut", "branch"):
            inner = getattr(unit, road)
            if isinstance(inner, Row):
                _shorten_nest(inner, gone)
        unit.before = _in_series([*waiting, unit.before])
        kept.append(unit)
        waiting = []
    if waiting and kept:
        kept[-1].after = _in_series([kept[-1].after, *waiting])
    elif waiting:
        behind = _in_series([*waiting, behind])
    _refill(row, kept)
    return ahead, behind


def _shorten_nest(row: Row, gone: set[int]) -> None:
    _, left = _shortened(row, gone, nn.Identity(), nn.Identity())
    if not len(row):
        _refill(row, [ResidualUnit(left, Severed())])


def _refill(row: Row, units: list[ResidualUnit]) -> None:
    for name in list(row._modules):
        del row._modules[name]
    for unit in units:
        row.append(unit)


def _remains(unit: ResidualUnit) -> list[nn.Module]:
    road = unit.shortcut.road if isinstance(unit.shortcut, Severed) else unit.shortcut
    if isinstance(unit.merge, Sum | Gate):  # a gate closes: h itself
        return [part for part in (unit.before, road, unit.after) if not _nothing(part)]
    if type(unit.merge).bypass is Merge.bypass:
        raise UsageError(
            f"the merge {type(unit.merge).__name__} does not say what it leaves without the "
            "branch: give it a `bypass`"
        )
    return [Remains(unit.before, road, unit.merge, unit.after)]


def _without_repeated(last: nn.Module, parts: list[nn.Module]) -> list[nn.Module]:
    """A ReLU of what a ReLU gave changes nothing."""
    alone = len(parts) == 1 and type(parts[0]) is nn.ReLU
    return [] if alone and _ends_in_relu(last) else parts


def _ends_in_relu(part: nn.Module) -> bool:
    while type(part) is nn.Sequential and len(part):
        part = part[-1]
    return type(part) is nn.ReLU


def _nothing(part: nn.Module) -> bool:
    return type(part) is nn.Identity


def _in_series(parts: list[nn.Module]) -> nn.Module:
    some = [part for part in parts if not _nothing(part)]
    return some[0] if len(some) == 1 else nn.Sequential(*some) if some else nn.Identity()
