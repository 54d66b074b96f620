"""Whether cheap scores rank units as real deletions do, and predict what k deletions do together.

Needs no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from .comparisons import Effect, effects
from .statistics import Estimate, middle, resamples, student_mean

BLOCKS = 20  # of draws, whose pairs of units are compared at a time
DELETION = "deletion"  # the score that is the unit's own measured harm


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The correlation of ranks (ties share theirs), rows of the two together; 0 where all of one
    row are equal."""
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=-1) for values in (first, second)]
    a, b = (r - r.mean(-1, keepdims=True) for r in ranks)
    return _ratio((a * b).sum(-1), (a * a).sum(-1) * (b * b).sum(-1))


def kendall(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """tau-b, rows of the two together; 0 where all of one row are equal."""
    a, b = (np.sign(v[..., :, None] - v[..., None, :]) for v in (first, second))
    over = (-2, -1)
    return _ratio((a * b).sum(over), (a * a).sum(over) * (b * b).sum(over))


def _ratio(above: np.ndarray, squares: np.ndarray) -> np.ndarray:
    known = squares > 0
    return np.where(known, above / np.sqrt(np.where(known, squares, 1)), 0.0)


@dataclass(frozen=True)
class Agreement:
    """Between a score and the mean harm of deleting each unit: rank correlations over all units,
    their intervals by bootstrap over the examples that the harm was measured on."""

    score: str
    kendall: Estimate
    spearman: Estimate


@dataclass(frozen=True)
class Joint:
    """How well the sum of a score over `count` units predicts the harm of deleting them together.

    `spearman`: over sets drawn at random, its interval by bootstrap over the sets. `chosen`: the
    units of the smallest scores. `harm`: what deleting these does, its interval and p-value for all
    scores and counts together. `random`: the mean change over the drawn sets. `better`: the share
    of drawn sets that do less harm than the chosen one.
    """

    score: str
    count: int
    spearman: Estimate
    chosen: tuple[int, ...]
    harm: Effect
    random: Estimate
    better: float


def require_scores(scores: Mapping[str, Sequence[float]], units: int) -> None:
    """UsageError: no score, one of another length or with gaps, one called "deletion"."""
    if not scores:
        raise UsageError("no scores to compare with deletions; anatomy.cheap_scores gives some")
    for name, values in scores.items():
        known = [v is not None and np.isfinite(v) for v in values]
        if len(known) != units or not all(known):
            raise UsageError(
                f"score {name!r} has {sum(known)} numbers for {units} units: give one for each"
            )
        if name == DELETION:
            raise UsageError(f"{DELETION!r} is the measured harm itself; call the score otherwise")


def agreements(scores: Mapping[str, Sequence[float]], harm: np.ndarray) -> list[Agreement]:
    """harm: (units, N), the loss without each unit minus the intact one, by example."""
    means = harm.mean(1)
    drawn = np.array([harm[:, at].mean(1) for at in resamples(harm.shape[1])])

    def both(values: np.ndarray) -> list[Estimate]:
        blocks = np.array_split(drawn, BLOCKS)
        taus = np.concatenate([kendall(values, block) for block in blocks])
        low, high = middle(np.stack([taus, spearman(values, drawn)], 1))
        found = [float(kendall(values, means)), float(spearman(values, means))]
        triples = zip(found, low.tolist(), high.tolist(), strict=True)
        return [Estimate(*triple, harm.shape[1]) for triple in triples]

    return [Agreement(name, *both(np.asarray(values, float))) for name, values in scores.items()]


def chosen(values: Sequence[float], count: int) -> tuple[int, ...]:
    """The units of the smallest scores; of equals the first."""
    return tuple(sorted(np.argsort(values, kind="stable")[:count].tolist()))


def predictions(
    scores: Mapping[str, Sequence[float]],
    base: np.ndarray,
    drawn: Mapping[int, tuple[Sequence[tuple[int, ...]], np.ndarray]],
    picked: Mapping[tuple[str, int], np.ndarray],
) -> list[Joint]:
    """base: (N,), intact. drawn: by count, sets of units and the losses without them, (sets, N).
    picked: by score and count, the losses without the `chosen` units, (N,)."""
    harms = effects(base, np.array(list(picked.values())))
    found = []
    for (name, count), harm in zip(picked, harms, strict=True):
        values = np.asarray(scores[name], float)
        sets, losses = drawn[count]
        actual = losses.mean(1) - base.mean()
        sums = np.array([values[list(numbers)].sum() for numbers in sets])
        at = np.array([*resamples(len(sets))])
        low, high = middle(spearman(sums[at], actual[at]))
        value = float(spearman(sums, actual))
        found.append(
            Joint(
                *(name, count, Estimate(value, float(low), float(high), len(sets))),
                *(chosen(scores[name], count), harm, student_mean(actual)),
                float((actual < harm.change.value).mean()),
            )
        )
    return found
