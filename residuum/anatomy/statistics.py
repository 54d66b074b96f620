"""Error rates with the interval they deserve, and comparisons on the same examples."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """`count` of `n`, with Wilson's 95 % interval. `value`, `low` and `high` are fractions."""

    count: int
    n: int

    @property
    def value(self) -> float:
        return self.count / self.n

    @property
    def interval(self) -> tuple[float, float]:
        from scipy.stats import binomtest

        found = binomtest(self.count, self.n).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Change:
    """Of an error rate, on the same `n` examples: `worse` became wrong, `better` became right."""

    worse: int
    better: int
    n: int

    @property
    def value(self) -> float:
        return (self.worse - self.better) / self.n

    def interval(self, draws: int = 4000, seed: int = 0) -> tuple[float, float]:
        """Paired bootstrap: examples drawn anew with replacement, which is one multinomial over
        worse, better, same."""
        shares = np.array([self.worse, self.better, self.n - self.worse - self.better]) / self.n
        drawn = np.random.default_rng(seed).multinomial(self.n, shares, size=draws)
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / self.n, [tail, 100 - tail])
        return float(low), float(high)

    @property
    def p_value(self) -> float:
        """McNemar's exact test: are `worse` and `better` equally likely?"""
        from scipy.stats import binomtest

        discordant = self.worse + self.better
        return float(binomtest(self.worse, discordant).pvalue) if discordant else 1.0


@dataclass(frozen=True)
class Spread:
    """Values over random draws: their mean and Student's 95 % interval of it."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        n = len(self.values)
        if n < 2:
            return self.mean, self.mean
        from scipy.stats import t

        half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(self.values, ddof=1) / n**0.5)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; `n`: how many independent values stand behind it."""

    value: float
    low: float
    high: float
    n: float


def geometric_mean(values: np.ndarray) -> Estimate:
    """With Student's interval on logarithms: of values that differ by orders of magnitude.

    Zeros have no logarithm and are left out (`n` counts the others); of zeros alone it is zero.
    """
    logs = np.log(values[values > 0])
    if not len(logs):
        return Estimate(0.0, 0.0, 0.0, 0)
    spread = Spread(tuple(logs.tolist()))
    value, low, high = np.exp([spread.mean, *spread.interval]).tolist()
    return Estimate(value, low, high, len(logs))


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], n: int, draws: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of `statistic(indices)`, the n indices drawn anew with replacement."""
    source = np.random.default_rng(seed)
    drawn = np.array([statistic(source.integers(0, n, n)) for _ in range(draws)])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail], axis=0)
    return low, high
