"""prune."""

from .. import verbs
from ..errors import several
from ..surgery.measures import Candidate, Comparison
from .command import command
from .words import table

KEPT = {  # how the folder is opened; {} is the model as it was asked for
    "preset": "the smaller network, opened by `residuum` as any model",
    "folder": "the smaller model, opened by `residuum` and by transformers' from_pretrained",
    "word": "the smaller model, opened by `residuum`, which builds {} again and removes the units",
    "program": "the smaller model as model.pt2, for torch.export.load; not opened by `residuum`",
}


@command(verbs.prune, kept=lambda found: True)
def prune(found: verbs.Pruned) -> str:
    """The frontier, one line a step; the model before and after; the folder."""
    whole = found.sizes.before
    rows = [("removed", "parameters", "loss", "error", "change of the loss", "time")]
    went = [0, *(len(step.removed) for step in found.frontier)]
    rows += [
        _step(step, whole.parameters, before)
        for step, before in zip(found.frontier, went, strict=False)
    ]
    last = found.removed
    gone = ", ".join(f"{u} ({n})" for u, n in zip(last, found.names, strict=True))
    healed = f", healed for {several(len(found.healed), 'epoch')}" if found.healed else ""
    units = f"{len(last)} of {several(found.units, 'unit')}"
    note = f" ({found.note})" if found.note else ""
    return "\n".join(
        [
            f"{found.model} on {found.data}: {units} removed{healed}",
            table(rows),
            f"gone: {gone}",
            "",
            _sizes(found.sizes),
            f"\n{found.folder}: {KEPT[found.kept].format(found.model)}{note}",
        ]
    )


def _step(step: Candidate, parameters: int, before: int) -> tuple[str, ...]:
    gone = "+ " + ", ".join(map(str, step.removed[before:]))  # what is gone more than a step ahead
    change, time = step.loss_change, step.seconds
    return (
        gone,
        f"{100 * step.parameters / parameters:.1f} %",
        f"{step.loss.value:.4f}",
        "" if step.error is None else str(step.error),
        f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]",
        "" if time is None else f"{time.value:.2f} [{time.low:.2f}, {time.high:.2f}]",
    )


def _sizes(sizes: Comparison) -> str:
    shown = sizes.table
    speed = sizes.speedup
    faster = f"{speed.value:.2f} [{speed.low:.2f}, {speed.high:.2f}] times as fast"
    rows = [[str(cell) for cell in row] for row in (shown.columns, *shown.rows)]
    return "\n".join([table(rows), faster])
