"""One self-contained HTML file: no outside request, light and dark, narrow and wide, readable with scripts off."""

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from ..results import Network, Result, Study
from ..storage import make_folder, write_bytes, write_text
from .figures import draw, inline_svg


def write_report(study: Study, folder: Path) -> Path:
    """`folder`/report.html, and every figure as SVG and PNG in `folder`/figures. Gives the page's path."""
    figures = make_folder(make_folder(folder) / "figures")
    for result in study.results:
        if result.figure is not None:
            for kind in ("svg", "png"):
                write_bytes(figures / f"{study.name}-{result.slug}.{kind}", draw(result.figure, kind))
    page = folder / "report.html"
    write_text(page, render(study))
    return page


def render(study: Study) -> str:
    """The page. Everything that comes from outside (names of classes, files, networks) is escaped."""
    import jinja2
    from markupsafe import Markup

    templates = resources.files("residuum.report") / "templates"
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    script = (templates / "report.js").read_text()
    drawn = {r.slug: Markup(inline_svg(r.figure, r.slug)) for r in study.results if r.figure is not None}
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
    return {"reproduced": "yes", "exact": "yes", "not reproduced": "no"}.get(result.claim.verdict, "open")


def heat(error: float | None, network: Network) -> int:
    """How far the error of a lesion lies between the intact error and 90 %, in percent, for a cell's colour."""
    if error is None:
        return 0
    return round(100 * min(1.0, max(0.0, (error - network.test_error) / max(1e-9, 90 - network.test_error))))


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
