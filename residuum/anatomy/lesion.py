"""Lesions: delete each unit, any given set, or k at random; the same examples intact and lesioned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..units import ResidualNetwork, count_leaves
from .measures import Deletion
from .replace import lesion
from .statistics import Change, Rate, Spread
from .sweep import MEMORY, Variant, intact, sweep, without

__all__ = ["Deletion", "Examples", "compare", "delete", "delete_each", "delete_random", "lesion"]


@dataclass(frozen=True)
class Examples:
    """Normalised pictures (N, 3, H, W) and labels (N,): those that every variant is evaluated on."""

    images: Tensor
    labels: Tensor

    def spread(self, n: int | None) -> "Examples":
        """n of them at equal distances (None: all): class folders come sorted, so the first n would be of one class."""
        if n is None or n >= len(self.labels):
            return self
        at = spread_out(len(self.labels), n)
        return Examples(self.images[at], self.labels[at])


def spread_out(size: int, n: int) -> Tensor:
    """n indices (at most `size`) at equal distances from the first to the last."""
    return torch.linspace(0, size - 1, min(n, size)).round().long()


def compare(
    network: ResidualNetwork, examples: Examples, variants: Sequence[Variant], title: str, memory: int = MEMORY
) -> tuple[Rate, list[tuple[Rate, Change]]]:
    """The intact error, and for every variant its error and the change, on the same examples."""
    everything = [intact(network), *variants]
    predicted = sweep(network, examples.images, everything, memory, title, keep=lambda logits: logits.argmax(1))
    wrong = predicted != examples.labels.cpu()
    base, n = wrong[0], len(examples.labels)
    found = []
    for row in wrong[1:]:
        change = Change(int((row & ~base).sum()), int((~row & base).sum()), n)
        found.append((Rate(int(row.sum()), n), change))
    return Rate(int(base.sum()), n), found


def delete(
    network: ResidualNetwork, examples: Examples, sets: Iterable[Iterable[int]], title: str = "deleting sets"
) -> tuple[Rate, list[Deletion]]:
    """The intact error, and one `Deletion` for each given set of unit numbers (leaves, counted from 0)."""
    chosen = [tuple(sorted(s)) for s in sets]
    intact_error, found = compare(network, examples, [without(network, s) for s in chosen], title)
    return intact_error, [Deletion(s, error, change) for s, (error, change) in zip(chosen, found, strict=True)]


def delete_each(network: ResidualNetwork, examples: Examples) -> tuple[Rate, list[Deletion]]:
    """Every unit on its own (Veit et al. 2016, fig. 3)."""
    n = count_leaves(network.units)
    return delete(network, examples, ([u] for u in range(n)), "deleting each unit")


def delete_random(
    network: ResidualNetwork, examples: Examples, counts: Sequence[int], repeats: int = 10, seed: int = 0
) -> tuple[Rate, dict[int, list[Deletion]], dict[int, Spread]]:
    """k units at random, `repeats` times for each k (Veit et al. 2016, fig. 5a): every deletion, and their spread.

    The draws are a function of (seed, k, repeat).
    """
    n = count_leaves(network.units)
    for k in counts:
        if not 0 <= k <= n:
            raise UsageError(f"cannot delete {k} of {n} units")
    sets = [np.random.default_rng([seed, k, r]).choice(n, k, replace=False).tolist() for k in counts for r in range(repeats)]
    base, deletions = delete(network, examples, sets, "deleting k units")
    grouped = {k: deletions[i * repeats : (i + 1) * repeats] for i, k in enumerate(counts)}
    return base, grouped, {k: Spread(tuple(d.error.value for d in g)) for k, g in grouped.items()}
