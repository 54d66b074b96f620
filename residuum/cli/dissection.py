"""eval and lesion."""

import csv as csv_files
import io
from typing import Annotated

from cyclopts import Parameter

from .. import verbs
from ..anatomy.statistics import rate_words
from .command import command
from .words import bar, table

Csv = Annotated[bool, Parameter(help="Print one line of comma-separated values a lesion.")]
COLUMNS = ("deleted", "error", "low", "high", "change", "change_low", "change_high", "p_value")
DECIDED = ("deleted", "decision", "n", "error", "change", "change_low", "change_high")


@command(verbs.evaluate, name="eval")
def evaluate(found: verbs.Evaluation) -> str:
    """The error with its interval."""
    error = rate_words(found.error, found.interval)
    noisy = "" if found.samples is None else f", mean of {found.samples} noisy passes"
    return f"{found.network} on {found.data}: error {error}, n = {found.n}{noisy}"


@command(verbs.lesion)
def lesion(found: verbs.Lesions, *, csv: Csv = False) -> str:
    """The intact error, then one line a lesion, the worst first, or one a number of random ones."""
    if csv:
        return _csv(found)
    rows: list[tuple[str, ...]] = [
        (f"{k} at random", bar(mean), rate_words(mean, interval))
        for k, (mean, *interval) in found.spread.items()
    ]
    lesions = () if found.spread else sorted(found.lesions, key=lambda each: -each.change)
    for each in lesions:
        numbers = ",".join(map(str, each.deleted))
        change = f"{100 * each.change:+.2f} points"
        error = rate_words(each.error, each.interval)
        rows.append(
            (f"without {numbers}", bar(each.error), error, change, f"p = {each.p_value:.2g}")
        )
    for one in sorted(found.decided, key=lambda one: -one.change):
        low, high = one.change_interval
        change = f"{100 * one.change:+.2f} points [{100 * low:.2f}, {100 * high:.2f}]"
        what = f"without {one.deleted[0]}", bar(one.error), one.decision
        rows.append((*what, change, f"n = {one.n}"))
    intact = rate_words(found.intact, found.intact_interval)
    rows.insert(0, ("intact", bar(found.intact), intact))
    head = f"{found.network} on {found.data}, n = {found.n}; a full bar is 100 % error"
    page = [] if found.page is None else [f"page: {found.page}"]
    return "\n".join([head, table(rows), *page])


def _csv(found: verbs.Lesions) -> str:
    """Fractions, in full; the intact network first, which has nothing deleted."""
    text = io.StringIO()
    lines = csv_files.writer(text, lineterminator="\n")
    if found.decided:
        lines.writerow(DECIDED)
        for one in found.decided:
            change = (one.change, *one.change_interval)
            lines.writerow((*one.deleted, one.decision, one.n, one.error, *change))
        return text.getvalue().rstrip()
    lines.writerow(COLUMNS)
    lines.writerow(("", found.intact, *found.intact_interval, 0.0, 0.0, 0.0, 1.0))
    for each in found.lesions:
        numbers = " ".join(map(str, each.deleted))
        changes = (each.change, *each.change_interval, each.p_value)
        lines.writerow((numbers, each.error, *each.interval, *changes))
    return text.getvalue().rstrip()
