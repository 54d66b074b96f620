"""The page of one model taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..results import Dissection, Interval, Nest, Unit
from ..storage import write_text
from .page import drawn_for_page, legend, provenance_tables, write_figures
from .rendering import HEATS, fill
from .typography import grouped

NAME = "dissection"
KEYS = {
    "quiet": "no change that can be told from none",
    "helps": "the loss falls",
    "several": "several branches at once",
    "unknown": "cannot be deleted",
}


def write_dissection(found: Dissection, folder: Path) -> Path:
    """`folder`/report.html, and every figure as SVG and PNG in `folder`/figures. Gives the page.

    UsageError: numbers that cannot be drawn.
    """
    write_figures(found.sections, folder, NAME, {})
    write_text(folder, "report.html", render(found))
    return folder / "report.html"


def render(found: Dissection) -> str:
    """The page."""
    most = most_harm(found.units)
    return fill(
        "dissection.html",
        ["report.css", "dissection.css"],
        found=found,
        tree=tree(found.units, found.nests),
        most=most,
        keys=keys(found.units),
        cell=lambda unit: cell(unit, most),
        label=label,
        columns=columns(found),
        rows=rows(found),
        words=words,
        drawn=drawn_for_page(found.sections, {}),
        legends={s.slug: legend(s.figure, {}) for s in found.sections if s.figure},
        provenance=provenance_tables(found.provenance),
    )


@dataclass(frozen=True)
class Box:
    """A nest on the map, with the units and nests in it."""

    nest: Nest
    inside: list[Unit | Box]


def tree(units: Sequence[Unit], nests: Sequence[Nest]) -> list[Unit | Box]:
    """Units in signal order, those of a nest in its box."""
    left = sorted(nests, key=lambda nest: (nest.first, -nest.last))
    root: list[Unit | Box] = []
    open_: list[tuple[int, list[Unit | Box]]] = [(len(units), root)]
    for unit in units:
        while open_[-1][0] < unit.number:
            open_.pop()
        while left and left[0].first <= unit.number:
            nest = left.pop(0)
            box = Box(nest, [])
            open_[-1][1].append(box)
            open_.append((nest.last, box.inside))
        open_[-1][1].append(unit)
    return root


def most_harm(units: Sequence[Unit]) -> float:
    """The largest change of the loss: the end of the map's colours."""
    return max((unit.change[0] for unit in units if unit.change), default=0.0)


def cell(unit: Unit, most: float) -> str:
    """A cell's classes. The root of its harm over the largest, in steps of the colour, so that
    small harms are seen beside a large one; "quiet" where no change can be told from none."""
    several = " several" if unit.terms > 1 else ""
    if unit.change is None:
        return f"unknown{several}"
    value, low, high = unit.change
    if high < 0:
        return f"helps{several}"
    heat = round(HEATS * max(0.0, value / most) ** 0.5) if most > 0 else 0
    return f"h{heat}{' quiet' if low <= 0 <= high else ''}{several}"


def keys(units: Sequence[Unit]) -> list[tuple[str, str]]:
    """The marks that are on the map, and what each says."""
    there = {name for unit in units for name in cell(unit, most_harm(units)).split()}
    return [(name, text) for name, text in KEYS.items() if name in there]


def words(found: Interval, form: str = ".4g", unit: str = "") -> str:
    """0.123 [0.101, 0.145]."""
    value, low, high = (f"{number:{form}}" for number in found)
    return f"{value}{unit} [{low}, {high}]"


def label(unit: Unit) -> str:
    """What a pointer reads on a cell."""
    name = f" ({unit.name})" if unit.name else ""
    branches = f", {unit.terms} branches" if unit.terms > 1 else ""
    kind = f"{unit.shape}, {unit.kind}{branches}, {grouped(unit.parameters)} parameters"
    if unit.change is None:
        return f"unit {unit.number}{name}: {kind}; cannot be deleted"
    done = f"deleted: loss {words(unit.change, '+.3g')}"
    error = "" if unit.error is None else f", error {unit.error:.2f} %"
    return f"unit {unit.number}{name}: {kind}; {done}{error}"


def columns(found: Dissection) -> tuple[str, ...]:
    known = ("error when deleted",) if found.error is not None else ()
    return ("unit", "name", "shape", "kind", "parameters", "change of the loss", *known)


def rows(found: Dissection) -> list[tuple[str, ...]]:
    """The map as lines of a table."""
    lines = []
    for u in found.units:
        branches = f", {u.terms} branches" if u.terms > 1 else ""
        change = "cannot be deleted" if u.change is None else words(u.change, "+.3g")
        line = (str(u.number), u.name, u.shape, u.kind + branches, grouped(u.parameters), change)
        error = "" if u.error is None else f"{u.error:.2f} % [{u.low:.2f}, {u.high:.2f}]"
        lines.append((*line, error) if found.error is not None else line)
    return lines
