"""ls, info and paths."""

from bisect import bisect_left
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Annotated

from cyclopts import Parameter

from .. import verbs
from ..errors import several
from .command import command
from .words import bar, fitted, properties, short, show, table
from .zoo import zoo

Markdown = Annotated[bool, Parameter(help="Print the presets as a page of tables in Markdown.")]


@command(verbs.ls)
def ls(entries: list[verbs.Entry], *, markdown: Markdown = False) -> str:
    """A table a kind."""
    if markdown:
        return zoo([entry.name for entry in entries if entry.kind == "preset"])
    tables = []
    for kind in dict.fromkeys(entry.kind for entry in entries):
        rows = [(e.name, e.summary) for e in entries if e.kind == kind]
        heads = {"recipe": "length and source", "study": "paper", "model": "built by"}
        head = (kind, heads.get(kind, ""))
        if kind == "preset":
            head = ("preset", "family", "depth", "parameters", "published error, %")
            rows = [_columns(entry) for entry in entries if entry.kind == "preset"]
        tables.append(fitted([head, *rows]))
    return "\n\n".join(tables)


def _columns(e: verbs.Entry) -> tuple[str, ...]:
    errors: dict[str, dict[str, None]] = {}  # by data, in the order in which they are given
    for p in e.published:
        errors.setdefault(p.data, {})[f"{p.error}"] = None
    said = "; ".join(f"{data} {', '.join(numbers)}" for data, numbers in errors.items())
    return e.name, e.family, show(e.depth), short(e.parameters or 0), said


@command(verbs.info)
def info(found: verbs.Info) -> str:
    """One line a property; each published value on a line of its own."""
    pixels = f"{found.size}x{found.size} pixels"
    flops = f"{show(found.flops)} for an image of {pixels} ({show(found.macs)} MACs)"
    lines = {
        "name": found.name,
        "family": found.family,
        "source": found.source,
        "parameters": f"{show(found.parameters)} with {show(found.classes)} classes",
        "FLOPs": flops,
        "depth": "" if found.depth is None else show(found.depth),
        "units": "" if found.units is None else show(found.units),
        "paths": _paths(found),
        "published": [str(value) for value in found.published],
        "recipe": _recipe(found.recipe),
        "initialisation": found.initialisation,
        "note": found.note,
        "structure": found.structure,
    }
    return properties({name: value for name, value in lines.items() if value})


def _paths(found: verbs.Info) -> str:
    if not found.paths:
        return ""
    many = f"{number_of(int(found.paths), 'path')}, mean length {found.mean_length:g}"
    return f"{found.polynomial}: {many}"


def _recipe(name: str) -> str:
    from ..training.recipes import RECIPES

    if name not in RECIPES:
        return name
    recipe = RECIPES[name]
    return f"{name}: {show(recipe.length)} {recipe.clock}; {recipe.source}"


All = Annotated[bool, Parameter(help="Every length, where a summary is the default.")]
MOST_LENGTHS, BINS = 24, 16


@command(verbs.paths)
def paths(found: verbs.PathCount, *, all: All = False) -> str:
    """The sum, then one line a length; of a deep network a histogram unless --all asks for it."""
    first, last = found.central
    counts, total = list(map(int, found.counts)), int(found.total)
    inside = f"{100 * (sum(counts[first : last + 1]) / total):.2f} % of all paths"
    sums = f"{several(found.units, 'unit')}, {number_of(total, 'path')}"
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


def number_of(number: int, what: str) -> str:
    """Exact as far as it can be read, and a power of two as one."""
    return f"{_count(number)} {what}{'s' * (number != 1)}"


def _count(number: int) -> str:
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
