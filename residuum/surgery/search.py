"""Which units to remove: one at a time by what is lost, by a given score, or the best pair.

The model is not changed; candidates are deleted (`anatomy.sweeps`) and compared example by example
with the intact model. What is chosen on these examples looks better on them than on others: measure
it on others with `lost`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from ..anatomy.deletions import Examples
from ..anatomy.resume import SweepLog
from ..anatomy.statistics import Change, Rate, geometric_mean, student_mean
from ..anatomy.sweeps import sweeping
from ..anatomy.variants import intact, without
from ..errors import NumericError, UsageError, several
from ..views import unravel
from ..views.foreign import ForeignView
from ..views.inputs import take
from ..views.view import View
from .before_after import pass_seconds
from .measures import Candidate
from .removal import removed

Groups = Sequence[Sequence[int]]
"""Units that go together, by number."""

TIMED, ROUNDS = 32, 20  # examples in a pass whose time is measured, and how often


@dataclass(frozen=True)
class Target:
    """When a search ends: so many `units` are gone, or at most this share of the `parameters` or of
    the `seconds` of a pass is left; and ahead of a step that raises the mean loss by more than
    `loss`, or the share of wrong answers by more than `error` (0.01: one in a hundred), both
    compared on the same examples.

    Time is measured here: of every step the units are really removed and both models run in turn,
    round by round. The costs of single units, added up, would cost no export; but what removal
    saves is not their sum (a graph of operations runs otherwise than the model, and work beside
    the units stays).

    UsageError: none of the five, an impossible number.
    """

    units: int | None = None
    parameters: float | None = None
    loss: float | None = None
    seconds: float | None = None
    error: float | None = None

    def __post_init__(self) -> None:
        if all(value is None for value in vars(self).values()):
            raise UsageError("a target says units, parameters, seconds, loss or error")
        if self.units is not None and (type(self.units) is not int or self.units < 1):
            raise UsageError(f"target: {self.units!r} units: a whole number, at least 1")
        for name in ("parameters", "seconds"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                raise UsageError(f"target: {name} {share}: a share between 0 and 1")
        for name in ("loss", "error"):
            most = getattr(self, name)
            if most is not None and not isfinite(most):
                raise UsageError(f"target: {name} {most}: a finite number, the most it may rise")

    def reached(self, found: Sequence[Candidate], whole: int) -> bool:
        if not found:
            return False
        last = found[-1]
        enough = self.units is not None and len(last.removed) >= self.units
        few = self.parameters is not None and last.parameters <= self.parameters * whole
        timed = self.seconds is not None and last.seconds is not None
        return enough or few or (timed and last.seconds.value <= self.seconds)  # type: ignore

    def allows(self, candidate: Candidate) -> bool:
        """UsageError: a target of `error` where the task knows no right and wrong."""
        if self.error is not None:
            if candidate.error_change is None:
                raise UsageError("target: this task knows no right and wrong. Give loss, not error")
            if candidate.error_change.value > self.error:
                return False
        return self.loss is None or candidate.loss_change.value <= self.loss


class _Trials:
    """Sets of units of one model, tried on the same examples."""

    def __init__(self, view: View, examples: Examples, part: Any, log: SweepLog | None):
        self.view, self.examples, self.part = view, examples, part
        self.log = log and log.keeping("search", examples.targets, examples.task)
        self.whole = sum(p.numel() for p in view.model.parameters())
        self.base = self.scores([()])[0]
        self.intact = self._candidate((), self.base, 1)

    def scores(self, sets: Sequence[Sequence[int]]) -> Tensor:
        """The loss of every example, and whether it is wrong (NaN: nobody knows), (sets, N, 2)."""
        task, targets = self.examples.task, self.examples.targets

        def keep(output: Any, at: slice) -> Tensor:
            loss = task.loss(output, targets[at].cpu())
            right = task.right(output, targets[at].cpu())
            wrong = torch.full_like(loss, torch.nan) if right is None else (~right).to(loss)
            return torch.stack([loss, wrong], 1)

        variants = [without(self.view, each) if each else intact(self.view) for each in sets]
        return self.part(self.examples.inputs, variants, "search", keep, self.log)

    def candidates(self, sets: Iterable[Iterable[int]]) -> list[Candidate]:
        chosen = [tuple(each) for each in sets]
        rows = self.scores(chosen) if chosen else []
        return [
            self._candidate(each, row, len(chosen)) for each, row in zip(chosen, rows, strict=True)
        ]

    def _candidate(self, units: tuple[int, ...], row: Tensor, among: int) -> Candidate:
        loss, wrong = row.double().T
        if not bool(loss.isfinite().all()):
            which = f"without units {list(units)} the loss" if units else "the intact model's loss"
            raise NumericError(f"{which} is not finite")
        base, base_wrong = self.base.double().T
        error = change = None
        if not bool(wrong.isnan().any()):
            n = len(wrong)
            worse, better = int((wrong > base_wrong).sum()), int((wrong < base_wrong).sum())
            error, change = Rate(int(wrong.sum()), n), Change(worse, better, n)
        return Candidate(
            units,
            self.whole - gone(self.view, units),
            student_mean(loss.numpy()),
            student_mean((loss - base).numpy(), among),
            error,
            change,
        )

    def timed(self, candidate: Candidate, target: Target) -> Candidate:
        """With the time of the model that it leaves, where the target asks for it."""
        if target.seconds is None:
            return candidate
        small = removed(self.view, candidate.removed)
        batch = take(self.examples.inputs, slice(TIMED))
        times = pass_seconds((self.view.model, small), batch, ROUNDS)
        return replace(candidate, seconds=geometric_mean(times[:, 1] / times[:, 0]))


def gone(view: View, units: Collection[int]) -> int:
    """How many parameters go with these units."""
    if isinstance(view, ForeignView):
        named = dict(view.model.named_parameters())
        return sum(named[name].numel() for name in view.units.removable(units))
    return sum(view.units[number].removable_parameters for number in units)


def lost(
    model: Any, examples: Examples, sets: Iterable[Iterable[int]], log: SweepLog | None = None
) -> list[Candidate]:
    """What is lost without each of these sets of units; intervals are simultaneous. With a `log`,
    what was measured before a kill is not measured again. UsageError: a unit that is not there or
    cannot be edited. NumericError: a loss that is not finite."""
    view = unravel(model)
    with sweeping(view, examples.inputs) as part:
        return _Trials(view, examples, part, log).candidates(sets)


def greedy(
    model: Any,
    examples: Examples,
    target: Target,
    log: SweepLog | None = None,
    groups: Groups | None = None,
) -> list[Candidate]:
    """One unit at a time, always the one without which the mean loss is smallest, given those that
    are gone: n + (n - 1) + ... deletions. One candidate a step, up to the target. `log` as for
    `lost`. With `groups` the units of one go together, and units of none stay: whole layers, say
    (`layers(view)`).

    UsageError: nothing can be removed at all; groups that share a unit or name one that cannot go.
    """
    view = unravel(model)
    left, found = together(view, groups), list[Candidate]()
    with sweeping(view, examples.inputs) as part:
        trials = _Trials(view, examples, part, log)
        target.allows(trials.intact)  # ahead of all work: whether the task knows it
        while left and not target.reached(found, trials.whole):
            before = found[-1].removed if found else ()
            tried = trials.candidates((*before, *group) for group in left)
            at = min(range(len(left)), key=lambda number: tried[number].loss.value)
            if not target.allows(tried[at]):
                break
            found.append(trials.timed(tried[at], target))
            del left[at]
    return found


def by_score(
    model: Any,
    examples: Examples,
    scores: Sequence[float],
    target: Target,
    log: SweepLog | None = None,
    groups: Groups | None = None,
) -> list[Candidate]:
    """The units with the smallest scores first (one score a unit, such as its importance), one
    candidate a step, up to the target: n deletions. `log` as for `lost`, `groups` as for `greedy`;
    a group's score is the sum of its units'.

    UsageError: not one score a unit, or scores that are no numbers.
    """
    view = unravel(model)
    if len(scores) != len(view.units):
        there = several(len(view.units), "unit")
        raise UsageError(f"{several(len(scores), 'score')} for {there}: give one a unit")
    if any(score != score for score in scores):
        raise UsageError("scores hold values that are not numbers (NaN)")
    order = sorted(together(view, groups), key=lambda group: sum(scores[unit] for unit in group))
    found = list[Candidate]()
    with sweeping(view, examples.inputs) as part:
        trials = _Trials(view, examples, part, log)
        target.allows(trials.intact)
        for candidate in trials.candidates(chain(*order[: k + 1]) for k in range(len(order))):
            if target.reached(found, trials.whole) or not target.allows(candidate):
                break
            found.append(trials.timed(candidate, target))
    return found


def pairs(
    model: Any, examples: Examples, log: SweepLog | None = None, groups: Groups | None = None
) -> list[Candidate]:
    """All pairs of units, best first: n (n - 1) / 2 deletions. A pair may be better than the pair
    that `greedy` finds. `log` as for `lost`, `groups` as for `greedy`."""
    view = unravel(model)
    chosen = combinations(together(view, groups), 2)
    found = lost(view, examples, (chain(*each) for each in chosen), log)
    return sorted(found, key=lambda candidate: candidate.loss.value)


def together(view: View, groups: Groups | None = None) -> list[tuple[int, ...]]:
    """The units that go in one step: each that can be deleted alone, or those of a group.

    UsageError: see `greedy`.
    """
    able = removable(view)
    if groups is None:
        return [(unit,) for unit in able]
    found = [tuple(group) for group in groups if group]
    named = [unit for group in found for unit in group]
    if wrong := sorted(set(named) - set(able)):
        raise UsageError(f"groups: units {wrong} are not there, or cannot be removed")
    if len(set(named)) < len(named):
        raise UsageError(f"groups: a unit stands in two of them, or twice in one: {found}")
    return found


def removable(view: View) -> list[int]:
    """The units that can be deleted.

    UsageError: none.
    """
    numbers = [unit.number for unit in view.units if getattr(unit, "sums", True)]
    if not numbers:
        raise UsageError(f"{type(view.model).__name__} has no unit that can be removed")
    return numbers
