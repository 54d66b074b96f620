"""When a claim counts as reproduced: measured numbers in, a verdict out, decided by intervals.

A claim is reproduced where the whole 95 % interval lies on its side of the bound, not reproduced
where the whole of it lies on the other, else undecided. A claim of several parts needs all of them;
networks trained from several seeds are judged one by one and must agree. Intervals that decide
together are simultaneous (Bonferroni), so that at most one claim in twenty gets the wrong verdict,
however many units it is about.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from ..anatomy.statistics import TAIL, Change, Estimate, Rate, student_mean, wilson
from ..results import Verdict

REPRODUCED: Verdict = "reproduced"
NOT: Verdict = "not reproduced"
OPEN: Verdict = "not decidable at this scale"
SEEDS = 3  # fewer trainings say nothing about training
Interval = tuple[float, float]
Strata = Sequence[tuple[float, Sequence[float]]]
"""What was drawn at one point of a curve: (share of all that could be drawn, values)."""


# ---- from intervals to verdicts ----


def below(interval: Interval, bound: float) -> Verdict:
    """The claim is that the value is at most `bound`."""
    low, high = interval
    return REPRODUCED if high <= bound else NOT if low > bound else OPEN


def above(interval: Interval, bound: float) -> Verdict:
    """The claim is that the value is at least `bound`."""
    low, high = interval
    return below((-high, -low), -bound)


def every(verdicts: Iterable[Verdict]) -> Verdict:
    """A claim of several parts: all must hold; one that does not refutes it."""
    found = list(verdicts)
    if NOT in found:
        return NOT
    return REPRODUCED if set(found) == {REPRODUCED} else OPEN


def unanimous(verdicts: Iterable[Verdict]) -> Verdict:
    """Of networks from several seeds: what all of them say."""
    found = set(verdicts)
    return found.pop() if len(found) == 1 else OPEN


def over_seeds(values: Sequence[float], bound: float = 0.0) -> Verdict:
    """That the mean over trainings is above the bound: Student's interval, three seeds at least.

    Trainings that all end on the bound itself say nothing.
    """
    mean = student_mean(values)
    if mean.n < SEEDS or mean.low == mean.high == bound:
        return OPEN
    return above((mean.low, mean.high), bound)


# ---- error rates ----


def learned(error: Rate, chance: float) -> bool:
    """Whether a network errs less than half as often as guessing does (its whole interval)."""
    return error.interval[1] < chance / 2


def changes_little(
    changes: Sequence[Change], most: float = 0.02, share: float = 0.9
) -> tuple[Verdict, list[int]]:
    """That of the units at least `share` change the error by at most `most` when deleted.

    Also the indices of the exceptions: those whose whole interval lies above.
    """
    intervals = [change.interval(len(changes)) for change in changes]
    verdicts = [below(interval, most) for interval in intervals]
    exceptions = [i for i, verdict in enumerate(verdicts) if verdict == NOT]
    if verdicts.count(REPRODUCED) >= share * len(changes):
        return REPRODUCED, exceptions
    few = len(changes) - len(exceptions) < share * len(changes)
    return (NOT if few else OPEN), exceptions


def at_chance(errors: Sequence[Rate], chance: float, share: float = 0.75) -> Verdict:
    """That every one of these errors is at least `share` of chance."""
    intervals = [wilson(e.count, e.n, len(errors)) for e in errors]
    return every(above(interval, share * chance) for interval in intervals)


# ---- curves over random draws ----


def resampled(
    points: Sequence[Strata], draws: int, source: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The mean at every point, (points,), and bootstrapped means, (draws, points).

    Deviations are widened by m/(m - 1), of variance, in a stratum of m values, which is what
    drawing from few values loses.
    """
    means, drawn = [], []
    for strata in points:
        mean, rows = 0.0, np.zeros(draws)
        for share, values in strata:
            taken, m = np.asarray(values, dtype=float), len(values)
            centre = taken.mean()
            found = taken[source.integers(0, m, (draws, m))].mean(1)
            mean += share * centre
            rows += share * (centre + (found - centre) * (m / max(1, m - 1)) ** 0.5)
        means.append(mean)
        drawn.append(rows)
    return np.array(means), np.transpose(drawn)


def curve(
    points: Sequence[Strata], rising: bool = False, draws: int = 1000
) -> list[tuple[float, float, float]]:
    """The mean at every point with its bootstrap interval; `rising`: of the isotonic curve."""
    mean, drawn = resampled(points, draws, np.random.default_rng(0))
    rows = np.concatenate([mean[None], drawn])
    rows = isotonic(rows) if rising else rows
    low, high = np.quantile(rows[1:], (TAIL, 1 - TAIL), axis=0).tolist()
    return list(zip(rows[0].tolist(), low, high, strict=True))


