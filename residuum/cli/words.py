"""Numbers and tables for a person."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any


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
