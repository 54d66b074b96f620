"""Reordering: swap units of the same shape and measure how far the order is from that trained."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UsageError
from ..views import unravel
from ..views.inputs import Inputs, take
from ..views.view import rows
from .deletions import Examples, compare
from .measures import Reordering
from .resume import SweepLog
from .statistics import Rate
from .variants import reordered

Shape = tuple[int, ...]


def shapes(model: Any, inputs: Inputs) -> list[tuple[Shape, Shape]]:
    """Of each unit: the shape of the signal ahead of it and behind it, without the batch."""
    view = unravel(model)
    if any(unit.shape_in is None for unit in view.units):
        view = unravel(view.model, take(inputs, slice(1)))
    return [(unit.shape_in or (), unit.shape_out or ()) for unit in view.units]


def swap_pairs(
    pairs: Sequence[tuple[int, int]], n: int, swaps: int, source: np.random.Generator
) -> tuple[int, ...]:
    """The identity of n places after `swaps` swaps, each of a pair of places drawn at random."""
    order = list(range(n))
    for choice in source.integers(len(pairs), size=swaps):
        a, b = pairs[choice]
        order[a], order[b] = order[b], order[a]
    return tuple(order)


def kendall_tau(permutation: Sequence[int]) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(range(len(permutation)), permutation)[0])  # type: ignore[arg-type]


def reorder_random(
    model: Any,
    examples: Examples,
    swaps: Sequence[int],
    repeats: int = 10,
    seed: int = 0,
    log: SweepLog | None = None,
) -> tuple[Rate, list[Reordering]]:
    """Swap k random pairs of same-shape units, `repeats` times for each k (Veit et al. 2016, sec.
    4.3 and fig. 5b).

    Units that change the shape stay, and units trade places within their innermost row; those of a
    foreign model with units of the same form. The draws are a function of (seed, k, repeat).
    With a `log`, one that was killed goes on where it was.
    UsageError: no two units of a row have the same shape.
    """
    view = unravel(model)
    forms = [unit.form for unit in view.units]
    outlines = [
        (*shape, form) for shape, form in zip(shapes(view, examples.inputs), forms, strict=True)
    ]
    pairs = []
    for row in rows(view.expression):
        fits = [i for i in row if outlines[i][0] == outlines[i][1]]
        pairs += [(a, b) for a in fits for b in fits if a < b and outlines[a] == outlines[b]]
    if not pairs:
        raise UsageError(
            "nothing to reorder: no two units of one row of this network have the same shape"
        )
    n = len(outlines)
    draws = [
        (k, swap_pairs(pairs, n, k, np.random.default_rng([seed, k, r])))
        for k in swaps
        for r in range(repeats)
    ]
    variants = [reordered(permutation) for _, permutation in draws]
    base, found = compare(view, examples, variants, "reordering units", log=log)
    return base, [
        Reordering(k, permutation, kendall_tau(permutation), error, change)
        for (k, permutation), (error, change) in zip(draws, found, strict=True)
    ]
