"""The zoo: every preset of the index as a page of tables, one a family. Loads no torch."""

from collections.abc import Sequence

from ..presets.index import Listed, listed
from ..verbs.catalogue import polynomial_text
from .words import short

HEAD = """# The zoo

Every preset, as `residuum ls --markdown` writes it (`make zoo`). `residuum info NAME` says the same
of one of them, and of other depths, classes and options. Parameters and FLOPs (2 x MACs of one
image) are counted; in the path polynomial t^k counts the paths of k branches. Published errors are
in percent, each with how it was obtained; "fail" where training did."""
COLUMNS = (
    "preset",
    "depth",
    "parameters",
    "FLOPs",
    "units",
    "paths",
    "published",
    "recipe",
    "source",
)


def zoo(names: Sequence[str]) -> str:
    """The page, of these presets."""
    known, parts = listed(), [HEAD]
    rows = [known[name] for name in names]
    for family, size, classes in dict.fromkeys(map(_kind, rows)):
        title = f"{family}: images of {size}x{size} pixels, {classes} classes"
        parts += [f"\n## {title}\n", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        parts += [_line(_cells(row)) for row in rows if _kind(row) == (family, size, classes)]
    return "\n".join(parts)


def _kind(row: Listed) -> tuple[str, int, int]:
    return row.family, row.size, row.classes


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cells(row: Listed) -> list[str]:
    return [
        f"`{row.name}`",
        str(row.depth),
        short(row.parameters),
        short(row.flops),
        str(row.units),
        polynomial_text(row.expression),
        "<br>".join(map(str, row.published)),
        row.recipe,
        "; ".join(filter(None, (row.source, row.note))),
    ]
