"""Variants compared on the same examples by any measure, as plain values. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import Estimate, holm, student_mean, student_p


@dataclass(frozen=True)
class Effect:
    """What an edit does to a measure, one of `among` that were looked at together.

    `mean`: over examples, with the edit. `change`: the mean of the paired differences to the intact
    model; its interval holds for all of the effects together (Bonferroni, Student). `p_value`: is
    the mean difference zero? Adjusted for all of them (Holm).
    """

    mean: Estimate
    change: Estimate
    p_value: float
    among: int


@dataclass(frozen=True)
class Interaction:
    """Of two deletions: by how much both together do more harm than the sum of each alone,
    s(ab) - s(a) - s(b) + s(). Positive: each stands in for the other."""

    pair: tuple[int, int]
    excess: Estimate
    p_value: float


def effects(base: np.ndarray, scores: np.ndarray) -> list[Effect]:
    """base: (N,), intact. scores: (V, N), one row a variant, on the same examples."""
    differences = scores - base
    adjusted = holm([student_p(row) for row in differences])
    n = len(scores)
    return [
        Effect(student_mean(row), student_mean(difference, n), p, n)
        for row, difference, p in zip(scores, differences, adjusted, strict=True)
    ]


def interactions(
    base: np.ndarray, singles: np.ndarray, pairs: Sequence[tuple[int, int]], both: np.ndarray
) -> list[Interaction]:
    """base: (N,). singles: (units, N), each unit deleted. both: (pairs, N), the pairs deleted.

    Intervals and p-values hold for all pairs together, as those of `effects`.
    """
    rows = [row - singles[a] - singles[b] + base for (a, b), row in zip(pairs, both, strict=True)]
    adjusted = holm([student_p(row) for row in rows])
    return [
        Interaction(pair, student_mean(row, len(rows)), p)
        for pair, row, p in zip(pairs, rows, adjusted, strict=True)
    ]
