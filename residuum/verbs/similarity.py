"""similarity: how much each unit changes the stream, and whether that tells what it is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from ..anatomy.ranks import Agreement, Joint
from ..errors import UsageError
from ..machine import Hardware
from ..reader import Count
from .evaluation import prepared
from .requests import Measuring, Some, Source, verb

if TYPE_CHECKING:
    from ..anatomy.similarity import Redundancy
    from ..subjects import Subject

NAMES = ("influence", "angle", "ratio", "distance", "response")


@dataclass(frozen=True)
class Similarity:
    """Cheap scores of a model's units, on n training examples.

    `scores`: by unit and name, see `anatomy.similarity.Redundancy`; None where a unit has none.
    `intervals`: of those that are means over examples. `cka`: of the streams behind all pairs of
    units. `agreement`, `joint`: with deletions, on `tested` test examples, where asked for.
    """

    model: str
    data: str
    weights: str
    n: int
    names: tuple[str, ...]
    scores: tuple[Mapping[str, float | None], ...]
    intervals: tuple[Mapping[str, tuple[float, float]], ...]
    cka: tuple[tuple[float | None, ...], ...]
    tested: int = 0
    agreement: tuple[Agreement, ...] = ()
    joint: tuple[Joint, ...] = ()


@verb
def similarity(
    model: str | Path,
    *,
    agreement: bool = False,
    counts: Some[Count] | None = None,
    measuring: Measuring = Measuring(),
    source: Source = Source(),
    machine: Hardware = Hardware(),
) -> Similarity:
    """Score each unit by how little it changes the stream, on training examples.

    UsageError: a model without residual units, fewer than four examples, counts that cannot be.
    Else what `lesion` raises.

    Parameters
    ----------
    model
        tv:NAME, timm:NAME, hf:FOLDER, module.path:function, a preset, or a finished run's folder.
    agreement
        Also compare the scores with real deletions, on test examples.
    counts
        With --agreement: how many units are deleted together, 2 by default.
    """
    from ..subjects import open_subject, require_units

    if counts is not None and not agreement:
        raise UsageError("counts is of agreement (--agreement), which was not asked for")
    subject = open_subject(model, measuring, source, prepared(machine).device)
    require_units(subject.view, subject.name)
    found = subject.redundancy()
    ranks, joint = _agreement(subject, found, counts or (2,)) if agreement else ((), ())
    return Similarity(
        model=subject.name,
        data=subject.data,
        weights=subject.provenance["weights"],
        n=len(subject.train),
        names=tuple(unit.name for unit in subject.view.units),
        scores=tuple(map(_scores, found)),
        intervals=tuple(map(_intervals, found)),
        cka=_alike(subject),
        tested=len(subject.test) if agreement else 0,
        agreement=tuple(ranks),
        joint=tuple(joint),
    )


def _scores(unit: "Redundancy") -> dict[str, float | None]:
    found = {name: getattr(unit, name) for name in NAMES}
    return {name: getattr(value, "value", value) for name, value in found.items()}


def _intervals(unit: "Redundancy") -> dict[str, tuple[float, float]]:
    found = {name: getattr(unit, name) for name in NAMES}
    return {name: (v.low, v.high) for name, v in found.items() if hasattr(v, "low")}


def _alike(subject: "Subject") -> tuple[tuple[float | None, ...], ...]:
    """None where a stream does not vary."""
    from ..anatomy import cka

    rows = cka(subject.view, subject.train.inputs).tolist()
    return tuple(tuple(None if isnan(value) else value for value in row) for row in rows)


def _agreement(subject: "Subject", found: "list[Redundancy]", counts: tuple[int, ...]) -> tuple:
    from ..anatomy import agreement, cheap_scores

    return agreement(subject.view, subject.test, cheap_scores(found), counts)