def isotonic(rows: np.ndarray) -> np.ndarray:
    """The nearest curve that never falls, of each row (draws, points), by least squares.

    At i the largest, over starts j <= i, of the smallest mean of rows[j..e] over ends e >= i.
    """
    rows = np.atleast_2d(rows)
    n = rows.shape[1]
    sums = np.concatenate([np.zeros((len(rows), 1)), rows.cumsum(1)], axis=1)
    widths = np.arange(1, n + 1) - np.arange(n)[:, None]  # [start, end]
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / np.where(widths > 0, widths, 1)
    means = np.where(widths > 0, means, np.inf)
    smallest = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.where(widths > 0, smallest, -np.inf).max(1)


def order(rows: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row (draws, points) with the order of its points."""
    from scipy.stats import rankdata

    ranks = rankdata(np.atleast_2d(rows), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    steps = np.arange(ranks.shape[1]) - (ranks.shape[1] - 1) / 2
    size = np.sqrt((ranks**2).sum(1) * (steps**2).sum())
    return np.where(size > 0, ranks @ steps / np.maximum(size, 1e-300), 0.0)


def ordered(mean: np.ndarray, drawn: np.ndarray, least: float) -> tuple[Verdict, Interval]:
    """That a curve's rank correlation with the order of its points is at least `least`.

    Noise alone lowers the bootstrapped correlation of small steps. So that it refutes nothing, a
    curve fails only where it also ranks lower than its isotonic fit with the same noise would.
    """
    low, high = np.quantile(order(drawn), (TAIL, 1 - TAIL)).tolist()
    verdict = above((low, high), least)
    if verdict == NOT:
        fitted = isotonic(mean) + drawn - mean
        verdict = NOT if order(mean)[0] < np.quantile(order(fitted), TAIL) else OPEN
    return verdict, (low, high)


def rises(
    points: Sequence[Strata], at: int, bound: float, images: int, draws: int = 1000, seed: int = 0
) -> tuple[Verdict, Interval, Interval]:
    """That errors rise point by point (rank correlation 0.95), and are below `bound` at point `at`.

    Also the intervals of the correlation and of the error there, on the isotonic curve; the latter
    holds the chance of the subsets and, as large as it can be, that of the images.
    """
    source = np.random.default_rng(seed)
    mean, drawn = resampled(points, draws, source)
    verdict, correlation = ordered(mean, drawn, 0.95)
    there = float(isotonic(mean)[0, at])
    spread = (max(0.0, there * (1 - there)) / images) ** 0.5
    values = isotonic(drawn)[:, at] + spread * source.standard_normal(draws)
    low, high = np.quantile(values, (TAIL, 1 - TAIL)).tolist()
    return every([verdict, below((low, high), bound)]), correlation, (low, high)


def rises_smoothly(
    points: Sequence[Strata], intact: float, draws: int = 1000, seed: int = 0
) -> tuple[Verdict, Interval, Interval]:
    """That means rise (rank correlation 0.9), no step by more than half of the whole way from
    `intact`.

    Also the intervals of the correlation and of the largest step's share of the way.
    """
    mean, drawn = resampled(points, draws, np.random.default_rng(seed))
    verdict, correlation = ordered(mean, drawn, 0.9)
    drawn = np.concatenate([np.full((draws, 1), intact), drawn], axis=1)
    steps = np.diff(drawn, axis=1)
    way = drawn[:, -1:] - drawn[:, :1]
    tail = TAIL / steps.shape[1]
    excess = np.quantile(steps - 0.5 * way, (tail, 1 - tail), axis=0).T.tolist()
    smooth = every(below((low, high), 0.0) for low, high in excess)
    shares = steps.max(1) / np.where(way[:, 0] > 0, way[:, 0], np.nan)
    low, high = np.nan_to_num(np.nanquantile(shares, (TAIL, 1 - TAIL)), nan=1.0).tolist()
    return every([verdict, smooth]), correlation, (low, high)


# ---- paths ----


def decays(factors: Sequence[Estimate], apart: float = 2.0) -> Verdict:
    """That every local factor is below 1, and the largest at most `apart` times the smallest.

    `factors` are geometric means over examples with Student intervals on logarithms; those are
    widened here to hold together.
    """
    intervals = [_simultaneous(factor, len(factors)) for factor in factors]
    lows, highs = (np.array(ends) for ends in zip(*intervals, strict=True))
    ratio = float(lows.max() / highs.min()), float(highs.max() / lows.min())
    return every([*(below(interval, 1.0) for interval in intervals), below(ratio, apart)])


def _simultaneous(value: Estimate, among: int) -> Interval:
    if value.n < 2 or value.low <= 0:
        return 0.0, np.inf
    from scipy.special import stdtrit

    degrees = value.n - 1
    wider = stdtrit(degrees, 1 - TAIL / among) / stdtrit(degrees, 1 - TAIL)
    ends = (value.value * (end / value.value) ** wider for end in (value.low, value.high))
    low, high = map(float, ends)
    return low, high


def short_paths(middle: Estimate, units: int, share: float = 0.45) -> Verdict:
    """That the middle of the effective lengths lies below `share` of the units."""
    return below((middle.low, middle.high), share * units)
