"""Fewer and fewer units: what is lost for what is saved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..anatomy.resume import SweepLog
from ..results import Figure, Interval, Section, Series, Table
from ..subjects import Subject
from ..surgery import Candidate, Target, greedy
from ..surgery.search import removable
from .bench import Part
from .lesions import without
from .words import PAIRED, curve, interval, many, numbers, percent, points, triple, wide_range

TITLE = "Loss against parameters left"
HOW = (
    "Greedy: one unit a step, always the one without which the mean loss over other examples is "
    "smallest, given those that are gone. By score: the smallest values of one cheap score first."
    " Both are shown on test examples that chose nothing; parameters are those that no output "
    "depends on any more. " + PAIRED
)


@dataclass(frozen=True)
class Frontier:
    """`greedy` and `by_score`: the intact model and what is left step by step, on the test
    examples. `whole`: the model's parameters. `score`: by which `by_score` went."""

    whole: int
    score: str
    greedy: tuple[Candidate, ...]
    by_score: tuple[Candidate, ...]


def measure(
    subject: Subject, steps: int, score: str, values: Sequence[float], log: SweepLog | None = None
) -> Frontier:
    view = subject.view
    chosen = [step.removed for step in greedy(view, subject.train, Target(units=steps), log)]
    order = sorted(removable(view), key=lambda unit: values[unit]) if values else []
    scored = [tuple(order[: k + 1]) for k in range(len(chosen))] if values else []
    intact, *found = without(subject, [(), *chosen, *scored], log)
    here, there = found[: len(chosen)], found[len(chosen) :]
    whole = sum(p.numel() for p in view.model.parameters())
    return Frontier(whole, score, (intact, *here), (intact, *there) if there else ())


def part(steps: int, score: str, values: Sequence[float]) -> Part:
    arguments = {"steps": steps, "score": score, "values": list(values)}
    return Part("pruning frontier", 1, Frontier, measure, arguments, sweeps=True)


def sections(subject: Subject, found: Frontier, loss: str) -> list[Section]:
    """By loss, and, where there is right and wrong, by error."""
    among = len(found.greedy) + max(0, len(found.by_score) - 1)
    base = found.greedy[0]
    rows = {"greedy": found.greedy}
    if found.by_score:
        rows[f"by {found.score}"] = found.by_score
    n = f"{len(subject.test)} test {subject.example}s; chosen on {len(subject.train)} others"
    labels = {name: [_label(name, c, found.whole) for c in row] for name, row in rows.items()}
    x = {name: [100 * c.parameters / found.whole for c in row] for name, row in rows.items()}
    losses = {name: [triple(c.loss_change) for c in row] for name, row in rows.items()}
    curves = tuple(curve(name, x[name], losses[name], labels[name]) for name in rows)
    kept = [
        Section(
            "frontier",
            TITLE,
            finding(found),
            _figure(curves, f"change of the {loss}", 0.0),
            _table(found, among),
            n,
            HOW,
        )
    ]
    if base.error is None:
        return kept
    errors = {name: [_error(base, c, among) for c in row] for name, row in rows.items()}
    curves = tuple(curve(name, x[name], errors[name], labels[name]) for name in rows)
    figure = _figure(curves, "test error (%)", 100 * base.error.value)
    text = _error_finding(found)
    title = "Error against parameters left"
    return [*kept, Section("frontier error", title, text, figure, n=n, how=PAIRED)]


def _figure(curves: tuple[Series, ...], label: str, intact: float) -> Figure:
    """Changes far apart in size stand on an axis that is logarithmic beyond the least."""
    least = min(x for each in curves for x in each.x if x is not None)
    level = Series("intact", (100, least), (intact, intact), style="level")
    sizes = [abs(y) for each in curves for y in each.y if y]
    small = 10.0 ** math.floor(math.log10(min(sizes))) if sizes and wide_range(sizes) else None
    figure = Figure("parameters left (%)", label, (*curves, level), reverse_x=True)
    return figure if small is None else replace(figure, log_y=True, near_zero=small)


def _moved(base: float, change: Interval) -> Interval:
    """The intact value plus a paired change: the interval is the change's."""
    value, low, high = change
    return base + value, base + low, base + high


def _error(base: Candidate, each: Candidate, among: int) -> Interval:
    assert base.error is not None
    if not each.removed or each.error_change is None:
        return _moved(100 * base.error.value, (0.0, 0.0, 0.0))
    return _moved(100 * base.error.value, points(each.error_change, among))


def _label(name: str, each: Candidate, whole: int) -> str:
    if not each.removed:
        return f"intact: loss {interval(triple(each.loss))}"
    last = (
        f"without {numbers([each.removed[-1]])}"
        if len(each.removed) == 1
        else (f"without {len(each.removed)} units, the last one {each.removed[-1]}")
    )
    text = f"{name}, {last}: {100 * each.parameters / whole:.1f} % left, loss "
    text += interval(triple(each.loss_change), "+")
    return text if each.error is None else f"{text}, error {100 * each.error.value:.2f} %"


def _table(found: Frontier, among: int) -> Table:
    columns = ["units gone", "the last to go", "parameters left", "change of the loss"]
    known = found.greedy[0].error is not None
    columns += ["error", "change of the error (points)"] if known else []
    rows = []
    for each in found.greedy:
        left = f"{100 * each.parameters / found.whole:.1f} %"
        last = f"unit {each.removed[-1]}" if each.removed else ""
        change = interval(triple(each.loss_change), "+") if each.removed else ""
        row: list[str | int] = [len(each.removed), last, left, change]
        if each.error is not None and each.error_change is not None:
            row += ["{:.2f} % [{:.2f}, {:.2f}]".format(*percent(each.error))]
            row += [interval(points(each.error_change, among), "+") if each.removed else ""]
        rows.append(tuple(row))
    return Table(tuple(columns), tuple(rows))


def free(found: Frontier) -> Candidate:
    """The smallest model along the greedy way whose loss is not known to be larger."""
    kept = [each for each in found.greedy if not each.removed or each.loss_change.low <= 0]
    return kept[-1]


def finding(found: Frontier) -> str:
    last, least = found.greedy[-1], free(found)
    share = f"{100 * last.parameters / found.whole:.1f} % of the parameters"
    text = f"Without {many(len(last.removed), 'unit')} {share} are left at "
    text += f"{interval(triple(last.loss_change), '+')} in loss"
    if least.removed:
        return f"{text}; up to {many(len(least.removed), 'unit')} can go with no harm to be told."
    return f"{text}; no step goes without harm."


def _error_finding(found: Frontier) -> str:
    first, last = found.greedy[0].error, found.greedy[-1].error
    assert first is not None
    assert last is not None
    gone = many(len(found.greedy[-1].removed), "unit")
    return f"From {100 * first.value:.2f} % intact to {100 * last.value:.2f} % without {gone}."
