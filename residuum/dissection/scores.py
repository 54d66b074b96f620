"""Cheap scores of redundancy, and what they are worth against real deletions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..anatomy import agreement, cheap_scores
from ..anatomy.ranks import DELETION, Agreement, Joint
from ..anatomy.similarity import SCORES, Redundancy
from ..anatomy.statistics import Estimate
from ..results import Figure, Section, Series, Table
from ..subjects import Subject
from ..surgery import Candidate
from .bench import Part
from .lesions import near_zero
from .words import interval, triple

ASIDE = 0.1  # of a rank, so that points of several scores do not cover each other
Scores = Mapping[str, Sequence[float]]
FORMULAS = (
    "x ahead of the sum, y behind it, F the branch. influence: 1 - cos(x, y). angle: "
    "arccos(cos(x, y)) / pi. ratio: |F| / |x|. distance: 1 - CKA(x, y). response: the standard "
    "deviation of F. Small: the unit changes little. Each is drawn as a share of its largest "
    "value."
)
RANKED = (
    "Units from left to right in the order in which a score would take them; how high a point "
    "lies is the measured harm. A perfect score would lie on the line, the measured order. tau: "
    "Kendall's tau-b over all units, bootstrap over examples. Together: the rank correlation of "
    "the summed score with the harm of random sets of k units, bootstrap over sets; and what the "
    "k units do that the score would take."
)


def measure(subject: Subject) -> tuple[Redundancy, ...]:
    """On the examples on which nothing is reported."""
    return tuple(subject.redundancy())


REDUNDANCY = Part("redundancy", 1, tuple[Redundancy, ...], measure)


@dataclass(frozen=True)
class Agreements:
    """Of one unit, and of several together."""

    each: tuple[Agreement, ...]
    joint: tuple[Joint, ...]


def compare(subject: Subject, scores: Scores, draws: int, seed: int) -> Agreements:
    n = len(subject.view.units)
    counts = sorted({min(2, n - 1), max(1, n // 4)})
    each, joint = agreement(subject.view, subject.test, scores, counts, draws, seed)
    return Agreements(tuple(each), tuple(joint))


def agreement_part(scores: Scores, draws: int, seed: int) -> Part:
    arguments = {"scores": dict(scores), "draws": draws, "seed": seed}
    return Part("agreement of scores", 1, Agreements, compare, arguments)


def known(found: Sequence[Redundancy]) -> dict[str, list[float]]:
    """The scores that every unit has."""
    return cheap_scores(found)


def section(subject: Subject, found: Sequence[Redundancy]) -> Section:
    scores = known(found)
    series = []
    for name, values in scores.items():
        most = max(values) or 1.0
        labels = tuple(f"{name}, unit {i}: {v:.3g}" for i, v in enumerate(values))
        shares = tuple(value / most for value in values)
        series.append(Series(name, tuple(range(len(values))), shares, labels=labels))
    rows = tuple((r.number, *(_words(getattr(r, name)) for name in SCORES)) for r in found)
    least = {name: min(range(len(v)), key=v.__getitem__) for name, v in scores.items()}
    said = ", ".join(f"{name} unit {unit}" for name, unit in least.items())
    return Section(
        "redundancy",
        "Cheap scores of redundancy",
        f"Least changed by: {said}.",
        Figure("unit", "share of the largest", tuple(series)),
        Table(("unit", *SCORES), rows),
        f"{len(subject.train)} other {subject.example}s",
        FORMULAS,
    )


def _words(value: Estimate | float | None) -> str:
    if isinstance(value, Estimate):
        return interval(triple(value))
    return "" if value is None else f"{value:.3g}"


def finding(found: Agreements) -> str:
    """Which score is nearest to real deletion, and whether it agrees with it at all."""
    best = max(found.each, key=lambda each: each.kendall.value)
    tau = f"{best.score} (tau {interval(triple(best.kendall))})"
    if best.kendall.low <= 0:
        return f"no cheap score is known to rank units as real deletion does; the nearest is {tau}."
    return f"the cheap score nearest to real deletion is {tau}."


def agreement_section(
    subject: Subject, scores: Scores, found: Agreements, lesions: Sequence[Candidate], loss: str
) -> Section:
    here, there = len(subject.test), len(subject.train)
    harm = {each.removed[0]: each.loss_change.value for each in lesions[1:]}
    x = tuple(range(1, len(harm) + 1))
    ranked = sorted(harm, key=harm.__getitem__)
    aside = {name: ASIDE * (i - (len(scores) - 1) / 2) for i, name in enumerate(scores)}
    points = (_points(name, values, harm, aside[name]) for name, values in scores.items())
    level = Series(DELETION, x, tuple(harm[u] for u in ranked), style="dashed")
    return Section(
        "agreement",
        "What the scores are worth",
        finding(found).capitalize(),
        Figure(
            *("rank by the score, the most redundant first", f"change of the {loss}"),
            (level, *points),
            log_y=True,
            near_zero=near_zero([*harm.values()]),
        ),
        _table(found),
        f"harm on {here} test {subject.example}s, scores of {there} others",
        RANKED,
    )


def _points(name: str, values: Sequence[float], harm: Mapping[int, float], aside: float) -> Series:
    order = sorted(harm, key=lambda unit: values[unit])
    labels = [f"{name}, rank {i}: unit {u}, {harm[u]:+.3g}" for i, u in enumerate(order, 1)]
    x, y = (i + aside for i in range(1, len(order) + 1)), (harm[unit] for unit in order)
    return Series(name, tuple(x), tuple(y), labels=tuple(labels), style="points")


def _table(found: Agreements) -> Table:
    """A line for each score, its correlations and, for each k, what it does jointly."""
    counts = list(dict.fromkeys(joint.count for joint in found.joint))
    columns = ["score", "tau, one unit"]
    for k in counts:
        columns += [f"{k} together: correlation", f"{k} chosen: change of the loss"]
    taus = {each.score: interval(triple(each.kendall)) for each in found.each}
    rows = []
    for name in (*taus, DELETION):
        row = [name, taus.get(name, "")]
        for joint in (j for k in counts for j in found.joint if (j.score, j.count) == (name, k)):
            row += [interval(triple(joint.spearman)), interval(triple(joint.harm.change), "+")]
        rows.append(tuple(row))
    return Table(tuple(columns), tuple(rows))
