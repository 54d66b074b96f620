"""One self-contained HTML file: light and dark, narrow and wide, readable with scripts off."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..results import Figure, Network, Study, Unit
from ..storage import make_folder, write_bytes, write_text
from .colours import SPANS, VARIABLES, base_role, roles, seed_numbers, series_colours
from .figures import NARROW, WIDE, draw, draw_for_page
from .inline import inline
from .typography import clean, grouped, short, typeset

HEATS = 20  # steps of the unit map's colour
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
    figures = make_folder(make_folder(folder) / "figures")
    words = roles(study.networks)
    for result in study.results:
        if result.figure is not None:
            try:
                drawing = draw(result.figure, words)
            except (OverflowError, ValueError) as error:  # numbers that no axis can hold
                wrong = f"{result.item}: its figure cannot be drawn ({error})"
                raise UsageError(f"{folder}: {wrong}") from error
            write_bytes(figures, f"{study.name}-{result.slug}.svg", drawing.svg)
            write_bytes(figures, f"{study.name}-{result.slug}.png", drawing.png)
    write_text(folder, "report.html", render(study))
    return folder / "report.html"


def render(study: Study) -> str:
    """The page. Everything that comes from outside (names of classes, networks) is escaped.

    Its policy allows one style sheet and one script, by their digests, and no request at all.
    """
    import jinja2
    from markupsafe import Markup

    templates = resources.files("residuum.pages") / "templates"
    files = {f"report.{kind}": (templates / f"report.{kind}").read_text() for kind in KINDS}
    environment = jinja2.Environment(
        autoescape=lambda name: name == "report.html",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
        loader=jinja2.DictLoader(files),
    )
    environment.filters |= {"t": typeset, "grouped": grouped, "short": short}
    style = environment.get_template("report.css").render(
        variables=list(VARIABLES.values()), heats=HEATS
    )
    script, words = files["report.js"], roles(study.networks)
    return environment.get_template("report.html").render(
        study=study,
        base_role=base_role,
        groups=grouped_networks(study.networks),
        open_maps=OPEN_MAPS,
        heats=HEATS,
        drawn={k: tuple(map(Markup, pair)) for k, pair in drawn_for_page(study, words).items()},
        legends={r.slug: legend(r.figure, words) for r in study.results if r.figure},
        sign=lambda verdict: SIGNS.get(verdict, ("?", "open")),
        heat=lambda error: heat(error, study.chance),
        unit_label=unit_label,
        unit_rows=unit_rows,
        provenance=provenance_tables(study.provenance),
        **{"style": Markup(style), "style_hash": _digest(style)},
        **{"script": Markup(script), "script_hash": _digest(script)},
    )


KINDS = ("html", "css", "js")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def drawn_for_page(study: Study, words: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """Of each figure, by its result's slug, a narrow and a wide drawing."""
    return {
        r.slug: tuple(
            inline(
                draw_for_page(r.figure, words, sheet),
                r.figure,
                f"{r.slug}-{side}",
                {"title": f"{r.item}: {r.title}", "finding": r.finding},
            )
            for side, sheet in (("narrow", NARROW), ("wide", WIDE))
        )
        for r in study.results
        if r.figure is not None
    }  # type: ignore[return-value]


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
