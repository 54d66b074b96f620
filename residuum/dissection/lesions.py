"""Every unit deleted, each on its own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..anatomy.resume import SweepLog
from ..results import Figure, Interval, Section, Series, Table
from ..subjects import Subject
from ..surgery import Candidate, lost
from ..surgery.search import removable
from .bench import Part
from .words import PAIRED, curve, interval, percent, points, triple

HOW = (
    "A unit is deleted by leaving its shortcut alone: x' = h(x) in place of h(x) + F(x). Shown is"
    " the mean loss without it minus the intact model's. Zero: the others do without it. " + PAIRED
)
ERRORS = (
    "Wilson 95 % intervals of each error on its own. Changes with paired intervals stand in the "
    "table of the first figure."
)


def measure(subject: Subject, log: SweepLog | None = None) -> tuple[Candidate, ...]:
    """The intact model, then every unit that can be deleted."""
    singles = [(unit,) for unit in removable(subject.view)] if len(subject.view.units) else []
    return without(subject, [(), *singles], log)


def without(
    subject: Subject, sets: Sequence[tuple[int, ...]], log: SweepLog | None = None
) -> tuple[Candidate, ...]:
    """What is lost without these sets, on the test examples. Of text by the loss alone: whether the
    last token of a sequence was right is no error of the text."""
    found = lost(subject.view, subject.test, sets, log)
    if subject.example == "sequence":
        found = [replace(each, error=None, error_change=None) for each in found]
    return tuple(found)


LESIONS = Part("lesions", 1, tuple[Candidate, ...], measure, sweeps=True)


def by_unit(found: Sequence[Candidate]) -> dict[int, dict]:
    """What the map shows of each unit."""
    measured = {}
    for each in found[1:]:
        error, low, high = (None,) * 3 if each.error is None else percent(each.error)
        kept = {"error": error, "low": low, "high": high, "change": triple(each.loss_change)}
        measured[each.removed[0]] = kept
    return measured


def sections(subject: Subject, found: Sequence[Candidate], loss: str) -> list[Section]:
    """In signal order, sorted, and, where there is right and wrong, the error in signal order."""
    singles, among = found[1:], len(found)
    labels = {each.removed[0]: _label(each, among) for each in singles}
    changes = {each.removed[0]: triple(each.loss_change) for each in singles}
    order = sorted(changes, key=lambda unit: -changes[unit][0])
    n = f"{len(subject.test)} test {subject.example}s, the same for every lesion"
    label = f"change of the {loss}"
    names = {unit.number: unit.name for unit in subject.view.units}
    kept = [
        Section(
            "lesions",
            "One unit deleted, in signal order",
            finding(found, names),
            Figure("unit", label, _curves("one unit deleted", changes, [*changes], labels)),
            _table(singles, names, among),
            n,
            HOW,
        ),
        Section(
            "lesions sorted",
            "The same, from the unit that matters most",
            _spread(changes, order),
            Figure(
                *("rank, the most harmful deletion first", label),
                _curves("one unit deleted", changes, order, labels, ranked=True),
                log_y=True,
                near_zero=near_zero([value for value, *_ in changes.values()]),
            ),
            n=n,
            how="The axis is linear near zero and logarithmic beyond, so that all units are seen.",
        ),
    ]
    return kept + _errors(found, labels, n)


def _curves(name: str, changes: Mapping[int, Interval], units, labels, ranked=False):
    x = range(1, len(units) + 1) if ranked else units
    points = curve(name, [*x], [changes[u] for u in units], [labels[u] for u in units], "points")
    return points, Series("no change", (min(x), max(x)), (0, 0), style="level")


def near_zero(values: Sequence[float]) -> float:
    """Up to where an axis is linear: the power of ten below the median size."""
    sizes = sorted(abs(value) for value in values if value)
    middle = sizes[len(sizes) // 2] if sizes else 1.0
    return 10.0 ** math.floor(math.log10(middle))


def _errors(found: Sequence[Candidate], labels: Mapping[int, str], n: str) -> list[Section]:
    intact, *singles = found
    if intact.error is None:
        return []
    errors = [percent(each.error) for each in singles if each.error is not None]
    x = [each.removed[0] for each in singles]
    level = Series("intact", (min(x), max(x)), (100 * intact.error.value,) * 2, style="level")
    worst = max(range(len(errors)), key=lambda i: errors[i][0])
    return [
        Section(
            "lesions error",
            "The error without each unit",
            f"Intact {_percents(percent(intact.error))}; at worst {_percents(errors[worst])}, "
            f"without unit {x[worst]}.",
            Figure(
                *("unit", "test error (%)"),
                (curve("one unit deleted", x, errors, [labels[u] for u in x], "points"), level),
            ),
            n=n,
            how=ERRORS,
        )
    ]


def _percents(found: Interval) -> str:
    return "{:.2f} % [{:.2f}, {:.2f}]".format(*found)


def _label(each: Candidate, among: int) -> str:
    text = f"without unit {each.removed[0]}: loss {interval(triple(each.loss_change), '+')}"
    if each.error is None or each.error_change is None:
        return text
    change = points(each.error_change, among)
    return f"{text}, error {100 * each.error.value:.2f} % ({change[0]:+.2f} points)"


def _table(singles: Sequence[Candidate], names: Mapping[int, str], among: int) -> Table:
    columns = ["unit", "name", "change of the loss", "parameters left"]
    known = singles[0].error is not None
    columns += ["error", "change of the error (points)"] if known else []
    rows = []
    for each in sorted(singles, key=lambda each: -each.loss_change.value):
        unit = each.removed[0]
        change = interval(triple(each.loss_change), "+")
        row: list[str | int] = [unit, names[unit], change, each.parameters]
        if each.error is not None and each.error_change is not None:
            row += [_percents(percent(each.error)), interval(points(each.error_change, among), "+")]
        rows.append(tuple(row))
    return Table(tuple(columns), tuple(rows))


def harmless(found: Sequence[Candidate]) -> list[int]:
    """Units whose interval reaches zero or lies below: no harm can be told."""
    return [each.removed[0] for each in found[1:] if each.loss_change.low <= 0]


def finding(found: Sequence[Candidate], names: Mapping[int, str]) -> str:
    """Which unit matters most, and how many do no harm that can be told."""
    worst = max(found[1:], key=lambda each: each.loss_change.value)
    unit, free, n = worst.removed[0], len(harmless(found)), len(found) - 1
    harm = interval(triple(worst.loss_change), "+")
    if free == n:
        largest = f"the largest change is {harm}, without unit {unit} ({names[unit]})"
        return f"Of no unit can harm be told when it is deleted: {largest}."
    rest = f"{free} of {n} units do no harm that can be told"
    rest = rest if free else f"each of the {n} units does harm that can be told"
    return f"Deleting unit {unit} ({names[unit]}) does the most harm, {harm} in loss; {rest}."


def _spread(changes: Mapping[int, Interval], order: Sequence[int]) -> str:
    harms = [max(0.0, changes[unit][0]) for unit in order]
    total = sum(harms)
    if all(changes[unit][1] <= 0 for unit in order):
        return "No unit does harm that can be told."
    run, count = 0.0, 0
    while run < total / 2:
        run, count = run + harms[count], count + 1
    word = "unit carries" if count == 1 else "units carry"
    return f"{count} {word} half of the summed harm of {len(order)} single deletions."
