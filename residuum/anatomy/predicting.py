"""Cheap scores against real deletions, one unit at a time and k together, in one sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import UsageError
from ..views import unravel
from .deletions import Examples
from .ranks import DELETION, Agreement, Joint, agreements, chosen, predictions, require_scores
from .scoring import scores as measured
from .similarity import SCORES, Redundancy
from .sweeps import MEMORY
from .variants import without

Scores = Mapping[str, Sequence[float]]


def cheap_scores(redundancies: Sequence[Redundancy]) -> dict[str, list[float]]:
    """The scores of `redundancy` that every unit has, by name."""
    columns = {name: [_number(getattr(unit, name)) for unit in redundancies] for name in SCORES}
    return {n: v for n, v in columns.items() if None not in v}  # type: ignore[misc]


def _number(value: Any) -> float | None:
    return getattr(value, "value", value)


def agreement(
    model: Any,
    examples: Examples,
    scores: Scores,
    counts: Sequence[int] = (2,),
    repeats: int = 30,
    seed: int = 0,
    memory: int = MEMORY,
) -> tuple[list[Agreement], list[Joint]]:
    """How far each score (one number a unit, small where the unit seems to be redundant) ranks
    units as their deletion does; and how well its sum predicts the loss without k units together,
    k each of `counts`: on `repeats` sets drawn at random, and on the k units that it would take.
    Last among the latter stands the score "deletion", the measured harm of each unit.

    When to use: before trusting a score to prune by. Scores should come from other examples than
    these; "deletion" does not, so its own choice looks a little better than it is. The draws are a
    function of (seed, k, repeat).

    UsageError: a score with gaps, fewer than two units, counts or repeats that are impossible.
    """
    view = unravel(model)
    n = len(view.units)
    require_scores(scores, n)
    if n < 2 or repeats < 2 or any(not 1 <= k <= n for k in counts):
        raise UsageError(
            f"agreement needs two units, two repeats and counts from 1 to {n}; got {n} units, "
            f"{repeats} repeats, counts {', '.join(map(str, counts))}"
        )
    draws = {k: [_draw(n, k, [seed, k, r]) for r in range(repeats)] for k in dict.fromkeys(counts)}
    sets = [(), *((unit,) for unit in range(n)), *(s for group in draws.values() for s in group)]
    base, losses = _losses(view, examples, sets, memory)
    harm = np.array([losses[unit,] for unit in range(n)]) - base
    ranked = {**scores, DELETION: harm.mean(1).tolist()}
    picks = {(name, k): chosen(ranked[name], k) for k in draws for name in ranked}
    unknown = [pick for pick in dict.fromkeys(picks.values()) if pick not in losses]
    if unknown:
        losses |= _losses(view, examples, unknown, memory)[1]
    drawn = {k: (group, np.array([losses[s] for s in group])) for k, group in draws.items()}
    joint = predictions(ranked, base, drawn, {key: losses[s] for key, s in picks.items()})
    return agreements(scores, harm), joint


def _draw(n: int, k: int, seed: list[int]) -> tuple[int, ...]:
    return tuple(sorted(np.random.default_rng(seed).choice(n, k, replace=False).tolist()))


def _losses(
    view: Any, examples: Examples, sets: Sequence[tuple[int, ...]], memory: int
) -> tuple[np.ndarray, dict[tuple[int, ...], np.ndarray]]:
    """Of the first set, and by set, the loss of every example without these units."""
    distinct = list(dict.fromkeys(sets))
    variants = [without(view, numbers) for numbers in distinct]
    rows = measured(view, examples, variants, memory, "deleting sets")
    return rows[0], dict(zip(distinct, rows, strict=True))
