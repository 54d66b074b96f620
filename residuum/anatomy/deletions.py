"""Lesions: delete each unit, any given set, or k at random, on the same examples as intact."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError, several
from ..task import CLASSIFICATION, Task
from ..views import unravel
from ..views.inputs import Inputs, count, take
from .measures import Deletion
from .resume import SweepLog
from .statistics import Change, Estimate, Rate, student_mean
from .sweeps import MEMORY, sweep
from .variants import Variant, intact, without


@dataclass(frozen=True)
class Examples:
    """Inputs (N, ...) and targets (N, ...), those that every variant is evaluated on, and what they
    are for. Several inputs stand in a tuple, or by keyword in a mapping.

    UsageError: not as many inputs as targets.
    """

    inputs: Inputs
    targets: Tensor
    task: Task = CLASSIFICATION

    def __post_init__(self) -> None:
        given = count(self.inputs)
        if given != len(self.targets):
            raise UsageError(f"{given} inputs and {len(self.targets)} targets: give one an example")

    def __len__(self) -> int:
        return len(self.targets)

    def wrong(self, output: Any, at: slice) -> Tensor:
        """Whether each answer to the examples `at` is wrong.

        UsageError: a task that knows no right and wrong.
        """
        right = self.task.right(output, self.targets[at].cpu())
        if right is None:
            raise UsageError(
                "this task knows no right and wrong answers, so there is no error to compare"
            )
        return ~right

    def spread(self, n: int | None) -> "Examples":
        """n of them at equal distances (None: all): class folders come sorted, so the first n would
        be of one class."""
        if n is None or n >= len(self):
            return self
        return self.some(spread_out(len(self), n))

    def some(self, at: Tensor) -> "Examples":
        """Those of these indices."""
        return Examples(take(self.inputs, at), self.targets[at], self.task)


def spread_out(size: int, n: int) -> Tensor:
    """n indices (at most `size`) at equal distances from the first to the last."""
    return torch.linspace(0, size - 1, min(n, size)).round().long()


def compare(
    model: Any,
    examples: Examples,
    variants: Sequence[Variant],
    title: str,
    memory: int = MEMORY,
    log: SweepLog | None = None,
) -> tuple[Rate, list[tuple[Rate, Change]]]:
    """The intact error, and for every variant its error and the change, on the same examples. With
    a `log`, one that was killed goes on where it was.

    UsageError: a task that knows no right and wrong.
    """
    view = unravel(model)
    everything = [intact(view), *variants]
    if log is not None:
        log = log.keeping("wrong", examples.targets, examples.task)
    base, *rows = sweep(view, examples.inputs, everything, memory, title, examples.wrong, log)
    n, found = len(examples), []
    for row in rows:
        change = Change(int((row & ~base).sum()), int((~row & base).sum()), n)
        found.append((Rate(int(row.sum()), n), change))
    return Rate(int(base.sum()), n), found


def delete(
    model: Any,
    examples: Examples,
    sets: Iterable[Iterable[int]],
    title: str = "deleting sets",
    log: SweepLog | None = None,
) -> tuple[Rate, list[Deletion]]:
    """The intact error, and one `Deletion` for each given set of unit numbers (counted from 0 in
    signal order). With a `log`, one that was killed goes on where it was."""
    chosen = [tuple(sorted(s)) for s in sets]
    view = unravel(model)
    variants = [without(view, s) for s in chosen]
    intact_error, found = compare(view, examples, variants, title, log=log)
    return intact_error, [
        Deletion(s, error, change) for s, (error, change) in zip(chosen, found, strict=True)
    ]


def delete_each(
    model: Any, examples: Examples, log: SweepLog | None = None
) -> tuple[Rate, list[Deletion]]:
    """Every unit on its own (Veit et al. 2016, fig. 3). `log` as for `delete`."""
    view = unravel(model)
    n = len(view.units)
    return delete(view, examples, ([u] for u in range(n)), "deleting each unit", log)


def delete_random(
    model: Any,
    examples: Examples,
    counts: Sequence[int],
    repeats: int = 10,
    seed: int = 0,
    log: SweepLog | None = None,
) -> tuple[Rate, dict[int, list[Deletion]], dict[int, Estimate]]:
    """k units at random, `repeats` times for each k (Veit et al. 2016, fig. 5a): every deletion,
    and their mean error with Student's interval.

    The draws are a function of (seed, k, repeat). `log` as for `delete`.
    """
    view = unravel(model)
    sets = random_sets(len(view.units), counts, repeats, seed)
    base, deletions = delete(view, examples, sets, "deleting k units", log)
    grouped = {k: deletions[i * repeats : (i + 1) * repeats] for i, k in enumerate(counts)}
    return base, grouped, {k: student_mean([d.error.value for d in g]) for k, g in grouped.items()}


def random_sets(n: int, counts: Sequence[int], repeats: int, seed: int) -> list[list[int]]:
    """`repeats` sets of k of n units for each k, in turn: a function of (seed, k, repeat).

    UsageError: more than there are.
    """
    for k in counts:
        if not 0 <= k <= n:
            raise UsageError(f"cannot delete {k} of {several(n, 'unit')}")
    return [
        np.random.default_rng([seed, k, r]).choice(n, k, replace=False).tolist()
        for k in counts
        for r in range(repeats)
    ]
