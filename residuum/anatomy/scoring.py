"""Any edits, judged by any task's loss: for what is no matter of right and wrong."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import NumericError, UsageError
from ..views import unravel
from . import comparisons
from .comparisons import Effect, Interaction
from .deletions import Examples
from .resume import SweepLog
from .statistics import Estimate, student_mean
from .sweeps import MEMORY, sweep
from .variants import Variant, intact, without


def scores(
    model: Any,
    examples: Examples,
    variants: Sequence[Variant],
    memory: int = MEMORY,
    title: str = "scores",
    log: SweepLog | None = None,
) -> np.ndarray:
    """The task's loss of every variant on every example, (V, N) in float64. With a `log`, one that
    was killed goes on where it was.

    NumericError: a loss that is not finite (an edit may do that; it has no mean).
    """

    def keep(output: Any, at: slice) -> Tensor:
        return examples.task.loss(output, examples.targets[at].cpu()).double()

    if log is not None:
        log = log.keeping("loss", examples.targets, examples.task)
    found = sweep(unravel(model), examples.inputs, variants, memory, title, keep, log).numpy()
    if not np.isfinite(found).all():
        variant, example = np.argwhere(~np.isfinite(found))[0]
        raise NumericError(f"the loss of variant {variant} on example {example} is not finite")
    return found


def effects(
    model: Any,
    examples: Examples,
    variants: Sequence[Variant],
    memory: int = MEMORY,
    title: str = "effects",
    log: SweepLog | None = None,
) -> tuple[Estimate, list[Effect]]:
    """The intact model's mean loss, and what each variant does to it, on the same examples.

    When to use: for losses, perplexities and metrics of yours; `delete` compares error rates.
    `log` as for `scores`. UsageError: no variants.
    """
    view = unravel(model)
    if not variants:
        raise UsageError("no variants to compare with the intact model")
    base, *rows = scores(view, examples, [intact(view), *variants], memory, title, log)
    return student_mean(base), comparisons.effects(base, np.reshape(rows, (len(rows), -1)))


def interactions(
    model: Any,
    examples: Examples,
    units: Sequence[int] | None = None,
    memory: int = MEMORY,
    log: SweepLog | None = None,
) -> list[Interaction]:
    """Of every pair of these units (all): how far deleting both differs from the sum of each.

    n (n + 1) / 2 + 1 variants. `log` as for `scores`. UsageError: fewer than two units.
    """
    view = unravel(model)
    chosen = list(range(len(view.units)) if units is None else units)
    if len(chosen) < 2:
        raise UsageError(f"a pair needs two units, and there are {len(chosen)}")
    pairs = list(combinations(chosen, 2))
    sets = [(), *((unit,) for unit in chosen), *pairs]
    variants = [without(view, numbers) for numbers in sets]
    base, *rows = scores(view, examples, variants, memory, "deleting pairs", log)
    places = {unit: place for place, unit in enumerate(chosen)}
    found = comparisons.interactions(
        base,
        np.array(rows[: len(chosen)]),
        [(places[a], places[b]) for a, b in pairs],
        np.array(rows[len(chosen) :]),
    )
    return [Interaction(p, f.excess, f.p_value) for p, f in zip(pairs, found, strict=True)]
