"""Error rates with the interval they deserve, and comparisons on the same examples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

TAIL = 0.025  # on either side of a 95 % interval


def wilson(count: int, n: int, among: int = 1) -> tuple[float, float]:
    """Wilson's 95 % interval of count / n, simultaneous for so many of them (Bonferroni)."""
    from scipy.special import ndtri

    z = ndtri(1 - TAIL / among)
    centre = (count + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * (count * (n - count) / n + z**2 / 4) ** 0.5
    return (float(centre - half) if count else 0.0), (float(centre + half) if count < n else 1.0)


def rate_words(value: float, interval: Sequence[float]) -> str:
    """A fraction in percent, with its interval: "0.56 % [0.15, 2.01]"."""
    low, high = interval
    return f"{100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


@dataclass(frozen=True)
class Rate:
    """`count` of `n`, with Wilson's 95 % interval. `value` and `interval` are fractions."""

    count: int
    n: int

    @property
    def value(self) -> float:
        return self.count / self.n

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.count, self.n)

    def __str__(self) -> str:
        return rate_words(self.value, self.interval)


@dataclass(frozen=True)
class Change:
    """Of an error rate, on the same `n` examples: `worse` became wrong, `better` became right."""

    worse: int
    better: int
    n: int

    @property
    def value(self) -> float:
        return (self.worse - self.better) / self.n

    def interval(self, among: int = 1) -> tuple[float, float]:
        """95 %, simultaneous for so many changes (Bonferroni); never of no width.

        The two discordant shares are parts of one multinomial; their Wilson intervals are joined as
        Newcombe (1998, Statistics in Medicine 17:2635) joins those of paired rates.
        """
        n, p, q = self.n, self.worse / self.n, self.better / self.n
        worse, better = (wilson(count, n, among) for count in (self.worse, self.better))
        together = (p * q / ((1 - p) * (1 - q))) ** 0.5 if max(p, q) < 1 else 0.0

        def reach(a: float, b: float) -> float:
            return (a**2 + b**2 + 2 * a * b * together) ** 0.5

        low = p - q - reach(p - worse[0], better[1] - q)
        return low, p - q + reach(worse[1] - p, q - better[0])

    @property
    def p_value(self) -> float:
        """McNemar's exact test: are `worse` and `better` equally likely?"""
        from scipy.stats import binomtest

        discordant = self.worse + self.better
        return float(binomtest(self.worse, discordant).pvalue) if discordant else 1.0


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; `n`: how many independent values stand behind it."""

    value: float
    low: float
    high: float
    n: float


def student_mean(values: Sequence[float] | np.ndarray, among: int = 1) -> Estimate:
    """The mean with Student's interval, which is infinite for a single value; simultaneous for so
    many of them (Bonferroni)."""
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Estimate(mean, -np.inf, np.inf, n)
    half = float(stdtrit(n - 1, 1 - TAIL / among) * np.std(values, ddof=1) / n**0.5)
    return Estimate(mean, mean - half, mean + half, n)


def student_p(values: Sequence[float] | np.ndarray) -> float:
    """Student's two-sided test: is the mean zero? 1 for a single value or zeros alone."""
    from scipy.special import stdtr

    n, mean = len(values), float(np.mean(values))
    if n < 2 or not np.any(values):
        return 1.0
    error = float(np.std(values, ddof=1)) / n**0.5
    return float(2 * stdtr(n - 1, -abs(mean) / error)) if error else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): those below 5 % are significant together, with a chance of 5 %
    that any of them is a false alarm, whatever the tests have to do with each other.

    The i-th smallest, i = 0, 1, ..., is multiplied by how many are left, and none is smaller than
    the one before.
    """
    order = np.argsort(p_values, kind="stable")
    left = np.arange(len(order), 0, -1)
    steps = np.maximum.accumulate(np.minimum(np.asarray(p_values, float)[order] * left, 1.0))
    adjusted = np.empty(len(order))
    adjusted[order] = steps
    return adjusted.tolist()


def exponential(estimate: Estimate) -> Estimate:
    """e to the value and its ends: the perplexity of a mean loss in nats; of a change of loss, the
    factor on the perplexity."""
    value, low, high = np.exp([estimate.value, estimate.low, estimate.high]).tolist()
    return Estimate(value, low, high, estimate.n)


def geometric_mean(values: np.ndarray) -> Estimate:
    """With Student's interval on logarithms: of values that differ by orders of magnitude.

    Zeros have no logarithm and are left out (`n` counts the others); of zeros alone it is zero.
    """
    logs = np.log(values[values > 0])
    if not len(logs):
        return Estimate(0.0, 0.0, 0.0, 0)
    return exponential(student_mean(logs))


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], n: int, draws: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of `statistic(indices)`, the n indices drawn anew with replacement."""
    return middle(np.array([statistic(at) for at in resamples(n, draws, seed)]))


def resamples(n: int, draws: int = 1000, seed: int = 0) -> Iterator[np.ndarray]:
    """n indices drawn with replacement, so many times: what `bootstrap` takes, for statistics of
    many rows at once."""
    source = np.random.default_rng(seed)
    for _ in range(draws):
        yield source.integers(0, n, n)


def middle(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % in the middle of what was drawn, (draws, ...)."""
    low, high = np.quantile(drawn, (TAIL, 1 - TAIL), axis=0)
    return low, high
