"""The expression of a foreign model's units: which lie behind one another, which inside a nest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .found import Found
from .view import Expression, Leaf, Parallel, Series

CROSSED = "two streams read each other, so units are told as nested that are not, or are missing"


def expressed(
    entries: list[Found], long: list[Found], numbers: Mapping[int, int], notes: list[str]
) -> Series:
    """A row of units; a long skip is a nest round those in its branch; a unit whose shortcut leads
    over others has these in its shortcut.

    `notes` is told what is left out: a long skip that begins or ends within another.
    """
    inside = {u.total: {e.total for e in entries if e.total in u.region} for u in long}
    nests: list[Found] = []
    for skip in sorted(long, key=lambda u: len(inside[u.total]), reverse=True):
        own = inside[skip.total]
        fits = all(own <= inside[n.total] or not own & inside[n.total] for n in nests)
        row = sorted(numbers[total] for total in own)
        if fits and row and row == list(range(row[0], row[-1] + 1)):
            nests.append(skip)
        else:
            notes.append("a long skip crosses another and is left out of the path counts")
    return _row(entries, nests, inside, numbers)


def crossed(found: Iterable[Found]) -> bool:
    """Whether a branch holds a sum whose stream comes from outside of it: two streams that read
    each other (reversible networks), of which neither lies in the other."""
    units = list(found)
    return any(
        inner.total in outer.region
        and inner.split != outer.split
        and inner.split not in outer.region
        for outer in units
        for inner in units
    )


def _row(
    entries: list[Found],
    nests: list[Found],
    inside: Mapping[int, set[int]],
    numbers: Mapping[int, int],
) -> Series:
    parts: list[tuple[set[int], Expression]] = []
    done = set[int]()
    for unit in entries:
        if unit.total in done:
            continue
        nest = next((n for n in nests if unit.total in inside[n.total]), None)
        if nest is None:
            parts.append(({unit.total}, _leaf(unit, parts, numbers)))
            continue
        own = inside[nest.total]
        done |= own
        within = [e for e in entries if e.total in own]
        rest = nests[nests.index(nest) + 1 :]
        parts.append((own, Parallel((Series(), _row(within, rest, inside, numbers)))))
    return Series(tuple(part for _, part in parts))


def _leaf(
    unit: Found, parts: list[tuple[set[int], Expression]], numbers: Mapping[int, int]
) -> Expression:
    """1 + t, 1 + 2 t for two terms; what the shortcut leads over is taken from the parts."""
    around: list[Expression] = []
    passed = set(unit.road.passed)
    while parts and parts[-1][0] & passed:
        around.insert(0, parts.pop()[1])
    return Parallel((Series(tuple(around)), Leaf(numbers[unit.total], terms=unit.terms)))
