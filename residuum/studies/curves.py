"""Series and words that figures share. Errors come in as fractions and are shown in percent.

Where networks were trained from several seeds, a curve is the mean over them, and its band reaches
from the lowest bound of any seed's 95 % interval to the highest.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..anatomy.statistics import Estimate, Rate
from ..results import Series

Point = tuple[float, float, float]  # value, lower and upper bound


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


def estimate_words(value: Estimate, scale: float = 1.0) -> str:
    """Three digits, with the interval."""
    return f"{scale * value.value:.3g} [{scale * value.low:.3g}, {scale * value.high:.3g}]"


def listed(words: Iterable[object]) -> str:
    """One for each seed, in their order; once where all are the same."""
    found = [str(word) for word in words]
    return found[0] if len(set(found)) == 1 else " / ".join(found)


def rate_point(rate: Rate) -> Point:
    """In percent."""
    low, high = rate.interval
    return 100 * rate.value, 100 * low, 100 * high


def estimate_point(value: Estimate, scale: float = 1.0) -> Point:
    return scale * value.value, scale * value.low, scale * value.high


def level(name: str, intact: Sequence[Rate], first: float, last: float) -> Series:
    """The error of the intact network, mean over seeds, as a line from first to last."""
    error = 100 * float(np.mean([rate.value for rate in intact]))
    return Series(f"{name} intact", (first, last), (error,) * 2, style="level")


def mean_over_seeds(
    name: str,
    x: Sequence[float],
    seeds: Sequence[Sequence[Point | None]],
    what: Sequence[str],
    mean: Callable[[Sequence[float]], float] = lambda values: float(np.mean(values)),
) -> Series:
    """One curve of all seeds' points; `what` stands at each point. None: nothing is there."""
    y, lows, highs, labels = [], [], [], []
    for word, points in zip(what, zip(*seeds, strict=True), strict=True):
        there = [point for point in points if point is not None]
        values, low, high = zip(*there, strict=True) if there else ((), (), ())
        y.append(mean(values) if there else None)
        lows.append(min(low) if there else None)
        highs.append(max(high) if there else None)
        told = "; ".join(f"{v:.3g} [{a:.3g}, {b:.3g}]" for v, a, b in there)
        labels.append(f"{word}: {told}")
    return Series(name, tuple(x), tuple(y), tuple(lows), tuple(highs), tuple(labels))


def geometric(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
