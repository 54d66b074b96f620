"""eval and lesion."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from .. import verbs
from ..anatomy.statistics import rate_words
from .command import command
from .words import bar, comma_separated, table

Csv = Annotated[bool, Parameter(help="Print one line of comma-separated values a lesion.")]
COLUMNS = ("deleted", "error", "low", "high", "change", "change_low", "change_high", "p_value")
DECIDED = ("deleted", "decision", "n", "error", "change", "change_low", "change_high")


@command(verbs.evaluate, name="eval")
def evaluate(found: verbs.Evaluation) -> str:
    """The error with its interval; of an ensemble below those of its members."""
    looks = f", {found.looks}" if found.looks else ""
    error = f"error {rate_words(found.error, found.interval)}, n = {found.n}{looks}"
    if not found.members:
        return f"{found.network} on {found.data}: {error}"
    rows = [(m.run, m.network, rate_words(m.error, m.interval)) for m in found.members]
    together = f"{len(rows)} runs together on {found.data}: {error}"
    return "\n".join([table([("run", "network", "error"), *rows]), together])


@command(verbs.lesion)
def lesion(found: verbs.Lesions, *, csv: Csv = False) -> str:
    """The intact error, then one line a lesion, the worst first, or one a number of random ones."""
    if csv:
        return _csv(found)
    if found.measure == "loss":
        return _loss_words(found)
    rows: list[tuple[str, ...]] = [
        (f"{k} at random", bar(mean), rate_words(mean, interval))
        for k, (mean, *interval) in found.spread.items()
    ]
    lesions = () if found.spread else sorted(found.lesions, key=lambda each: -each.change)
    for each in lesions:
        numbers = ",".join(map(str, each.deleted))
        change = f"{100 * each.change:+z.2f} points"
        error = rate_words(each.error, each.interval)
        rows.append(
            (f"without {numbers}", bar(each.error), error, change, f"p = {each.p_value:.2g}")
        )
    for one in sorted(found.decided, key=lambda one: -one.change):
        low, high = one.change_interval
        change = f"{100 * one.change:+z.2f} points [{100 * low:z.2f}, {100 * high:z.2f}]"
        what = f"without {one.deleted[0]}", bar(one.error), one.decision
        rows.append((*what, change, f"n = {one.n}"))
    intact = rate_words(found.intact, found.intact_interval)
    rows.insert(0, ("intact", bar(found.intact), intact))
    head = f"{found.network} on {found.data}, n = {found.n}; a full bar is 100 % error"
    head += f"\nweights: {found.weights}" if found.network == found.run else ""
    page = [] if found.page is None else [f"page: {found.page}"]
    return "\n".join([head, table(rows), *page])


def _loss_words(found: verbs.Lesions) -> str:
    """In nats a token: the intact loss, then one line a lesion, the worst first."""
    top = max([found.intact, *(each.loss for each in found.losses)])
    intact = _interval(found.intact, found.intact_interval)
    rows: list[tuple[str, ...]] = [("intact", bar(found.intact / top), intact)]
    for k, (mean, *interval) in found.spread.items():
        rows.append((f"{k} at random", bar(mean / top), _interval(mean, interval)))
    for each in () if found.spread else sorted(found.losses, key=lambda each: -each.change):
        name = f"without {','.join(map(str, each.deleted))}"
        change = _interval(each.change, each.change_interval, "+")
        rows.append(
            (name, bar(each.loss / top), f"{each.loss:.4f}", change, f"p = {each.p_value:.2g}")
        )
    head = f"{found.network} on {found.data}, n = {found.n} sequences; loss in nats a token"
    return "\n".join([head, f"weights: {found.weights}", table(rows)])


def _interval(value: float, interval: Sequence[float], sign: str = "") -> str:
    low, high = interval
    return f"{value:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


def _csv(found: verbs.Lesions) -> str:
    """In full; the intact model first, which has nothing deleted."""
    if found.decided:
        rows = [
            (*one.deleted, one.decision, one.n, one.error, one.change, *one.change_interval)
            for one in found.decided
        ]
        return comma_separated([DECIDED, *rows])
    lesions = [(each, each.error) for each in found.lesions]
    lesions += [(each, each.loss) for each in found.losses]
    rows = [
        (" ".join(map(str, e.deleted)), value, *e.interval, e.change, *e.change_interval, e.p_value)
        for e, value in lesions
    ]
    intact = ("", found.intact, *found.intact_interval, 0.0, 0.0, 0.0, 1.0)
    heads = tuple(found.measure if name == "error" else name for name in COLUMNS)
    return comma_separated([heads, intact, *rows])
