"""Confidence sequences by betting: intervals that hold at every number of examples at once, so that
looking after each and stopping when one likes costs nothing.

Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS B
86(1), sections 4 (betting) and 5 (sampling without replacement).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .measures import Deletion

Verdict = Literal["worse", "not worse", "undecided"]
MARGIN, ERROR_RATE = 0.02, 0.05
BETS = 0.48 / 2.0 ** np.arange(5)  # below 1/2 no bet can lose everything


@dataclass(frozen=True)
class DecidedDeletion(Deletion):
    """A deletion on as many examples as its decision took, `change.n`: is its change of the error
    above the margin ("worse") or not?

    `interval` holds the change, each end at the error rate shared by the units. No p value or
    interval for a fixed number of examples is right here, since the number was not fixed.
    """

    decision: Verdict
    interval: tuple[float, float]


def require_question(margin: float, error_rate: float) -> None:
    """UsageError: a margin that no change can have, a rate that is no probability."""
    if not 0 <= margin < 1:
        raise UsageError(f"margin is a fraction from 0 to below 1 (0.02: 2 points), not {margin}")
    if not 0 < error_rate < 1:
        raise UsageError(f"error_rate lies between 0 and 1 (0.05: 5 %), not {error_rate}")


def log_wealth(differences: NDArray, mean: float, size: float) -> NDArray[np.float64]:
    """Log of the wealth (..., n) won after each example by betting against "the mean of all `size`
    values is at most `mean`".

    K_t = mean over the bets b of prod_(i<=t) (1 + b (d_i - m_i)), where m_i is the mean of what is
    left if the claim is just true: (size mean - sum_(j<i) d_j) / (size - i + 1). If the claim is
    true, K reaches 1/a with probability a at most, whenever one looks (Ville's inequality).

    differences: (..., n), from -1 to 1, drawn at random without replacement from `size` values;
    `size` infinite: independent draws from a population, m_i = mean.
    """
    drawn = np.arange(differences.shape[-1])
    before = np.cumsum(differences, -1) - differences
    left = np.clip(mean + (drawn * mean - before) / (size - drawn), -1, 1)
    won = [np.cumsum(np.log1p(bet * (differences - left)), -1) for bet in BETS]
    return np.logaddexp.reduce(won, axis=0) - np.log(len(BETS))


def rejected(differences: NDArray, mean: float, size: float, rate: float) -> NDArray[np.bool_]:
    """Whether these examples (..., n) rule out that the mean of all is at most `mean`: by wealth,
    or because nothing that is left could bring it there."""
    rest = size - differences.shape[-1]
    certain = rest < np.inf and (differences.sum(-1) - rest) / size > mean
    return certain | (log_wealth(differences, mean, size).max(-1) >= -np.log(rate))


def interval(differences: NDArray, size: float, rate: float) -> tuple[float, float]:
    """All means that these examples (n,) do not rule out; each end holds at every n at once with
    probability 1 - rate."""
    return _lower(differences, size, rate), -_lower(-differences, size, rate)


def _lower(differences: NDArray, size: float, rate: float) -> float:
    """By bisection, since the wealth falls with the mean bet against."""
    low, high = -1.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        if rejected(differences, middle, size, rate):
            low = middle
        else:
            high = middle
    return low


def decisions(differences: NDArray, margin: float, size: float, rate: float) -> list[Verdict]:
    """For each row of (rows, n): is the mean of all `size` values above the margin?

    Of one row only one answer is wrong, so each row errs with probability `rate` at most. With all
    values seen the answer is exact.
    """
    if differences.shape[-1] == size:
        return ["worse" if mean > margin else "not worse" for mean in differences.mean(-1)]
    above = rejected(differences, margin, size, rate)
    below = rejected(-differences, -margin, size, rate)
    return [
        "worse" if a else "not worse" if b else "undecided"
        for a, b in zip(above, below, strict=True)
    ]
