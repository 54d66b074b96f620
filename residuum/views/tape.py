"""A network linearised at its inputs: every unit ready to pull gradients back, round its branch or
through it.

Linearised at z, the merge of a unit falls into two halves, m(h(z), 0; z) and m(0, F(z); z). Their
Jacobians are H and J: a gradient pulled through the first goes round the branch, pulled through the
second it goes through.
"""

from collections.abc import Callable
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..parts.merges import probe, require_linear
from ..units import ResidualNetwork, ResidualUnit, Row


def pull(output: Tensor | None, at: Tensor, stack: Tensor) -> Tensor | None:
    """v -> (d output / d at)^T v for a stack of gradients (S, N, ...); None where nothing flows."""
    if output is None or not output.requires_grad:
        return None
    if output is at:
        return stack
    if not len(stack):
        return stack.new_zeros(0, *at.shape)
    return torch.autograd.grad(
        output, at, stack, retain_graph=True, is_grads_batched=True, allow_unused=True
    )[0]


def writes(model: nn.Module) -> bool:
    """Whether a part works in place, and so may change the tensor that it is given."""
    return any(getattr(module, "inplace", False) for module in model.modules())


class Part:
    """One module at one point."""

    def __init__(self, module: nn.Module, x: Tensor):
        self.input = x.detach()
        if x.is_floating_point():
            self.input.requires_grad_()
        with torch.enable_grad():
            self.output = module(self.input.clone() if writes(module) else self.input)
        self.value = self.output.detach()

    def pull(self, stack: Tensor) -> Tensor | None:
        if not self.input.requires_grad:
            kind = self.input.dtype
            raise UsageError(f"gradients are taken at the inputs, and these are {kind}, not floats")
        return pull(self.output, self.input, stack)


class Crossing:
    """A unit at one point: before, the two halves of the merge, after.

    `inner`: the units of a nest's branch; `outer`: those of its shortcut, where that is a row.

    In a nest the derivative of the merge itself by z belongs to the way round: it passes no branch
    inside (where the shortcut is a row, the merge does not read z). In a leaf each half keeps its
    own.
    """

    def __init__(self, unit: ResidualUnit, x: Tensor, where: str):
        self.before = Part(unit.before, x)
        self.z = self.before.value.requires_grad_()
        self.inner: list[Crossing] | None = None
        self.outer: list[Crossing] | None = None
        with torch.enable_grad():
            # a copy that parts may write into: both roads and the merge then read what was written
            z = self.z.clone() if writes(unit) else self.z
            if isinstance(unit.shortcut, Row):
                self.outer = cross(unit.shortcut, z.detach(), f"{where}.shortcut")
                around = self.outer[-1].value.requires_grad_()
            else:
                around = unit.shortcut(z)
            if isinstance(unit.branch, Row):
                self.inner = cross(unit.branch, z.detach(), f"{where}.branch")
                through = self.inner[-1].value.requires_grad_()
            else:
                through = unit.branch(z)
            halves = unit.merge.halves(around, through, z)
            whole = unit.merge(around, through, z)
        probe(unit.merge, around, through, z, where)
        require_linear(unit.merge, halves, whole, where)
        self._ends = around, through  # of a nest's rows
        self._around, self._through = halves if self.inner is None else (whole, whole)
        self.after = Part(unit.after, whole)
        self.value = self.after.value

    def around(self, stack: Tensor) -> Tensor | None:
        """H^T v, at z; where the shortcut is a row, at its end, where `outer` goes on."""
        at = self.z if self.outer is None else self._ends[0]
        return pull(self._around, at, stack)

    def through(self, stack: Tensor) -> Tensor | None:
        """J^T v, at z; of a nest only to the end of the row inside, where `inner` goes on."""
        at = self.z if self.inner is None else self._ends[1]
        return pull(self._through, at, stack)


def cross(row: Row, x: Tensor, where: str) -> list[Crossing]:
    """The units of a row, in signal order."""
    crossings: list[Crossing] = []
    for number, unit in enumerate(row):
        crossings.append(
            Crossing(unit, crossings[-1].value if crossings else x, f"{where}.{number}")
        )
    return crossings


class Tape:
    """The whole network: stem, units, head."""

    def __init__(self, network: ResidualNetwork, inputs: Tensor):
        self.stem = Part(network.stem, inputs)
        self.crossings = cross(network.units, self.stem.value, "units")
        last = self.crossings[-1].value if self.crossings else self.stem.value
        # of a nearly perfect example float32 loses the gradient: p - 1 at p = 1 - 1e-8
        self.head = Part(deepcopy(network.head).double(), last.double())

    def gradient(self, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Of the examples' losses, `loss` of the output, at the end of the last unit; float64."""
        total = loss(self.head.output).sum()
        return torch.autograd.grad(total, self.head.input, retain_graph=True)[0]

    def widest(self) -> int:
        """Bytes of the largest activation between two units."""
        return max(value.nbytes for value in chain([self.stem.value], _values(self.crossings)))


def _values(crossings: list[Crossing]) -> list[Tensor]:
    inside = [_values(row) for c in crossings for row in (c.outer, c.inner) if row is not None]
    return [c.value for c in crossings] + list(chain.from_iterable(inside))
