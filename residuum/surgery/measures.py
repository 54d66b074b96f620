"""What removal is measured by, as plain values; loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..anatomy.statistics import Change, Estimate, Rate
from ..results import Table


@dataclass(frozen=True)
class Candidate:
    """A set of units and what is lost without them, on the same examples.

    `removed`: in the order in which they went. `parameters`: how many are left. `loss`: its mean;
    `loss_change`: of every example's loss against the intact model's, the mean with Student's
    interval, simultaneous for all sets that were tried at once. `error`, `error_change`: None where
    the task knows no right and wrong. `seconds`: of a pass, over the intact model's; measured where
    the target asks for it.
    """

    removed: tuple[int, ...]
    parameters: int
    loss: Estimate
    loss_change: Estimate
    error: Rate | None
    error_change: Change | None
    seconds: Estimate | None = None


@dataclass(frozen=True)
class Size:
    """Of one model. `flops`: 2 x MACs of one example. `seconds`: of a pass over the inputs, the
    geometric mean over `n` rounds. `bytes`: of parameters and buffers. `peak`: the most bytes of
    tensors that were alive at once in a pass, beside these. `loss`: its mean over the examples.
    `error`: None where the task knows no right and wrong."""

    units: int
    parameters: int
    flops: int
    seconds: Estimate
    bytes: int
    peak: int
    loss: Estimate
    error: Rate | None


@dataclass(frozen=True)
class Comparison:
    """Before and after. `speedup`: the ratio of their seconds, round by round; `loss_change`: of
    every example's loss."""

    before: Size
    after: Size
    speedup: Estimate
    loss_change: Estimate

    @property
    def table(self) -> Table:
        """For reports and the terminal."""
        rows = [(name, say(self.before), say(self.after)) for name, say in ROWS.items()]
        return Table(("", "before", "after"), tuple(rows))


# ---- in words ----


def _milliseconds(size: Size) -> str:
    low, high = 1000 * size.seconds.low, 1000 * size.seconds.high
    return f"{1000 * size.seconds.value:.2f} [{low:.2f}, {high:.2f}]"


def _loss(size: Size) -> str:
    return f"{size.loss.value:.4f} [{size.loss.low:.4f}, {size.loss.high:.4f}]"


ROWS: dict[str, Callable[[Size], str]] = {
    "units": lambda size: str(size.units),
    "parameters": lambda size: f"{size.parameters:,}",
    "FLOPs an example": lambda size: f"{size.flops:,}",
    "ms a batch": _milliseconds,
    "MB of weights": lambda size: f"{size.bytes / 1e6:.3f}",
    "MB of activations, at most": lambda size: f"{size.peak / 1e6:.3f}",
    "loss": _loss,
    "error": lambda size: "" if size.error is None else str(size.error),
}
