"""The gradient polynomial of a model whose units cannot be run alone, in one backward pass.

The batch is repeated: copy k carries the coefficient of t^k. At every sum h + F the gradient goes
to the shortcut as it is and to the branch one copy further, which is multiplication by t. Only copy
0 is given a loss. Evaluation mode keeps examples independent, so what arrives at copy k of the
inputs is G_k.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import UsageError
from ..task import Task
from .edits import device_of
from .foreign import ForeignView
from .inputs import Inputs, call, changed, count, take, tensors, to_device
from .sums import Call, Place, Sum, answered, name_of
from .unit import Unit
from .view import Series, residual


class Shifting(torch.autograd.Function):
    """The tensor itself; its gradient, copy after copy along a dimension, moves one copy up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, copies: int, dim: int, signs: Tensor | None) -> Tensor:
        ctx.copies, ctx.dim, ctx.signs = copies, dim, signs
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        gradient = gradients[0].movedim(ctx.dim, 0)
        stack = gradient.reshape(ctx.copies, -1, *gradient.shape[1:])
        moved = torch.zeros_like(stack)
        moved[1:] = stack[:-1]
        if ctx.signs is not None:
            each = ctx.signs.repeat_interleave(stack.shape[1] // len(ctx.signs))
            moved *= each.view(1, -1, *[1] * (stack.ndim - 2))
        return moved.reshape(gradient.shape).movedim(0, ctx.dim), None, None, None


class Shifted:
    """A model at some inputs: its gradient polynomial there.

    Gradients are taken at the one floating input; where all are integers, behind the embedding that
    is read first. UsageError: several floating inputs.
    """

    def __init__(self, view: ForeignView, inputs: Inputs, targets: Tensor, task: Task):
        self.view, self.task, self.size = view, task, count(inputs)
        self.inputs = to_device(inputs, device_of(view.model))
        self.targets = targets
        floating = [t for t in tensors(self.inputs) if t.is_floating_point()]
        if len(floating) > 1:
            raise UsageError(
                f"gradients are taken at one floating input, and there are {len(floating)}: give "
                "the others to the model in a wrapper of yours"
            )
        self.floating = bool(floating)

    def polynomial(self, longest: int, signs: Tensor | None = None) -> Tensor:
        """G_0..G_longest, (longest+1, N, ...).

        `signs` (units, N): one row multiplies the branch of each unit, from the last to the first.
        UsageError: signs where units are nested.
        """
        if signs is not None and not flat(self.view.expression):
            raise UsageError("a signed sweep needs units in a row, and these are nested")
        leaf, output, copies = self._forward(longest + 1, signs)
        answer = changed(take(output, slice(self.size)), _wide)
        total = self.task.loss(answer, self.targets.to(_device(output))).sum()
        (gradient,) = torch.autograd.grad(total, leaf)
        return gradient.view(copies, self.size, *gradient.shape[1:])[: longest + 1]

    def bytes(self, depth: int) -> int:
        """What autograd keeps for one example."""
        held = 1

        def pack(tensor: Tensor) -> Tensor:
            nonlocal held
            held += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self._forward(depth + 1, None)
        return 2 * held // self.size

    def _forward(self, copies: int, signs: Tensor | None) -> tuple[Tensor, Any, int]:
        # as many examples as were discovered with would not tell which dimension is the batch
        example = count((self.view.units.inputs, self.view.units.keywords))
        copies += copies * self.size == example
        leaves: list[Tensor] = []

        def repeated(tensor: Tensor) -> Tensor:
            several = tensor.repeat(copies, *[1] * (tensor.ndim - 1))
            if not tensor.is_floating_point():
                return several
            leaves.append(several.requires_grad_())
            return several.clone()  # which the model may write into

        inputs = changed(self.inputs, repeated)
        answers: dict[Place, Callable[[Call], Tensor]] = {}
        for unit in self.view.units:
            row = None if signs is None else signs[len(self.view.units) - 1 - unit.number]
            for each in self.view.sums(unit):
                answers[each.place] = self._answer(unit, each, copies, row, example)
        with answered(self.view.model, answers), _AtEmbedding(leaves, not self.floating):
            output = call(self.view.model, inputs)
        if not leaves:
            none = "reads integers without an embedding: there is nothing to take gradients at"
            raise UsageError(f"{type(self.view.model).__name__} {none}")
        return leaves[0], output, copies

    def _answer(
        self, unit: Unit, each: Sum, copies: int, signs: Tensor | None, example: int
    ) -> Callable[[Call], Tensor]:
        total = copies * self.size

        def answer(call: Call) -> Tensor:
            through = each.through(call)
            pairs = enumerate(zip(through.shape, each.shape, strict=True))
            dims = [d for d, (now, then) in pairs if now * example == then * total]
            if not dims:
                raise UsageError(
                    f"unit {unit.number} ({unit.name}): no dimension of its sum grows with the "
                    "number of examples, so they are not independent"
                )
            moved: Any = Shifting.apply(through, copies, dims[0], signs)
            return call.put(each.around(call, strict=True) + moved)

        return answer


class _AtEmbedding(TorchFunctionMode):
    """Gradients begin at what the first embedding gives."""

    def __init__(self, leaves: list[Tensor], active: bool):
        super().__init__()
        self.leaves, self.active = leaves, active

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if not self.active or name_of(func) != "embedding":
            return output
        self.active = False
        self.leaves.append(output.detach().requires_grad_())
        return self.leaves[0].clone()


def flat(expression: Series) -> bool:
    """Whether it is a row of residual units of one branch each."""
    return all(map(residual, expression.parts))


def _wide(tensor: Tensor) -> Tensor:
    """Of a nearly perfect example float32 loses the gradient: p - 1 at p = 1 - 1e-8."""
    return tensor.double() if tensor.is_floating_point() else tensor


def _device(output: Any) -> torch.device:
    return next((t.device for t in tensors(output)), torch.device("cpu"))
