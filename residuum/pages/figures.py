"""A `Figure` drawn by matplotlib: SVG whose colours follow the page (light and dark), and PNG for
papers."""

import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence
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
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("axes.grid", "axes.unicode_minus"), True),
    **dict.fromkeys(("svg.fonttype", "figure.facecolor", "axes.facecolor"), "none"),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), MUTED),
    **dict.fromkeys(("axes.labelcolor", "text.color"), INK),
    **{"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 10},
    **{"grid.color": GRID, "grid.linewidth": 0.7, "svg.hashsalt": "residuum"},
}
LOOKS: dict[str, dict[str, Any]] = {
    "line": {"linewidth": 1.7, "marker": "o", "markersize": 3.2},
    "dashed": {"linewidth": 1.2, "linestyle": (0, (5, 2))},
    "level": {"linewidth": 1.1, "linestyle": (0, (1, 2))},
    "points": {"linestyle": "none", "marker": "o", "markersize": 3, "alpha": 0.55},
}


@dataclass(frozen=True)
class Drawing:
    """One figure in both formats."""

    svg: bytes
    png: bytes


def draw(figure: Figure) -> Drawing:
    """The figure as SVG and PNG (on white), one layout. pyplot, slow to import, is not needed."""
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
        first, last = span.first - 0.5, span.last + 0.5
        axes.axvspan(first, last, color=SPAN, alpha=0.16, linewidth=0, label=span.name)
    colour = -1
    for number, series in enumerate(figure.series):
        # levels and dashed lines take the colour of the curve that they belong to
        colour += series.style not in ("level", "dashed")
        _series(axes, series, COLOURS[max(0, colour) % len(COLOURS)], number)
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    if figure.log_y:
        axes.set_yscale("log")
    elif min((v for s in figure.series for v in s.y if v is not None), default=0) >= 0:
        axes.set_ylim(bottom=0)
    if figure.reverse_x:
        axes.invert_xaxis()
    top = 1.2 if len(figure.series) + len(figure.spans) > 2 else 1.12
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, top), ncols=2, fontsize=8.5)


def _series(axes, series: Series, colour: str, number: int) -> None:
    keep = [i for i, y in enumerate(series.y) if y is not None and series.x[i] is not None]
    x, y = _pick(series.x, keep), _pick(series.y, keep)
    if series.style == "bars":
        axes.bar(x, y, color=colour, width=0.8, label=series.name)
    else:
        axes.plot(x, y, color=colour, label=series.name, **LOOKS[series.style])
    if series.style in ("level", "dashed"):
        return
    if series.low and series.high:
        bounded = [i for i in keep if series.low[i] is not None and series.high[i] is not None]
        band = (_pick(values, bounded) for values in (series.x, series.low, series.high))
        axes.fill_between(*band, color=colour, alpha=0.16, linewidth=0)
    if series.labels:
        axes.plot(x, y, "o", color=colour, markersize=9, alpha=0.0, gid=f"hover-{number}")


def _pick(values: Sequence[Number], keep: list[int]) -> list[float]:
    return [float(values[i]) for i in keep]  # type: ignore[arg-type]


def inline(svg: bytes, figure: Figure, name: str) -> str:
    """The figure's SVG for a page: its colours are CSS variables, every point has a title, ids
    begin with `name`, and the page gives the size."""
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(svg)
    del root.attrib["width"], root.attrib["height"]
    root.attrib |= {"role": "img", "aria-label": name}
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    groups = {g.get("id"): g for g in root.iter(f"{{{SVG}}}g")}
    for number, series in enumerate(figure.series):
        if (group := groups.get(f"hover-{number}")) is not None:
            group.set("class", "hover")
            labels = (t for t, y in zip(series.labels, series.y, strict=False) if y is not None)
            for point, label in zip(group.iter(f"{{{SVG}}}use"), labels, strict=False):
                ET.SubElement(point, f"{{{SVG}}}title").text = label
    for element in root.iter():
        for key, value in element.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            else:
                start = "#" if key.endswith("href") else "url(#"
                element.set(key, value.replace(start, f"{start}{name}-"))
    text = ET.tostring(root, encoding="unicode")
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    return text
