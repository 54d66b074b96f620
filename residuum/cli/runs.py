"""train, runs, diff and export."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .. import verbs
from .command import command
from .words import show, table

if TYPE_CHECKING:
    from ..training import Run


def _trained(run: "Run") -> dict[str, Any]:
    last, weights = run.outcome.last, run.outcome.weights
    return {"run": str(run.folder), **asdict(last), "weights_sha256": weights.sha256}


@command(verbs.train, json=_trained, kept=lambda run: True)
def train(run: "Run") -> str:
    """The folder and the test error."""
    last = run.outcome.last
    return f"{run.folder}: test error {_percent(last.test_error)} (n = {last.test_n})"


@command(verbs.runs)
def runs(entries: list[verbs.RunEntry]) -> str:
    """One line a run; what is wrong with those that cannot be read below."""
    if not entries:
        return "no runs here"
    rows = [("folder", "network", "data", "state", "test error", "seed", "last write")]
    for e in entries:
        error, seed = _percent(e.test_error), show(e.seed)
        rows.append((e.folder, e.network or "-", e.data or "-", e.state, error, seed, e.date))
    problems = [f"unreadable: {e.problem}" for e in entries if e.problem]
    return "\n".join([table(rows), *problems])


@command(verbs.diff)
def diff(found: verbs.Comparison) -> str:
    """One line a difference, heaviest first."""
    lines = ["same meaning" if found.same_meaning else "not the same meaning"]
    if found.differences:
        rows = [("", "", found.first, found.second)]
        for d in found.differences:
            rows.append((d.weight, d.what, _short(d.first), _short(d.second)))
        lines.append(table(rows))
    return "\n".join([*lines, *found.structure])


@command(verbs.export, kept=lambda found: True)
def export(found: verbs.Exported) -> str:
    """The file, and what it was compared with."""
    said = f"not checked: {found.unchecked}"
    if found.counterpart:
        said = f"the same output as {found.counterpart} (to {found.difference:.1g} of the largest)"
    return f"{found.file}: {found.tensors} tensors of {found.network}, {said}"


def _percent(error: float | None) -> str:
    return "-" if error is None else f"{100 * error:.2f} %"


def _short(value: Any, most: int = 40) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
