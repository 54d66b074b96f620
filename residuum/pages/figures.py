"""A `Figure` drawn by matplotlib: for papers (SVG, PNG), and for a page, narrow and wide."""

import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..results import Figure, Number, Series
from .colours import COLOURS, GRID, INK, MUTED, SPANS, seed_numbers, series_colours
from .typography import typeset

NO_ROLES: Mapping[str, int] = MappingProxyType({})
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: dict[Any, Any] = {
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("axes.grid", "axes.unicode_minus", "axes.axisbelow"), True),
    **dict.fromkeys(("svg.fonttype", "figure.facecolor", "axes.facecolor"), "none"),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), MUTED),
    **dict.fromkeys(("axes.labelcolor", "text.color"), INK),
    **{"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]},
    **{"grid.color": GRID, "grid.linewidth": 0.7, "svg.hashsalt": "residuum"},
}
LOOKS: dict[str, dict[str, Any]] = {
    "line": {"linewidth": 1.7, "markersize": 3.6},
    "dashed": {"linewidth": 1.3, "linestyle": (0, (5, 2))},
    "level": {"linewidth": 1.6, "linestyle": (0, (1, 1.6))},
    "points": {"linestyle": "none", "markersize": 3.4, "alpha": 0.6},
}


@dataclass(frozen=True)
class Sheet:
    """A size to draw for: points wide and high, and of the text. One point is a pixel of a page."""

    width: int
    height: int
    text: float
    legend: bool = False  # in the image; a page has its own, which wraps

    @property
    def letters(self) -> int:
        """How many fit under the axes."""
        return int(self.width / self.text * 1.65)


PAPER = Sheet(518, 295, 9.5, legend=True)
NARROW, WIDE = Sheet(340, 270, 11), Sheet(720, 370, 12)


@dataclass(frozen=True)
class Drawing:
    """One figure for papers, in both formats."""

    svg: bytes
    png: bytes


def draw(figure: Figure, words: Mapping[str, int] = NO_ROLES) -> Drawing:
    """The figure with its legend as SVG and PNG (on white), one layout.

    `words`: the colours of roles (`colours.roles`).
    """
    return Drawing(*_save(figure, words, PAPER, ("svg", "png")))


def draw_for_page(figure: Figure, words: Mapping[str, int], sheet: Sheet) -> bytes:
    """The figure as SVG without a legend."""
    return _save(figure, words, sheet, ("svg",))[0]


SAVED: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None, "Creator": "residuum"}, "facecolor": "none"},
    "png": {"metadata": {"Software": "residuum"}, "facecolor": "white", "dpi": 160},
}


