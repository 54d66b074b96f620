"""eval and lesion."""

from .. import verbs
from .command import command
from .words import rate, table


@command(verbs.evaluate, name="eval")
def evaluate(found: verbs.Evaluation) -> str:
    """The error with its interval."""
    error = rate(found.error, found.interval)
    return f"{found.network} on {found.data}: error {error}, n = {found.n}"


@command(verbs.lesion)
def lesion(found: verbs.Lesions) -> str:
    """The intact error, then one line a lesion, or one a number of random ones."""
    intact = rate(found.intact, found.intact_interval)
    rows: list[tuple[str, ...]] = [
        (f"{k} at random", rate(mean, interval)) for k, (mean, *interval) in found.spread.items()
    ]
    for each in () if found.spread else found.lesions:
        numbers = ",".join(map(str, each.deleted))
        change = f"{100 * each.change:+.2f} points, p = {each.p_value:.2g}"
        rows.append((f"without {numbers}", rate(each.error, each.interval), change))
    for one in found.decided:
        low, high = one.change_interval
        change = f"{100 * one.change:+.2f} points [{100 * low:.2f}, {100 * high:.2f}]"
        rows.append((f"without {one.deleted[0]}", one.decision, change, f"n = {one.n}"))
    return f"{found.network} on {found.data}, n = {found.n}: intact {intact}\n{table(rows)}"
