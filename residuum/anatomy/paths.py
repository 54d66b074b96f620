"""Counting paths: the path polynomial of an expression, in exact integers.

Give every branch the weight t and every way round it the weight 1 and read the model as an
expression: series multiply, roads side by side add. The coefficient of t^k is the number of paths
that take k branches. n residual units in a row: (1 + t)^n (Veit et al. 2016, sec. 3); a nest: 1 +
P(its row); a plain layer: t. Needs no torch.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import comb
from typing import Any

import numpy as np

from ..errors import UsageError, several
from ..views.view import Expression, Leaf, Series, leaves, residual

Polynomial = tuple[int, ...]


def polynomial(expression: Expression, deleted: Iterable[int] = ()) -> Polynomial:
    """Coefficients of the path polynomial, index = length.

    A deleted leaf counts 1 where it leaves a way of its own, else 0: of a residual unit only the
    way round is left."""
    return _fold(expression, frozenset(deleted))


def _fold(expression: Expression, gone: frozenset[int]) -> Polynomial:
    if isinstance(expression, Leaf):
        if expression.number in gone:
            return (1,) if expression.opens else (0,)
        return (0, expression.terms)
    parts = [_fold(part, gone) for part in expression.parts]
    if isinstance(expression, Series):
        return _product(parts)
    total = [0] * max(map(len, parts))
    for part in parts:
        for k, count in enumerate(part):
            total[k] += count
    return _trimmed(total)


def _product(factors: list[Polynomial]) -> Polynomial:
    """Equal factors are taken together: a row of n residual units is one binomial, however deep."""
    product = np.array([1], dtype=object)
    for factor, times in Counter(factors).items():
        product = np.convolve(product, _power(factor, times))
    return _trimmed(product.tolist())


def _power(factor: Polynomial, times: int) -> np.ndarray:
    if factor == (1, 1):
        return np.array([comb(times, k) for k in range(times + 1)], dtype=object)
    if times == 1:
        return np.array(factor, dtype=object)
    half = _power(factor, times // 2)
    square = np.convolve(half, half)
    return np.convolve(square, np.array(factor, dtype=object)) if times % 2 else square


def _trimmed(coefficients: list[int]) -> Polynomial:
    """Without zeros behind the last coefficient."""
    last = max((k for k, count in enumerate(coefficients) if count), default=0)
    return tuple(int(count) for count in coefficients[: last + 1])


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

    def percentile(self, share: Fraction) -> int:
        """The least length such that at least this share of all paths is no longer."""
        running = accumulate(self.counts)
        return next(k for k, count in enumerate(running) if count >= share * self.total)

    def distribution(self) -> tuple[float, ...]:
        """The share of every length, rounded to floats only at the end."""
        return tuple(float(Fraction(c, self.total)) for c in self.counts)


def count_paths(model: Any) -> Paths:
    """The paths of a model, a view or an expression."""
    expression = _expression(model)
    return Paths(polynomial(expression), sum(1 for _ in leaves(expression)))


def _expression(model: Any) -> Expression:
    if isinstance(model, Expression):
        return model
    from ..views import unravel

    return unravel(model).expression


def remaining(model: Any, d: int) -> tuple[Fraction | None, ...]:
    """Of the paths of every length, the fraction left after deleting d units, averaged over all
    C(n, d) choices.

    On a row of residual units C(n-d, k) / C(n, k), Veit et al. 2016, eq. 8; on nests the same
    average, from the polynomial in t and s in which s marks a deletion. None where no path has that
    length. UsageError: d outside 0..n.
    """
    expression = _expression(model)
    n, counts = sum(1 for _ in leaves(expression)), polynomial(expression)
    if not 0 <= d <= n:
        raise UsageError(f"cannot delete {d} of {several(n, 'unit')}")
    parts = expression.parts if isinstance(expression, Series) else (expression,)
    if all(map(residual, parts)):
        return tuple(Fraction(comb(n - d, k), comb(n, k)) for k in range(n + 1))
    kept = _marked(expression, d)[d]
    pairs = zip(counts, kept, strict=False)
    return tuple(
        Fraction(int(left), count * comb(n, d)) if count else None for count, left in pairs
    )


def _marked(expression: Expression, d: int) -> np.ndarray:
    """(d+1, length+1) coefficients: [j, k] sums, over all choices of j deleted leaves, the paths of
    length k."""
    if isinstance(expression, Leaf):
        table = np.zeros((d + 1, 2), dtype=object)
        table[0, 1] = expression.terms
        if d and expression.opens:
            table[1, 0] = 1
        return table
    tables = [_marked(part, d) for part in expression.parts]
    if isinstance(expression, Series):
        product = np.zeros((d + 1, 1), dtype=object)
        product[0, 0] = 1
        for table in tables:
            product = _multiply(product, table)
        return product
    # a path through one part is there whatever is deleted in the others: times (1 + s)^(leaves of
    # the others)
    sizes = [sum(1 for _ in leaves(part)) for part in expression.parts]
    total = np.zeros((d + 1, max(table.shape[1] for table in tables)), dtype=object)
    for table, size in zip(tables, sizes, strict=True):
        others = np.array([[comb(sum(sizes) - size, j)] for j in range(d + 1)], dtype=object)
        found = _multiply(table, others)
        total[:, : found.shape[1]] += found
    return total


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    product = np.zeros((a.shape[0], a.shape[1] + b.shape[1] - 1), dtype=object)
    for i in range(a.shape[0]):
        for j in range(a.shape[0] - i):
            if any(a[i]) and any(b[j]):
                product[i + j] += np.convolve(a[i], b[j])
    return product
