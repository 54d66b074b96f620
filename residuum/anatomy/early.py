"""Lesions on no more examples than their verdicts take."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..views import unravel
from ..views.view import View
from .betting import (
    ERROR_RATE,
    MARGIN,
    DecidedDeletion,
    Verdict,
    decisions,
    interval,
    require_question,
)
from .deletions import Examples, delete_each
from .resume import SweepLog
from .statistics import Change, Rate
from .sweeps import sweeping
from .variants import intact, without

STEP = 32  # examples are added in multiples of it: a tile of the sweep on a CPU


def delete_each_early(
    model: Any,
    examples: Examples,
    margin: float = MARGIN,
    error_rate: float = ERROR_RATE,
    seed: int = 0,
    population: bool = False,
    log: SweepLog | None = None,
) -> tuple[Rate, list[DecidedDeletion]]:
    """Every unit on its own, each on a growing random subset of the examples until it is decided
    whether its deletion raises the error by more than the margin. The intact error, on all examples
    that some unit needed, and one `DecidedDeletion` a unit.

    When the decision is all that is asked: `delete_each` gives every change on every example. Here
    any decision of any unit is wrong with probability `error_rate` at most (Bonferroni over the
    units, betting confidence sequences over the examples). By default the question is about these
    examples: a wrong decision is one that differs from the full sweep's, and none is left open.
    `population`: it is about the population that the examples were drawn from; units whose change
    is near the margin then stay "undecided". The order of the examples is a function of the seed.
    With a `log`, one that was killed goes on where it was.

    margin (2 points), error_rate (5 %): fractions. UsageError: others; no examples; no error known.
    """
    require_question(margin, error_rate)
    view, n, seen = unravel(model), len(examples), 0
    if not view.units:
        return delete_each(model, examples, log)  # type: ignore[return-value]
    open_units, rate = list(range(len(view.units))), error_rate / len(view.units)
    size, found = np.inf if population else n, dict[int, tuple[Verdict, int]]()
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    wrong = np.zeros((len(view.units) + 1, n), np.int8)  # the intact model last
    with sweeping(view, examples.inputs) as part:
        while open_units and seen < n:
            at = slice(seen, min(n, seen + STEP * max(2, seen // (10 * STEP))))
            some = examples.some(order[at])
            wrong[[*open_units, -1], at] = _wrong(part, view, open_units, some, log)
            seen = at.stop
            differences = wrong[open_units, :seen] - wrong[-1, :seen]
            verdicts = decisions(differences, margin, size, rate)
            found |= {unit: (v, seen) for unit, v in zip(open_units, verdicts, strict=True)}
            open_units = [unit for unit in open_units if found[unit][0] == "undecided"]
    return Rate(int(wrong[-1, :seen].sum()), seen), [
        _decided(unit, wrong[[unit, -1], :used], verdict, size, rate)
        for unit, (verdict, used) in sorted(found.items())
    ]


def _wrong(
    part: Callable[..., Tensor],
    view: View,
    units: Sequence[int],
    some: Examples,
    log: SweepLog | None,
) -> Tensor:
    """Which of the examples are wrong without each of these units, and intact."""
    variants = [*(without(view, [unit]) for unit in units), intact(view)]
    known = None if log is None else log.keeping("wrong", some.targets, some.task)
    title = f"deleting each unit, {len(units)} undecided"
    return part(some.inputs, variants, title, some.wrong, known)


def _decided(
    unit: int, wrong: NDArray[np.int8], verdict: Verdict, size: float, rate: float
) -> DecidedDeletion:
    """wrong: (2, n), without the unit and intact."""
    without_it, base = wrong
    n = len(base)
    change = Change(int((without_it > base).sum()), int((without_it < base).sum()), n)
    bounds = interval(without_it - base, size, rate)
    return DecidedDeletion((unit,), Rate(int(without_it.sum()), n), change, verdict, bounds)
