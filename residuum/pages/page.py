"""One self-contained HTML file: no outside request, light and dark, narrow and wide, readable with
scripts off."""

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..results import Network, Result, Study
from ..storage import make_folder, write_bytes, write_text
from .figures import Drawing, draw, inline


def write_report(study: Study, folder: Path) -> Path:
    """`folder`/report.html, and every figure as SVG and PNG in `folder`/figures. Gives the page."""
    figures = make_folder(make_folder(folder) / "figures")
    drawings = draw_all(study)
    for slug, drawing in drawings.items():
        write_bytes(figures / f"{study.name}-{slug}.svg", drawing.svg)
        write_bytes(figures / f"{study.name}-{slug}.png", drawing.png)
    page = folder / "report.html"
    write_text(page, render(study, drawings))
    return page


def draw_all(study: Study) -> dict[str, Drawing]:
    """Each figure of the study, by its result's slug."""
    return {r.slug: draw(r.figure) for r in study.results if r.figure is not None}


def render(study: Study, drawings: Mapping[str, Drawing]) -> str:
    """The page, its figures as `draw_all` gives them.

    Everything that comes from outside (names of classes, files, networks) is escaped.
    """
    import jinja2
    from markupsafe import Markup

    templates = resources.files("residuum.pages") / "templates"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    script = (templates / "report.js").read_text()
    drawn = {
        r.slug: Markup(inline(drawings[r.slug].svg, r.figure, r.slug))
        for r in study.results
        if r.figure is not None
    }
    return environment.from_string((templates / "report.html").read_text()).render(
        study=study,
        drawn=drawn,
        style=Markup((templates / "report.css").read_text()),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        verdict_class=verdict_class,
        heat=heat,
        unit_label=unit_label,
        flat=flat,
        number=lambda value: f"{value:,}".replace(",", " "),
    )


def verdict_class(result: Result) -> str:
    return {"reproduced": "yes", "exact": "yes", "not reproduced": "no"}.get(
        result.claim.verdict, "open"
    )


def heat(error: float | None, network: Network) -> int:
    """How far the error of a lesion lies between the intact error and 90 %, in percent, for a
    cell's colour."""
    if error is None:
        return 0
    return round(
        100 * min(1.0, max(0.0, (error - network.test_error) / max(1e-9, 90 - network.test_error)))
    )


def unit_label(unit: Any) -> str:
    text = f"unit {unit.number}: {unit.shape}, {unit.kind}, {unit.parameters} parameters"
    if unit.error is None:
        return text
    return f"{text}; deleted: error {unit.error:.2f} % [{unit.low:.2f}, {unit.high:.2f}]"


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as lines of name and value."""
    if isinstance(value, dict):
        return [line for k, v in value.items() for line in flat(v, f"{prefix} {k}".strip())]
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return [line for i, v in enumerate(value, 1) for line in flat(v, f"{prefix} {i}")]
    if isinstance(value, list | tuple):
        return [(prefix, ", ".join(map(str, value)))]
    return [(prefix, str(value))]
