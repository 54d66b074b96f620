"""The units of a network as an expression in t, short enough to store: path counts follow from it.

"t"               a plain layer
"1+t"             a residual unit
[3, part]         the part three times in series
[part, part]      parts in series
{"around": part}  a nest: a shortcut round the part
"""

from collections.abc import Iterable
from itertools import groupby

from ..parts.shortcuts import Severed
from ..units import ResidualUnit, Row

Part = str | list["Part | int"] | dict[str, "Part"]


def encode(units: Iterable[ResidualUnit]) -> Part:
    """The expression of a row of units."""
    known: dict[int, Part] = {}
    parts = []
    for unit in units:
        if id(unit) not in known:
            known[id(unit)] = _of_unit(unit)
        parts.append(known[id(unit)])
    runs = [(part, len(list(same))) for part, same in groupby(parts)]
    series: list[Part | int] = [part if n == 1 else [n, part] for part, n in runs]
    return series[0] if len(series) == 1 else series  # type: ignore[return-value]


def _of_unit(unit: ResidualUnit) -> Part:
    plain = isinstance(unit.shortcut, Severed)
    if isinstance(unit.branch, Row):
        inside = encode(unit.branch)
        return inside if plain else {"around": inside}
    return "t" if plain else "1+t"


def totals(part: Part) -> tuple[int, int]:
    """(number of paths, sum of their lengths): the expression's value and slope at t = 1."""
    match part:
        case "t":
            return 1, 1
        case "1+t":
            return 2, 1
        case {"around": inside}:
            number, length = totals(inside)
            return number + 1, length
        case [int() as count, inside]:
            number, length = totals(inside)  # type: ignore[arg-type]
            return number**count, count * length * number ** (count - 1)
    number, length = 1, 0
    for inside in part:
        more, longer = totals(inside)  # type: ignore[arg-type]
        number, length = number * more, length * more + number * longer
    return number, length
