"""Error rates with the interval they deserve, and comparisons on the same examples."""

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
