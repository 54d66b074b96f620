"""Counting paths: the path polynomial of a network, in exact integers.

Give every branch the weight t and every shortcut the weight 1 and read the network as an expression: series multiply,
a unit is h + F. The coefficient of t^k is the number of paths that take k branches. n units in a row: (1 + t)^n
(Veit et al. 2016, sec. 3); a nested unit: 1 + P(branch); a plain layer: t.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import comb

import numpy as np

from ..errors import UsageError
from ..units import ResidualNetwork, ResidualUnit, Row, count_leaves

Polynomial = tuple[int, ...]


def polynomial(row: Iterable[ResidualUnit], deleted: Iterable[ResidualUnit] = ()) -> Polynomial:
    """Coefficients of the row's path polynomial, index = length. Deleted leaves count 1: only the way round is left."""
    return _row(row, {id(unit) for unit in deleted})


def _unit(unit: ResidualUnit, gone: set[int]) -> Polynomial:
    round_about = 0 if unit.plain else 1
    if not isinstance(unit.branch, Row):
        return (1,) if id(unit) in gone else (round_about, 1)
    through = _row(unit.branch, gone)
    return (through[0] + round_about, *through[1:])


def _row(row: Iterable[ResidualUnit], gone: set[int]) -> Polynomial:
    product = np.array([1], dtype=object)
    for unit in row:
        product = np.convolve(product, np.array(_unit(unit, gone), dtype=object))
    return tuple(int(c) for c in product)


@dataclass(frozen=True)
class Paths:
    """counts[k] paths have length k, out of `total`, through `units` units."""

    counts: Polynomial
    units: int

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> Fraction:
        """The mean length, P'(1) / P(1)."""
        return Fraction(sum(k * c for k, c in enumerate(self.counts)), self.total)

    def share(self, shortest: int, longest: int) -> Fraction:
        """Of all paths, those with shortest <= length <= longest."""
        return Fraction(sum(self.counts[max(0, shortest) : longest + 1]), self.total)

    def distribution(self) -> tuple[float, ...]:
        """The share of every length, rounded to floats only at the end."""
        return tuple(float(Fraction(c, self.total)) for c in self.counts)


def unravel(network: ResidualNetwork) -> Paths:
    """The paths of a network."""
    return Paths(polynomial(network.units), count_leaves(network.units))


def remaining(network: ResidualNetwork, d: int) -> tuple[Fraction | None, ...]:
    """Of the paths of every length, the fraction left after deleting d units, averaged over all C(n, d) choices.

    On a row of residual units C(n-d, k) / C(n, k), Veit et al. 2016, eq. 8; on nests the same average, from the
    polynomial in t and s whose leaves are 1 + s + t: s marks a deletion. None where no path has that length.
    UsageError: d outside 0..n.
    """
    n = count_leaves(network.units)
    if not 0 <= d <= n:
        raise UsageError(f"cannot delete {d} of {n} units")
    if all(not isinstance(u.branch, Row) and not u.plain for u in network.units):
        return tuple(Fraction(comb(n - d, k), comb(n, k)) for k in range(n + 1))
    table = _marked(network.units, d)
    whole, kept = table[0], table[d]
    return tuple(Fraction(int(b), int(a) * comb(n, d)) if a else None for a, b in zip(whole, kept, strict=True))


def _marked(row: Iterable[ResidualUnit], d: int) -> np.ndarray:
    """(d+1, length+1) coefficients: [j, k] sums, over all choices of j deleted leaves, the paths of length k."""
    product = np.zeros((d + 1, 1), dtype=object)
    product[0, 0] = 1
    for unit in row:
        product = _multiply(product, _marked_unit(unit, d))
    return product


def _marked_unit(unit: ResidualUnit, d: int) -> np.ndarray:
    inside = count_leaves([unit])
    if isinstance(unit.branch, Row):
        table = _marked(unit.branch, d)
        if not unit.plain:
            for j in range(min(d, inside) + 1):
                table[j, 0] += comb(inside, j)  # the way round is there whatever is deleted inside
        return table
    table = np.zeros((d + 1, 2), dtype=object)
    table[0] = [0 if unit.plain else 1, 1]
    if d:
        table[1, 0] = 1
    return table


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    product = np.zeros((a.shape[0], a.shape[1] + b.shape[1] - 1), dtype=object)
    for i in range(a.shape[0]):
        for j in range(a.shape[0] - i):
            if any(a[i]) and any(b[j]):
                product[i + j] += np.convolve(a[i], b[j])
    return product
