"""One self-contained HTML file: light and dark, narrow and wide, readable with scripts off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..results import Figure, Network, Result, Section, Study, Unit
from ..storage import make_folder, write_bytes, write_text
from .colours import SPANS, base_role, roles, seed_numbers, series_colours
from .figures import NARROW, WIDE, draw, draw_for_page
from .inline import inline
from .rendering import HEATS, fill
from .typography import grouped

OPEN_MAPS = 4  # maps of units that are not folded away
SIGNS = {
    "reproduced": ("✓", "yes"),
    "exact": ("=", "yes"),
    "not reproduced": ("✗", "no"),
    "measured": ("·", "measured"),
}
GLYPHS = {"line": "●■▲◆▼✚", "points": "●■▲◆▼✚", "dashed": "╌", "level": "┈", "bars": "▮"}


def write_report(study: Study, folder: Path) -> Path:
    """`folder`/report.html, and every figure as SVG and PNG in `folder`/figures. Gives the page.

    UsageError: numbers that cannot be drawn.
    """
    write_figures(study.results, folder, study.name, roles(study.networks))
    write_text(folder, "report.html", render(study))
    return folder / "report.html"


def write_figures(
    parts: Sequence[Result] | Sequence[Section], folder: Path, name: str, words: Mapping[str, int]
) -> None:
    """UsageError: numbers that cannot be drawn."""
    figures = make_folder(make_folder(folder) / "figures")
    for part in parts:
        if part.figure is not None:
            try:
                drawing = draw(part.figure, words)
            except (OverflowError, ValueError) as error:  # numbers that no axis can hold
                wrong = f"{part.item}: its figure cannot be drawn ({error})"
                raise UsageError(f"{folder}: {wrong}") from error
            write_bytes(figures, f"{name}-{part.slug}.svg", drawing.svg)
            write_bytes(figures, f"{name}-{part.slug}.png", drawing.png)


def render(study: Study) -> str:
    """The page of a study."""
    words = roles(study.networks)
    return fill(
        "report.html",
        ["report.css"],
        study=study,
        base_role=base_role,
        groups=grouped_networks(study.networks),
        open_maps=OPEN_MAPS,
        drawn=drawn_for_page(study.results, words),
        legends={r.slug: legend(r.figure, words) for r in study.results if r.figure},
        sign=lambda verdict: SIGNS.get(verdict, ("?", "open")),
        heat=lambda error: heat(error, study.chance),
        unit_label=unit_label,
        unit_rows=unit_rows,
        provenance=provenance_tables(study.provenance),
    )


def drawn_for_page(
    parts: Sequence[Result] | Sequence[Section], words: Mapping[str, int]
) -> dict[str, tuple[Any, ...]]:
    """Of each figure, by its slug, a narrow and a wide drawing."""
    from markupsafe import Markup

    return {
        part.slug: tuple(
            Markup(
                inline(
                    draw_for_page(part.figure, words, sheet),
                    part.figure,
                    f"{part.slug}-{side}",
                    {"title": f"{part.item}: {part.title}", "finding": part.finding},
                )
            )
            for side, sheet in (("narrow", NARROW), ("wide", WIDE))
        )
        for part in parts
        if part.figure is not None
    }


@dataclass(frozen=True)
class Key:
    """One line of a legend: a glyph in the colour of its variable."""

    glyph: str
    colour: str
    style: str
    name: str


def legend(figure: Figure, words: Mapping[str, int]) -> list[Key]:
    """What the curves and ranges of a figure are."""
    colours = series_colours(figure.series, words)
    keys = []
    for each, colour, seed in zip(
        figure.series, colours, seed_numbers(figure.series, colours), strict=True
    ):
        glyphs = GLYPHS[each.style]
        keys.append(Key(glyphs[seed % len(glyphs)], f"c{colour + 1}", each.style, each.name))
    spans = enumerate(figure.spans)
    return keys + [Key("▬", f"span{i % len(SPANS) + 1}", "span", span.name) for i, span in spans]


def grouped_networks(networks: Sequence[Network]) -> list[list[Network]]:
    """Networks of one preset and role, which differ only in their seed, together."""
    found: dict[tuple[str, str], list[Network]] = {}
    for network in networks:
        found.setdefault((network.name, base_role(network)), []).append(network)
    return list(found.values())


def heat(error: float | None, chance: float) -> str:
    """A cell's class. The error that a lesion leaves, from none to that of guessing, in steps of
    its colour, on one scale for all networks; "unknown" where the unit was not deleted."""
    if error is None:
        return "unknown"
    return f"h{round(HEATS * min(1.0, max(0.0, error / max(chance, 1e-9))))}"


def unit_label(unit: Unit) -> str:
    text = f"unit {unit.number}: {unit.shape}, {unit.kind}, {grouped(unit.parameters)} parameters"
    if unit.error is None:
        return f"{text}; not deleted on its own"
    interval = "" if unit.low is None else f" [{unit.low:.2f}, {unit.high:.2f}]"
    return f"{text}; deleted: error {unit.error:.2f} %{interval}"


def unit_rows(network: Network) -> list[tuple[str, ...]]:
    """The map as lines of a table."""
    return [
        (
            *(str(u.number), u.shape, u.kind, grouped(u.parameters)),
            "" if u.error is None else f"{u.error:.2f} %",
            "" if u.low is None else f"{u.low:.2f}-{u.high:.2f} %",
        )
        for u in network.units
    ]


Rows = list[tuple[str, str]]


def provenance_tables(provenance: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    """A heading and its lines: what holds for all first, then each network and other part."""
    loose = {k: v for k, v in provenance.items() if not _nested(v)}
    tables = [("this study", _rows(loose))] if loose else []
    for name, value in provenance.items():
        if isinstance(value, Mapping):
            tables.append((name, _rows(value)))
        elif _nested(value):
            for i, part in enumerate(value, 1):
                tables.append((str(part.get("preset", f"{name} {i}")), _rows(part)))
    return tables


def _nested(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple) else [value]
    return bool(parts) and all(isinstance(part, Mapping) for part in parts)


def _rows(value: Mapping[str, Any], prefix: str = "") -> Rows:
    rows: Rows = []
    for name, part in value.items():
        if isinstance(part, Mapping):
            rows += _rows(part, f"{prefix}{name} ")
        else:
            listed = isinstance(part, list | tuple)
            rows.append((f"{prefix}{name}", ", ".join(map(str, part)) if listed else str(part)))
    return rows
