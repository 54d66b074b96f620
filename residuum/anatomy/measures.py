"""What dissection measures, as plain values: they are kept as JSON and shown without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .statistics import Change, Estimate, Rate, bootstrap, geometric_mean


@dataclass(frozen=True)
class Deletion:
    """The numbers of the deleted units, the error without them, and its change against the intact
    network."""

    deleted: tuple[int, ...]
    error: Rate
    change: Change


@dataclass(frozen=True)
class Reordering:
    """`swaps` pairs were swapped; `tau` is Kendall's rank correlation of the order with the
    identity, over all units."""

    swaps: int
    permutation: tuple[int, ...]
    tau: float
    error: Rate
    change: Change


@dataclass(frozen=True)
class Response:
    """The layer's name in the network and the standard deviation of its response, over images,
    pixels, channels."""

    name: str
    std: float


Measure = Literal["published", "orthogonal", "exact"]
Mean = Literal["geometric", "arithmetic"]
ByExample = tuple[tuple[float, ...], ...]  # [example][length]


@dataclass(frozen=True)
class Range:
    """A range of path lengths, and the middle of its ends, each with an interval."""

    first: Estimate
    last: Estimate
    middle: Estimate


@dataclass(frozen=True)
class PathGradients:
    """Gradient by path length, of every example on its own; lengths are 0..n of the units.

    Three totals of the gradients g_p over the c_k paths of length k:
    "published"   sum of |g_p| = c_k m_k (Veit et al. 2016, fig. 6c: as if all paths pointed the
                  same way),
    "orthogonal"  root of the sum of |g_p|^2 = sqrt(c_k) r_k (as if at right angles),
    "exact"       |G_k|, the norm of their sum: what arrives.

    Examples differ by orders of magnitude, so that a few carry an arithmetic mean: prefer
    geometric means, and read arithmetic ones beside their effective number of examples.

    counts: c_k. norms, squares: [replicate][example][length], unbiased estimates of the sums of
    |g_p| and |g_p|^2 by splitting with that many `particles`. exact: [example][length].
    uniform: mean norm of `samples` paths drawn with equal chances (the paper's procedure), with
    its standard error; None where none was drawn. n: examples.
    """

    counts: tuple[int, ...]
    norms: tuple[ByExample, ...]
    squares: tuple[ByExample, ...]
    exact: ByExample
    uniform: tuple[float | None, ...]
    uniform_error: tuple[float | None, ...]
    particles: int
    samples: int
    n: int

    def per_example(self, measure: Measure) -> np.ndarray:
        """The measure's total, (examples, lengths)."""
        if measure == "published":
            return np.mean(self.norms, axis=0)
        if measure == "orthogonal":
            return np.sqrt(np.mean(self.squares, axis=0))
        return np.array(self.exact)

    def geometric(self, measure: Measure) -> tuple[Estimate, ...]:
        """The geometric mean over examples, by length."""
        return tuple(map(geometric_mean, self.per_example(measure).T))

    def arithmetic(self, measure: Measure) -> tuple[Estimate, ...]:
        """The arithmetic mean over examples, by length, with its bootstrap interval.

        `n` is the effective number of examples, (sum w)^2 / sum w^2 of their values w. Where it is
        small the interval is too narrow: the examples that matter may not have been seen.
        """
        values = self.per_example(measure)
        low, high = bootstrap(lambda at: values[at].mean(0), self.n)
        squares = (values / np.maximum(values.sum(0), np.finfo(float).tiny)) ** 2
        n = 1 / np.maximum(squares.sum(0), 1 / self.n)
        columns = (values.mean(0), low, high, n)
        return tuple(Estimate(*row) for row in np.transpose(columns).tolist())

    def ratio(self, of: Measure, to: Measure, length: int) -> Estimate:
        """The geometric mean over examples of one measure's total over another's."""
        above, below = self.per_example(of)[:, length], self.per_example(to)[:, length]
        return geometric_mean(above[below > 0] / below[below > 0])

    def local_factors(self, window: int = 3) -> tuple[Estimate, ...]:
        """By which factor one more unit changes m_k: (m_{k+window} / m_k)^(1/window), k = 0, 1, ...

        Geometric means over examples, each with draws of its own: intervals hold both sources of
        chance.
        """
        mean = self.per_example("published") / np.maximum([float(c) for c in self.counts], 1)
        pairs = zip(mean.T, mean.T[window:], strict=False)
        return tuple(geometric_mean((b[a > 0] / a[a > 0]) ** (1 / window)) for a, b in pairs)

    def effective(
        self, measure: Measure, share: float = 0.95, mean: Mean = "geometric"
    ) -> tuple[int, int]:
        """The shortest range of lengths that holds `share` of the measure's total.

        The total by length is the mean over examples; a geometric one has the shape of the
        geometric mean of the examples' own shares, so that each example counts alike.
        """
        return shortest_interval(_mean(self.per_example(measure), mean), share)

    def effective_interval(
        self, measure: Measure, share: float = 0.95, mean: Mean = "geometric"
    ) -> Range:
        """`effective` with its bootstrap interval, examples and their replicates drawn anew."""
        kept = {"published": self.norms, "orthogonal": self.squares, "exact": (self.exact,)}
        values = np.array(kept[measure])
        power = 0.5 if measure == "orthogonal" else 1
        source = np.random.default_rng(1)

        def ends(at: np.ndarray) -> np.ndarray:
            replicates = source.integers(0, len(values), (len(values), len(at)))
            drawn = values[replicates, at].mean(0) ** power
            first, last = shortest_interval(_mean(drawn, mean), share)
            return np.array([first, last, (first + last) / 2])

        first, last = self.effective(measure, share, mean)
        low, high = bootstrap(ends, self.n)
        middle = (first + last) / 2
        found = zip((first, last, middle), low.tolist(), high.tolist(), strict=True)
        return Range(*[Estimate(value, a, b, self.n) for value, a, b in found])


def _mean(values: np.ndarray, mean: Mean) -> list[float]:
    """Over examples, by length; a geometric one leaves zeros out, as `geometric_mean` does."""
    if mean == "arithmetic":
        return values.mean(0).tolist()
    logs = np.log(values, out=np.zeros_like(values), where=values > 0)
    count = (values > 0).sum(0)
    return np.where(count, np.exp(logs.sum(0) / np.maximum(count, 1)), 0.0).tolist()


def shortest_interval(values: Sequence[float], share: float) -> tuple[int, int]:
    """(first, last) of the shortest run of indices whose sum is at least `share` of all; of equals
    the heaviest."""
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
    for width in range(1, len(values) + 1):
        runs = sums[width:] - sums[:-width]
        best = int(runs.argmax())
        if runs[best] >= share * sums[-1] * (1 - 1e-12):
            return best, best + width - 1
    return 0, len(values) - 1
