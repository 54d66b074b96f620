"""Numbers and tables for a person."""

import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten, wrap
from typing import Any

COLUMNS = 100


def show(value: Any) -> str:
    """Whole numbers in groups of three, others to six digits; "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns side by side, each as wide as its widest cell."""
    rows = list(rows)
    columns = range(max(map(len, rows), default=0))
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in columns]
    lines = ("  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def fitted(rows: Sequence[Sequence[str]], width: int = COLUMNS) -> str:
    """The table, its last column cut where a line would be wider."""
    last = len(rows[0]) - 1
    room = width - sum(max(len(row[i]) for row in rows) + 2 for i in range(last))
    return table(
        (*row[:last], shorten(row[last], max(room, 8), placeholder=" ...")) for row in rows
    )


def properties(lines: Mapping[str, str | Sequence[str]], width: int = COLUMNS) -> str:
    """A name and its value a line; several values and long ones stand below each other."""
    first = max(map(len, lines)) + 2
    rows = []
    for name, value in lines.items():
        values = [value] if isinstance(value, str) else value
        wrapped = [part for one in values for part in wrap(one, width - first)]
        rows += [(name if i == 0 else "", part) for i, part in enumerate(wrapped)]
    return table(rows)


def comma_separated(rows: Iterable[Iterable[Any]]) -> str:
    """Values in full; nothing for None."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


def short(count: int) -> str:
    """0.270 M, 25.6 M, 3.63 G: three digits, as papers print parameters."""
    unit, letter = (1e9, "G") if count >= 1e9 else (1e6, "M")
    return f"{count / unit:#.3g}".rstrip(".") + f" {letter}"


def bar(share: float, width: int = 24) -> str:
    """A share of one as a bar, in characters that the terminal can show."""
    block = "█"
    try:
        block.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        block = "#"
    return block * round(width * min(1.0, max(0.0, share)))


def clock(seconds: float) -> str:
    """In seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
