"""The plain loop: the task's loss of the network's output, nothing else."""

from dataclasses import dataclass

from torch import Tensor, nn

from ...task import CLASSIFICATION, Task
from .scheme import Batch, Scheme


@dataclass(frozen=True)
class Plain(Scheme):
    """The scheme of every recipe here."""

    task: Task = CLASSIFICATION  # type: ignore[assignment] - a field for a property

    def loss(self, network: nn.Module, batch: Batch, time: float) -> tuple[Tensor, Tensor | None]:
        inputs, targets = batch
        output = network(inputs)
        return self.task.loss(output, targets), self.task.right(output, targets)
