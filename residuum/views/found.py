"""What `detect` finds in a recorded pass, and how finds stand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

IDENTITY, SCALED, RESAMPLED, PROJECTION = range(4)  # what a shortcut does


@dataclass(frozen=True)
class Road:
    """A way back from an operand of a sum to `end`: what it does, its layers with weights, its
    parameters, the sums that it passes, whether it takes a part of the tensor."""

    end: int
    kind: int = IDENTITY
    weighted: int = 0
    parameters: frozenset[str] = frozenset()
    passed: tuple[int, ...] = ()
    sliced: bool = False


@dataclass
class Found:
    """A unit: its sum, its two operands there, the shortcut's way back to the split point, what it
    is called, all operations of the branch. `parallel`: sums of further branches of the same split
    point, added to it one after the other. `whole`: what the branch's tensor is a part of, where
    the sum is made part by part; the other parts are `parallel`, too. `parent`: the sum of the unit
    that it is nested in. `long`: two units or more lie side by side in its branch."""

    total: int
    shortcut: int
    branch: int
    road: Road
    kind: str
    region: frozenset[int]
    terms: int = 1
    parallel: list[Found] = field(default_factory=list)
    whole: int | None = None
    parent: int | None = None
    long: bool = False

    @property
    def split(self) -> int:
        return self.road.end


def join(first: Found, second: Found) -> Found:
    """h + F1 + F2 as one unit, whose sum is the last."""
    second.parallel = [*first.parallel, first]
    second.terms += first.terms
    second.road = first.road
    second.kind = first.kind
    second.region |= first.region
    return second


def assemble(first: Found, second: Found, whole: int) -> Found:
    """Parts of one sum, h[a] + F[a] and h[b] + F[b], as one unit."""
    second.parallel = [*first.parallel, first]
    second.road, second.whole = first.road, whole
    second.region |= first.region
    return second


def nest(units: list[Found]) -> None:
    """Which unit lies in which, and which are long skips (U-Net, FPN, residual networks of residual
    networks)."""
    for unit in units:
        inner = [other for other in units if other is not unit and other.total in unit.region]
        outermost = [a for a in inner if not any(a is not b and a.total in b.region for b in inner)]
        unit.long = len(outermost) >= 2 or any(other.long for other in inner)
    for unit in units:
        around = [u for u in units if u is not unit and not u.long and unit.total in u.region]
        nearest = min(around, key=lambda u: len(u.region), default=None)
        unit.parent = nearest.total if nearest else None
