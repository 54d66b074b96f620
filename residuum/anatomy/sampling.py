"""Drawing single paths: every path of a given length equally likely, in rows and in nests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..views.view import Expression, Leaf, Series, ordinary
from .paths import Polynomial, polynomial

Choice = tuple["Choice", ...] | None
"""Of one unit: None goes round it, () through its branch, a tuple through its row with a choice for
each unit there."""


class PathSampler:
    """The paths through an expression, counted once so that many can be drawn."""

    def __init__(self, expression: Expression):
        self.expression = expression
        self.counts = polynomial(expression)
        inner = () if isinstance(expression, Leaf) else expression.parts
        self.parts = [PathSampler(part) for part in inner]

    @cached_property
    def behind(self) -> list[Polynomial]:
        """For each part of a series, the paths of all parts from there on."""
        found: list[Polynomial] = [(1,)]
        for part in reversed(self.parts):
            found.append(_times(part.counts, found[-1]))
        return found[::-1]

    @cached_property
    def flat(self) -> bool:
        """A row of residual units: k of n at random, as in the paper."""
        return all(ordinary(part.expression) for part in self.parts)

    def draw(self, length: int, source: np.random.Generator) -> tuple[Choice, ...] | None:
        """One choice for each unit of a series; None where no path has that length."""
        if length >= len(self.counts) or not self.counts[length]:
            return None
        if self.flat:
            taken = set(source.choice(len(self.parts), length, replace=False).tolist())
            return tuple(() if i in taken else None for i in range(len(self.parts)))
        choices = []
        for i, part in enumerate(self.parts):
            rest = self.behind[i + 1]
            weights = [
                count * rest[length - k] if 0 <= length - k < len(rest) else 0
                for k, count in enumerate(part.counts)
            ]
            k = _pick(weights, source)
            choices.append(part._one(k, source))
            length -= k
        return tuple(choices)

    def _one(self, length: int, source: np.random.Generator) -> Choice:
        """The choice at one unit."""
        if isinstance(self.expression, Leaf):
            return ()
        if isinstance(self.expression, Series):
            return self.draw(length, source)
        at = _pick([p.counts[length] if length < len(p.counts) else 0 for p in self.parts], source)
        chosen = self.parts[at]
        return None if chosen.expression == Series() else chosen._one(length, source)


def _times(a: Polynomial, b: Polynomial) -> Polynomial:
    return tuple(np.convolve(np.array(a, dtype=object), np.array(b, dtype=object)).tolist())


def _pick(weights: Sequence[int], source: np.random.Generator) -> int:
    """An index, with probability as its weight: exact, since path counts outgrow floats."""
    total = sum(weights)
    bits = total.bit_length() + 64
    at = int.from_bytes(source.bytes(bits // 8 + 1), "little") % total
    for index, weight in enumerate(weights):
        at -= weight
        if at < 0:
            return index
    raise AssertionError("the weights add up to their sum")
