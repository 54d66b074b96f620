"""Deeply supervised nets (Lee et al. 2015): hidden layers with a loss of their own."""

from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from ...errors import UsageError
from ...reader import Count, NotNegative
from .named import Named

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...parts.wrappers import Companion
    from ...task import Task
    from .scheme import Batch

Loss = Literal["squared-hinge", "softmax"]


class Companions(Named, frozen=True, tag="companions"):
    """L = loss(output) + weight * sum over companions of loss(their logits), at first.

    The network's `Companion` parts (parts/wrappers.py) give the logits. After `length` ticks of the
    recipe's clock they are no longer computed, and the optimiser starts anew, as where the authors'
    code goes on with a net that has none. Weight 1 is the code's (it lets the companions' own rate
    decay instead); the paper lets the weight decay.

    `companion`, `output`: which loss each has. UsageError: no companions.
    """

    length: Count
    companion: Loss = "squared-hinge"
    output: Loss = "softmax"
    weight: NotNegative = 1.0

    @property
    def task(self) -> "Task":
        return _task(self.output)

    def restarts(self, time: float) -> bool:
        return time == self.length

    def stretched(self, old: int, new: int) -> "Companions":
        return replace(self, length=max(1, round(self.length * new / old)))

    def require(self, network: "nn.Module") -> None:
        _companions(network)

    def loss(
        self, network: "nn.Module", batch: "Batch", time: float
    ) -> "tuple[Tensor, Tensor | None]":
        inputs, targets = batch
        parts = _companions(network)
        for part in parts:
            part.active = time < self.length
        output = network(inputs)
        total, task = self.task.loss(output, targets), _task(self.companion)
        for part in parts:
            if part.logits is not None:
                total = total + self.weight * task.loss(part.logits, targets)
            part.logits = None
            part.active = True
        return total, self.task.right(output, targets)


def _task(loss: Loss) -> "Task":
    from ...task import CLASSIFICATION, SquaredHinge

    return CLASSIFICATION if loss == "softmax" else SquaredHinge()


def _companions(network: "nn.Module") -> "list[Companion]":
    from ...parts.wrappers import Companion

    if found := [m for m in network.modules() if isinstance(m, Companion)]:
        return found
    raise UsageError("companions: the network has no companion (Companion(road, head))")
