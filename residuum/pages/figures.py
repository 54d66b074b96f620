"""A `Figure` drawn by matplotlib: SVG whose colours follow the page (light and dark), and PNG for
papers."""

import io
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..results import Figure, Number, Series

INK, MUTED, GRID, SPAN = "#1f2328", "#5f6873", "#dfe3e8", "#eab308"
COLOURS = ("#2563eb", "#d9480f", "#2b8a3e", "#9c36b5", "#0c8599", "#c2255c")
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--line", SPAN: "--span"} | {
    colour: f"--c{i}" for i, colour in enumerate(COLOURS, 1)
}
SVG = "http://www.w3.org/2000/svg"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "residuum",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Drawing:
    """One figure in both formats."""

    svg: bytes
    png: bytes


def draw(figure: Figure) -> Drawing:
    """The figure as SVG and PNG, the latter on white paper.

    Laid out and drawn from one set of artists; pyplot, slow to import, is not needed.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with rc_context(STYLE):
        canvas = Canvas(figsize=(7.2, 4.1), layout="constrained")
        FigureCanvasAgg(canvas)
        _axes(canvas.subplots(), figure)
        svg, png = io.BytesIO(), io.BytesIO()
        of_svg: dict[str, Any] = {"Date": None, "Creator": "residuum"}
        canvas.savefig(svg, format="svg", metadata=of_svg, facecolor="none")
        canvas.set_layout_engine("none")  # as it stands: one layout for both formats
        of_png = {"Software": "residuum"}
        canvas.savefig(png, format="png", metadata=of_png, facecolor="white", dpi=160)
        return Drawing(svg.getvalue(), png.getvalue())


def _axes(axes, figure: Figure) -> None:
    for span in figure.spans:
        axes.axvspan(
            span.first - 0.5, span.last + 0.5, color=SPAN, alpha=0.16, linewidth=0, label=span.name
        )
    colour = -1
    for number, series in enumerate(figure.series):
        if series.style not in (
            "level",
            "dashed",
        ):  # these two take the colour of the curve that they belong to
            colour += 1
        _series(axes, series, COLOURS[max(0, colour) % len(COLOURS)], number)
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    if figure.log_y:
        axes.set_yscale("log")
    elif min((v for s in figure.series for v in s.y if v is not None), default=0) >= 0:
        axes.set_ylim(bottom=0)
    if figure.reverse_x:
        axes.invert_xaxis()
    handles = len(figure.series) + len(figure.spans)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 1.2 if handles > 2 else 1.12),
        ncols=2,
        fontsize=8.5,
    )


def _series(axes, series: Series, colour: str, number: int) -> None:
    keep = [i for i, y in enumerate(series.y) if y is not None and series.x[i] is not None]
    x, y = _pick(series.x, keep), _pick(series.y, keep)
    if series.style == "level":
        axes.plot(x, y, color=colour, linewidth=1.1, linestyle=(0, (1, 2)), label=series.name)
        return
    if series.style == "dashed":
        axes.plot(x, y, color=colour, linewidth=1.2, linestyle=(0, (5, 2)), label=series.name)
        return
    if series.style == "bars":
        axes.bar(x, y, color=colour, width=0.8, label=series.name)
    elif series.style == "points":
        axes.plot(x, y, "o", color=colour, markersize=3, alpha=0.55, label=series.name)
    else:
        axes.plot(x, y, color=colour, linewidth=1.7, marker="o", markersize=3.2, label=series.name)
    if series.low and series.high:
        bounded = [i for i in keep if series.low[i] is not None and series.high[i] is not None]
        low, high = _pick(series.low, bounded), _pick(series.high, bounded)
        axes.fill_between(
            _pick(series.x, bounded), low, high, color=colour, alpha=0.16, linewidth=0
        )
    if series.labels:
        axes.plot(x, y, "o", color=colour, markersize=9, alpha=0.0, gid=f"hover-{number}")


def _pick(values: Iterable[Number], keep: list[int]) -> list[float]:
    values = list(values)
    return [float(values[i]) for i in keep]  # type: ignore[arg-type]


def inline(svg: bytes, figure: Figure, name: str) -> str:
    """The figure's SVG for a page.

    Colours are CSS variables, every point has a title, its box gives the size, ids are its own.
    """
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(svg)
    for attribute in ("width", "height"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", name)
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    groups = {g.get("id"): g for g in root.iter(f"{{{SVG}}}g")}
    for number, series in enumerate(figure.series):
        group = groups.get(f"hover-{number}")
        if group is None:
            continue
        group.set("class", "hover")
        labels = [label for label, y in zip(series.labels, series.y, strict=False) if y is not None]
        for point, label in zip(group.iter(f"{{{SVG}}}use"), labels, strict=False):
            ET.SubElement(point, f"{{{SVG}}}title").text = label
    text = ET.tostring(root, encoding="unicode")
    for element in root.iter():
        if identity := element.get("id"):
            text = text.replace(f'"{identity}"', f'"{name}-{identity}"').replace(
                f'"#{identity}"', f'"#{name}-{identity}"'
            )
            text = text.replace(f"url(#{identity})", f"url(#{name}-{identity})")
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    return text
