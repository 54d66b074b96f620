"""Reordering: swap units of the same shape and measure how far the order is from the trained one."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..units import ResidualNetwork
from .lesion import Examples, compare
from .measures import Reordering
from .replace import at_rest, device_of
from .statistics import Rate
from .sweep import reordered

Shape = tuple[int, ...]


@torch.no_grad()
def shapes(network: ResidualNetwork, images: Tensor) -> list[tuple[Shape, Shape]]:
    """Of each unit of the row: the shape of its input and its output, without the batch."""
    with at_rest(network):
        x, found = network.stem(images[:1].to(device_of(network))), []
        for unit in network.units:
            y = unit(x)
            found.append((tuple(x.shape[1:]), tuple(y.shape[1:])))
            x = y
    return found


def swap_pairs(pairs: Sequence[tuple[int, int]], n: int, swaps: int, source: np.random.Generator) -> tuple[int, ...]:
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
    network: ResidualNetwork, examples: Examples, swaps: Sequence[int], repeats: int = 10, seed: int = 0
) -> tuple[Rate, list[Reordering]]:
    """Swap k random pairs of same-shape units, `repeats` times for each k (Veit et al. 2016, sec. 4.3 and fig. 5b).

    Units that change the shape stay. The draws are a function of (seed, k, repeat). UsageError: no two units of the row
    have the same shape.
    """
    outlines = shapes(network, examples.images)
    n = len(outlines)
    fits = [i for i, (before, after) in enumerate(outlines) if before == after]
    pairs = [(a, b) for a in fits for b in fits if a < b and outlines[a] == outlines[b]]
    if not pairs:
        raise UsageError("nothing to reorder: no two units of this network have the same shape")
    draws = [(k, swap_pairs(pairs, n, k, np.random.default_rng([seed, k, r]))) for k in swaps for r in range(repeats)]
    base, found = compare(network, examples, [reordered(p) for _, p in draws], "reordering units")
    rows = zip(draws, found, strict=True)
    return base, [Reordering(k, p, kendall_tau(p), error, change) for (k, p), (error, change) in rows]
