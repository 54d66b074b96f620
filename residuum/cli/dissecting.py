"""dissect."""

from .. import verbs
from ..results import Dissection, Interval, Unit
from .command import command
from .words import bar, short, table

SHOWN = 12  # units of the table, the most harmful first


@command(verbs.dissect, kept=lambda found: True)
def dissect(found: verbs.Dissected) -> str:
    """The summary, the units that matter most, what could not be done, and where the page is."""
    whole = found.dissection
    measured = [unit for unit in whole.units if unit.change is not None]
    worst = sorted(measured, key=_harm, reverse=True)
    most = _harm(worst[0]) if worst else 0.0
    rows = [_row(unit, most) for unit in worst[:SHOWN]]
    more = len(worst) - len(rows)
    refused = [s for s in whole.sections if s.refused]
    return "\n".join(
        [
            _head(whole),
            *whole.summary,
            *([table(rows)] if rows else []),
            *([f"and {more} more units, on the page"] if more else []),
            *(f"not done: {section.title.lower()}: {section.refused}" for section in refused),
            f"page: {found.page}",
        ]
    )


def _head(whole: Dissection) -> str:
    text = f"{whole.model} on {whole.data}: {short(whole.parameters)} parameters, "
    text += f"{whole.loss_name} {_words(whole.loss)}"
    if whole.error is not None:
        text += ", error {:.2f} % [{:.2f}, {:.2f}]".format(*whole.error)
    if whole.perplexity is not None:
        text += f", perplexity {_words(whole.perplexity)}"
    return f"{text}, n = {whole.n}"


def _row(unit: Unit, most: float) -> tuple[str, ...]:
    assert unit.change is not None
    share = unit.change[0] / most if most > 0 else 0.0
    error = () if unit.error is None else (f"error {unit.error:.2f} %",)
    what = f"without {unit.number}", unit.name, bar(share)
    return *what, f"loss {_words(unit.change, '+')}", *error


def _harm(unit: Unit) -> float:
    return unit.change[0] if unit.change is not None else 0.0


def _words(found: Interval, sign: str = "") -> str:
    value, low, high = found
    return f"{value:{sign}.4g} [{low:.4g}, {high:.4g}]"