def _save(
    figure: Figure, words: Mapping[str, int], sheet: Sheet, formats: Sequence[str]
) -> list[bytes]:
    """pyplot, slow to import, is not needed."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    style: dict[Any, Any] = STYLE | {"font.size": sheet.text}
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page has more fonts than this
        canvas = Canvas(figsize=(sheet.width / 72, sheet.height / 72), layout="constrained")
        FigureCanvasAgg(canvas)
        _axes(canvas.subplots(), figure, words, sheet)
        files = []
        for kind in formats:
            files.append(io.BytesIO())
            canvas.savefig(files[-1], format=kind, **SAVED[kind])
            canvas.set_layout_engine("none")  # as it stands: one layout for all formats
        return [file.getvalue() for file in files]


def _axes(axes, figure: Figure, words: Mapping[str, int], sheet: Sheet) -> None:
    _spans(axes, figure)
    colours = series_colours(figure.series, words)
    banded = [i for i, s in enumerate(figure.series) if _bounded(s)]
    for i, seed in enumerate(seed_numbers(figure.series, colours)):
        place = (banded.index(i) - (len(banded) - 1) / 2) if i in banded else 0.0
        bars = len(banded) > 1 or figure.series[i].style == "points"
        look = _Look(COLOURS[colours[i]], MARKERS[seed % len(MARKERS)], bars, place)
        _series(axes, figure.series[i], look, i)
    if all(isinstance(x, int) for series in figure.series for x in series.x):
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(_words(figure.x_label, sheet.letters, 3))
    axes.set_ylabel(_words(figure.y_label, sheet.letters * sheet.height // sheet.width, 2))
    if figure.log_y and figure.near_zero:
        axes.set_yscale("symlog", linthresh=figure.near_zero)
    elif figure.log_y:
        axes.set_yscale("log")
    elif min((v for s in figure.series for v in s.y if v is not None), default=0) >= 0:
        axes.set_ylim(bottom=0)
    if figure.reverse_x:
        axes.invert_xaxis()
    if sheet.legend:
        top = 1.2 if len(figure.series) + len(figure.spans) > 2 else 1.12
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, top), ncols=2, fontsize=8.5)


def _spans(axes, figure: Figure) -> None:
    """Ranges of x: each shaded and edged in its colour, under a bar at a height of its own."""
    dashes = ((1, 0), (4, 3), (1, 2))
    for i, span in enumerate(figure.spans):
        colour, ends = SPANS[i % len(SPANS)], (span.first - 0.5, span.last + 0.5)
        axes.axvspan(*ends, color=colour, alpha=0.1, linewidth=0)
        for end in ends:
            axes.axvline(end, color=colour, linewidth=1, linestyle=(0, dashes[i % len(dashes)]))
        axis = axes.get_xaxis_transform()
        height = (1.02 + 0.035 * i,) * 2
        bar = {"linewidth": 4, "solid_capstyle": "butt", "clip_on": False}
        axes.plot(ends, height, color=colour, transform=axis, label=_words(span.name), **bar)


def _words(text: str, width: int = 60, lines: int = 1) -> str:
    """Text in lines, cut where it is too long; no formula, and nothing that a legend leaves out for
    its first letter."""
    wrapped = textwrap.wrap(typeset(text), width, max_lines=lines, placeholder=" …")
    found = "\n".join(wrapped).replace("$", r"\$")
    return f"\u200b{found}" if found.startswith("_") else found


@dataclass(frozen=True)
class _Look:
    """How a curve is told from others: colour and marker; where several have intervals, bars side
    by side in place of bands that would overlap."""

    colour: str
    marker: str
    bars: bool
    place: float


def _series(axes, series: Series, look: _Look, number: int) -> None:
    keep = [i for i, y in enumerate(series.y) if y is not None and series.x[i] is not None]
    x, y, name = _pick(series.x, keep), _pick(series.y, keep), _words(series.name)
    if series.style == "bars":
        axes.bar(x, y, color=look.colour, width=0.8, label=name)
    else:
        marker = look.marker if series.style in ("line", "points") else ""
        axes.plot(x, y, color=look.colour, marker=marker, label=name, **LOOKS[series.style])
    if bounded := _bounded(series):
        low, high = _pick(series.low, bounded), _pick(series.high, bounded)
        _interval(axes, _pick(series.x, bounded), low, high, look)
    if series.labels:
        axes.plot(x, y, "o", color=look.colour, markersize=9, alpha=0.0, gid=f"hover-{number}")


def _interval(axes, x, low, high, look: _Look) -> None:
    if not look.bars:
        axes.fill_between(x, low, high, color=look.colour, alpha=0.16, linewidth=0)
        return
    from matplotlib.transforms import offset_copy

    aside = offset_copy(axes.transData, axes.figure, x=1.6 * look.place, units="points")
    axes.vlines(x, low, high, color=look.colour, linewidth=1.3, alpha=0.6, transform=aside)
    axes.update_datalim([*zip(x, low, strict=True), *zip(x, high, strict=True)])
    axes.autoscale_view()


def _bounded(series: Series) -> list[int]:
    """Where the curve has an interval."""
    if series.style in ("level", "dashed") or not (series.low and series.high):
        return []
    values = zip(series.x, series.y, series.low, series.high, strict=True)
    return [i for i, found in enumerate(values) if None not in found]


def _pick(values: Sequence[Number], keep: list[int]) -> list[float]:
    return [float(values[i]) for i in keep]  # type: ignore[arg-type]
