"""What flows: the size of the stream ahead of each unit, of what it adds, and of the sum."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..anatomy.similarity import BATCH, passes
from ..anatomy.statistics import Estimate, student_mean
from ..results import Figure, Section, Series
from ..subjects import Subject
from .bench import Part
from .words import curve, interval, triple, wide_range

HOW = (
    "The root mean square over places and channels, its mean over examples with Student's 95 % "
    "interval: of what the shortcut brings to the sum, of what the branch adds there, and of the "
    "sum (ahead of an activation behind it). A branch far below its stream changes it little."
)


@dataclass(frozen=True)
class Stream:
    """The root mean squares at one unit's sum; `before` None: it has no shortcut."""

    number: int
    before: Estimate | None
    branch: Estimate
    after: Estimate


def measure(subject: Subject) -> tuple[Stream, ...]:
    view = subject.view
    seen: list[list[Tensor]] = [[] for _ in view.units]

    def see(number: int, before: Tensor | None, branch: Tensor, after: Tensor) -> None:
        there = [branch, after] if before is None else [branch, after, before]
        sizes = [t.double().flatten(1).square().mean(1).sqrt() for t in there]
        seen[number].append(torch.stack(sizes).cpu())

    for _ in passes(view, subject.test.inputs, BATCH, see):
        pass
    found = []
    for number, batches in enumerate(seen):
        branch, after, *before = map(student_mean, torch.cat(batches, 1).numpy())
        found.append(Stream(number, before[0] if before else None, branch, after))
    return tuple(found)


RESPONSES = Part("responses", 1, tuple[Stream, ...], measure)


def section(subject: Subject, found: Sequence[Stream]) -> Section:
    ratios = {s.number: s.branch.value / s.before.value for s in found if s.before}
    text = "No unit has a shortcut that reaches its sum."
    if ratios:
        least, most = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
        text = (
            f"Branches are {ratios[least]:.3g} (unit {least}) to {ratios[most]:.3g} (unit {most}) "
            "of the stream that they are added to."
        )
    columns = {
        "stream before": [(s.number, s.before) for s in found if s.before is not None],
        "branch": [(s.number, s.branch) for s in found],
        "stream after": [(s.number, s.after) for s in found],
    }
    curves = tuple(_curve(name, rows) for name, rows in columns.items() if rows)
    log = wide_range([e.value for rows in columns.values() for _, e in rows])
    n = f"{len(subject.test)} test {subject.example}s"
    figure = Figure("unit", "root mean square", curves, log_y=log)
    return Section("responses", "What flows through each unit", text, figure, n=n, how=HOW)


def _curve(name: str, rows: Sequence[tuple[int, Estimate]]) -> Series:
    labels = [f"{name}, unit {number}: {interval(triple(e))}" for number, e in rows]
    return curve(name, [number for number, _ in rows], [triple(e) for _, e in rows], labels)
