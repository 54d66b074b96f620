"""An expression written short, as JSON values, so that an index can hold it. Needs no torch.

"t"               a plain layer
"t|0"             a layer that leaves nothing once it is deleted
"1+t"             a residual unit
[3, part]         the part three times in series
[part, part]      parts in series
{"around": part}  a nest: a way round the part
{"roads": [part, part]}  a nest whose shortcut has units too
"""

from collections.abc import Iterator
from itertools import count, groupby

from .view import Expression, Leaf, Parallel, Series, single

Part = str | list["Part | int"] | dict[str, "Part"]


def write(expression: Expression) -> Part:
    """The expression in short. ValueError: one that is not made of units and nests of two roads, or
    of units of several terms."""
    leaf = single(expression)
    if leaf and leaf.terms > 1:
        raise ValueError("a unit of several terms has no short form")
    if isinstance(expression, Leaf):
        return "t" if expression.opens else "t|0"
    if isinstance(expression, Parallel):
        around, through = expression.parts
        if around != Series():
            return {"roads": [write(around), write(through)]}
        return "1+t" if single(expression) else {"around": write(through)}
    runs = [(part, len(list(same))) for part, same in groupby(map(write, expression.parts))]
    series: list[Part | int] = [part if n == 1 else [n, part] for part, n in runs]
    return series[0] if len(series) == 1 else series  # type: ignore[return-value]


def read(part: Part) -> Series:
    """The expression that was written: a series, its leaves numbered in signal order."""
    return Series(tuple(_parts(part, count())))


def _parts(part: Part, numbers: Iterator[int]) -> Iterator[Expression]:
    match part:
        case "t":
            yield Leaf(next(numbers), opens=True)
        case "t|0":
            yield Leaf(next(numbers))
        case "1+t":
            yield Parallel((Series(), Leaf(next(numbers))))
        case {"around": inside}:
            yield Parallel((Series(), Series(tuple(_parts(inside, numbers)))))
        case {"roads": [around, through]}:
            both = (_parts(road, numbers) for road in (around, through))  # type: ignore[arg-type]
            roads = (Series(tuple(road)) for road in both)
            yield Parallel(tuple(roads))
        case [int() as times, inside]:
            for _ in range(times):
                yield from _parts(inside, numbers)  # type: ignore[arg-type]
        case list():
            for inside in part:
                yield from _parts(inside, numbers)  # type: ignore[arg-type]
        case _:
            raise ValueError(f"not an expression: {part!r}")
