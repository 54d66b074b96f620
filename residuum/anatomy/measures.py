"""What dissection measures, as plain values: they are kept as JSON and shown without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .statistics import Change, Rate


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


@dataclass(frozen=True)
class PathGradients:
    """The measures of gradient by path length; every field is indexed by length 0..n, means over
    examples.

    mean m_k: norm of one path, sampled (NaN where none was). rms r_k: root mean square norm of one
    path, from the signed sweep. exact: norm of G_k. exact_rms: root mean square of it over
    examples. counts c_k: number of paths.
    """

    counts: tuple[int, ...]
    mean: tuple[float, ...]
    mean_error: tuple[float, ...]
    rms: tuple[float, ...]
    rms_error: tuple[float, ...]
    exact: tuple[float, ...]
    exact_rms: tuple[float, ...]
    samples: int
    draws: int
    n: int

    def total(self, measure: Measure) -> tuple[float, ...]:
        """Total gradient of every length: "published" c_k m_k (Veit et al., fig. 6c: as if all
        paths pointed the same way), "orthogonal" sqrt(c_k) r_k (as if at right angles), "exact"
        |G_k| (what arrives)."""
        counts = np.array([float(c) for c in self.counts])
        if measure == "published":
            return tuple(counts * np.array(self.mean))
        if measure == "orthogonal":
            return tuple(np.sqrt(counts) * np.array(self.rms))
        return self.exact

    def effective(self, measure: Measure, share: float = 0.95) -> tuple[int, int]:
        """The shortest interval of lengths that holds `share` of the measure's total."""
        return shortest_interval(self.total(measure), share)


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
