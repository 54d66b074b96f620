"""similarity: how much each unit changes the stream, and whether that tells what it is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..anatomy.ranks import Agreement, Joint
from ..errors import UsageError
from ..machine import Hardware
from ..reader import Count
from .evaluation import prepared
from .requests import Measuring, Some, Source, verb

if TYPE_CHECKING:
    from ..subjects import Subject


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
    import numpy as np

    from ..anatomy import cka, redundancy
    from ..anatomy.similarity import SCORES, tokens, whole
    from ..subjects import open_subject, require_units

    if counts is not None and not agreement:
        raise UsageError("counts is of agreement (--agreement), which was not asked for")
    subject = open_subject(model, measuring, source, prepared(machine).device)
    require_units(subject.view, subject.name)
    view, inputs = subject.view, subject.train.inputs
    alike = cka(view, inputs)
    found = redundancy(view, inputs, tokens if subject.example == "sequence" else whole)
    ranks, joint = _agreement(subject, found, counts or (2,)) if agreement else ((), ())
    values = [{name: getattr(unit, name) for name in SCORES} for unit in found]
    return Similarity(
        model=subject.name,
        data=subject.data,
        weights=subject.provenance["weights"],
        n=len(subject.train),
        names=tuple(unit.name for unit in view.units),
        scores=tuple({k: getattr(v, "value", v) for k, v in row.items()} for row in values),
        intervals=tuple(
            {k: (v.low, v.high) for k, v in row.items() if hasattr(v, "low")} for row in values
        ),
        cka=tuple(tuple(None if np.isnan(v) else float(v) for v in row) for row in alike),
        tested=len(subject.test) if agreement else 0,
        agreement=tuple(ranks),
        joint=tuple(joint),
    )


def _agreement(subject: "Subject", found: list, counts: tuple[int, ...]) -> tuple:
    from ..anatomy import agreement, cheap_scores

    return agreement(subject.view, subject.test, cheap_scores(found), counts)
