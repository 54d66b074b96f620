"""One self-contained HTML file: light and dark, narrow and wide, readable with scripts off."""

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..results import Network, Study, Unit
from ..storage import make_folder, write_bytes, write_text
from .figures import Drawing, draw, inline


def write_report(study: Study, folder: Path) -> Path:
    """`folder`/report.html, and every figure as SVG and PNG in `folder`/figures. Gives the page."""
    figures = make_folder(make_folder(folder) / "figures")
    drawings, page = draw_all(study), folder / "report.html"
    for slug, drawing in drawings.items():
        write_bytes(figures, f"{study.name}-{slug}.svg", drawing.svg)
        write_bytes(figures, f"{study.name}-{slug}.png", drawing.png)
    write_text(folder, page.name, render(study, drawings))
    return page


def draw_all(study: Study) -> dict[str, Drawing]:
    """Each figure of the study, by its result's slug."""
    return {r.slug: draw(r.figure) for r in study.results if r.figure is not None}


def render(study: Study, drawings: Mapping[str, Drawing]) -> str:
    """The page. Everything that comes from outside (names of classes, networks) is escaped."""
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
    template = environment.from_string((templates / "report.html").read_text())
    return template.render(
        study=study,
        drawn=drawn,
        style=Markup((templates / "report.css").read_text()),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        classes=CLASSES,
        heat=heat,
        unit_label=unit_label,
        flat=flat,
        number=lambda value: f"{value:,}".replace(",", " "),
    )


CLASSES = {"reproduced": "yes", "exact": "yes", "not reproduced": "no"}


def heat(error: float | None, network: Network) -> int:
    """How far a lesion's error lies from the intact one to 90 %, in percent: a cell's colour."""
    intact = network.test_error
    share = 0.0 if error is None else (error - intact) / max(1e-9, 90 - intact)
    return round(100 * min(1.0, max(0.0, share)))


def unit_label(unit: Unit) -> str:
    text = f"unit {unit.number}: {unit.shape}, {unit.kind}, {unit.parameters} parameters"
    if unit.error is None:
        return text
    return f"{text}; deleted: error {unit.error:.2f} % [{unit.low:.2f}, {unit.high:.2f}]"


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as lines of name and value."""
    if isinstance(value, dict):
        return [line for k, v in value.items() for line in flat(v, f"{prefix} {k}".strip())]
    if not isinstance(value, list | tuple):
        return [(prefix, str(value))]
    if value and isinstance(value[0], dict):
        return [line for i, v in enumerate(value, 1) for line in flat(v, f"{prefix} {i}")]
    return [(prefix, ", ".join(map(str, value)))]
