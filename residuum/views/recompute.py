"""Activation checkpointing: very deep networks train in little memory (Chen et al. 2016).

A row of n units keeps the signal every k units and computes what lies between again in the backward
pass: one more forward pass in time, n/k + k activations instead of n in memory.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, is_grad_enabled, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from ..units import ResidualNetwork, ResidualUnit, Row
from .edits import replace

INSIDE = 4  # activations that a unit keeps for each that it hands on


class RecomputedRow(Row):
    """The units of a row, `length` at a time computed again when gradients are taken.

    Numbers are the same to the bit: random draws are repeated, and running statistics stand still
    the second time.
    """

    def __init__(self, units: Iterable[ResidualUnit], length: int):
        super().__init__(units)
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and is_grad_enabled()):
            return super().forward(x)
        *parts, last = segments(list(self), self.length)
        for part in parts:
            x = checkpoint(part, x, use_reentrant=False, context_fn=_second_time(part))
        return last(x)  # whose activations are needed at once


def segments(units: list[ResidualUnit], length: int) -> list[nn.Sequential]:
    """Up to `length` units each, in signal order."""
    starts = range(0, len(units), length)
    return [nn.Sequential(*units[start : start + length]) for start in starts]


def _second_time(
    part: nn.Module,
) -> Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]]:
    """What surrounds the first computation, and the second."""
    return lambda: (nullcontext(), _standing_still(part))


@contextmanager
def _standing_still(part: nn.Module) -> Iterator[None]:
    """Normalisations add nothing to their running statistics, but read them as the first time: the
    backward pass expects as many tensors."""
    norms = [m for m in part.modules() if isinstance(m, _NormBase)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


@contextmanager
def recomputed(network: nn.Module) -> Iterator[None]:
    """Inside, rows of units (those of a nest too) are recomputed in the backward pass.

    Segments are as long as memory is least: the square root of n over what a unit keeps. Names of
    weights stay. A network that is not a `ResidualNetwork` is left as it is.
    """
    with replace(_rows(network)):
        yield


def _rows(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    owners = [network] if isinstance(network, ResidualNetwork) else []
    for owner in [*owners, *(m for m in network.modules() if isinstance(m, ResidualUnit))]:
        for name, row in owner.named_children():
            if type(row) is Row and not any(isinstance(unit.branch, Row) for unit in row):
                yield owner, name, RecomputedRow(row, max(1, round((len(row) / INSIDE) ** 0.5)))
