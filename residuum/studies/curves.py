"""Series and words that figures share. Errors come in as fractions and are shown in percent."""

from collections.abc import Sequence

import numpy as np

from ..anatomy.statistics import Rate, Spread
from ..results import Series, Verdict


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


def rate_words(rate: Rate) -> str:
    """A rate with its Wilson interval."""
    low, high = rate.interval
    return f"{percent(rate.value)} [{percent(low)}, {percent(high)}]"


def spread_words(spread: Spread) -> str:
    """A mean over draws with Student's interval, cut to what an error can be."""
    low, high = spread.interval
    return f"{100 * spread.mean:.1f} % [{100 * max(0.0, low):.1f}, {100 * min(1.0, high):.1f}]"


def verdict(holds: bool, decidable: bool = True) -> Verdict:
    if not decidable:
        return "not decidable at this scale"
    return "reproduced" if holds else "not reproduced"


def level(name: str, intact: Rate, first: float, last: float) -> Series:
    """The error of the intact network, as a line from first to last."""
    return Series(f"{name} intact", (first, last), (100 * intact.value,) * 2, style="level")


def spread_series(
    name: str, x: Sequence[float], spreads: Sequence[Spread], what: Sequence[str]
) -> Series:
    """Means over draws with their intervals; `what` was drawn at each point."""
    labels = tuple(f"{w}: {spread_words(s)}" for w, s in zip(what, spreads, strict=True))
    low = tuple(100 * max(0.0, s.interval[0]) for s in spreads)
    high = tuple(100 * min(1.0, s.interval[1]) for s in spreads)
    return Series(name, tuple(x), tuple(100 * s.mean for s in spreads), low, high, labels)


def estimated(name: str, values: Sequence[float], errors: Sequence[float]) -> Series:
    """By length, with 1.96 standard errors on either side, for a logarithmic axis."""
    pairs = list(zip(values, errors, strict=True))
    low = tuple(positive(v - 1.96 * e) for v, e in pairs)
    high = tuple(positive(v + 1.96 * e) for v, e in pairs)
    return Series(name, tuple(range(len(values))), tuple(map(positive, values)), low, high)


def positive(value: float) -> float | None:
    """For a logarithmic axis: None where there is nothing to draw."""
    return value if value > 0 and np.isfinite(value) else None


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """The rank correlation; 0 where one of the two does not vary."""
    from scipy.stats import spearmanr

    if len(set(b)) < 2 or len(set(a)) < 2:
        return 0.0
    return float(spearmanr(a, b)[0])  # type: ignore[arg-type]


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and R^2 of a least-squares line; zeros for fewer than three points."""
    if len(points) < 3:
        return 0.0, 0.0
    x, y = np.array(points).T
    slope, intercept = np.polyfit(x, y, 1)
    residual = ((y - slope * x - intercept) ** 2).sum()
    return float(slope), float(1 - residual / max(((y - y.mean()) ** 2).sum(), 1e-300))
