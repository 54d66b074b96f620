"""The plain loop: the task's loss of the network's output, nothing else."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...task import CLASSIFICATION, Task
from .scheme import Batch


@dataclass(frozen=True)
class Plain:
    """The scheme of every recipe here."""

    task: Task = CLASSIFICATION

    def prepare(self, network: nn.Module, batch: Batch) -> None:
        """Nothing."""

    def draw(self, network: nn.Module, generator: torch.Generator) -> None:
        """Nothing."""

    def loss(self, network: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor | None]:
        inputs, targets = batch
        output = network(inputs)
        return self.task.loss(output, targets), self.task.right(output, targets)

    def settle(self, network: nn.Module) -> None:
        """Nothing."""
