"""ls, info and paths."""

from bisect import bisect_left
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Annotated

from cyclopts import Parameter

from .. import verbs
from .command import command
from .words import bar, show, table


@command(verbs.ls)
def ls(entries: list[verbs.Entry]) -> str:
    """One line a name."""
    return table((e.kind, e.name, e.summary) for e in entries)


@command(verbs.info)
def info(found: verbs.Info) -> str:
    """One line a property; each published value on a line of its own."""
    lines = [(k, show(v)) for k, v in vars(found).items() if k != "published" and v != ""]
    return table([*lines, *(("published", str(value)) for value in found.published)])


All = Annotated[bool, Parameter(help="Every length, where a summary is the default.")]
MOST_LENGTHS, BINS = 24, 16


@command(verbs.paths)
def paths(found: verbs.PathCount, *, all: All = False) -> str:
    """The sum, then one line a length; of a deep network a histogram unless --all asks for it."""
    first, last = found.central
    counts, total = list(map(int, found.counts)), int(found.total)
    inside = f"{100 * (sum(counts[first : last + 1]) / total):.2f} % of all paths"
    sums = f"{found.units} units, {_count(total)} path{'s' * (total != 1)}"
    lines = [
        f"{found.name}: {sums}, mean length {found.mean:g}",
        f"2.5th to 97.5th percentile: length {first}-{last}, {inside}",
    ]
    if found.between is not None and found.share is not None:
        shortest, longest = found.between
        lines.append(f"length {shortest}-{longest}: {100 * found.share:.4f} % of all paths")
    if all or len(counts) <= MOST_LENGTHS:
        return "\n".join([*lines, _every_length(found)])
    return "\n".join([*lines, _histogram(found, counts), "every length: --all or --json"])


def _count(number: int) -> str:
    """Exact as far as it can be read, and a power of two as one."""
    if number < 10**15:
        return show(number)
    power, about = number.bit_length() - 1, f"about {Decimal(number):.2e}".replace("e+", "e")
    return f"2^{power} ({about})" if number == 1 << power else about


def _every_length(found: verbs.PathCount) -> str:
    total = int(found.total)
    shares = [f"{100 * (int(count) / total):.4f} %" for count in found.counts]
    columns = [
        ("length", *map(str, range(len(shares)))),
        ("paths", *found.counts),
        ("share", *shares),
    ]
    if found.remaining is not None:
        columns.append((f"left after {found.deleted}", *map(show, found.remaining)))
    return table(zip(*columns, strict=True))


def _histogram(found: verbs.PathCount, counts: list[int]) -> str:
    """The lengths of all paths but a thousandth, half of it the shortest and half the longest."""
    total, running = sum(counts), list(accumulate(counts))
    first, last = (bisect_left(running, total * k, key=lambda n: 2000 * n) for k in (1, 1999))
    wide = -(-(last + 1 - first) // BINS)
    bins = [range(k, min(k + wide, last + 1)) for k in range(first, last + 1, wide)]
    sums = [sum(counts[k] for k in lengths) for lengths in bins]
    rows = [["length", "   share", ""] + (["left"] if found.remaining else [])]
    for lengths, count in zip(bins, sums, strict=True):
        name = str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]}-{lengths[-1]}"
        row = [name, f"{100 * (count / total):6.2f} %", bar(count / max(sums))]
        if found.remaining:
            left = sum(counts[k] * Fraction(found.remaining[k] or 0) for k in lengths)
            row.append(f"{float(left / max(1, count)):.4g}")
        rows.append(row)
    return table(rows)
