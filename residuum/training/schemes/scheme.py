"""The seam between the training loop and what a paper does differently."""

from typing import Protocol

import torch
from torch import Tensor, nn

from ...task import Task

Batch = tuple[Tensor, Tensor]  # inputs and targets, this rank's share


class Scheme(Protocol):
    """What a paper adds to the loop, which asks: prepare once, then draw, loss, settle each step.

    A scheme may inherit from this one: what it does not need does nothing. No state is kept between
    steps but in the network's tensors, so that runs resume exactly. Public attributes and code
    belong to a run's identity.
    """

    @property
    def task(self) -> Task:
        """What the test part is judged by."""
        ...

    def prepare(self, network: nn.Module, batch: Batch) -> None:
        """Once, before the first step, with its batch: initial weights from data, say."""

    def draw(self, network: nn.Module, generator: torch.Generator) -> None:
        """Before each step: one draw for the whole network, the same on all ranks."""

    def loss(self, network: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor | None]:
        """The loss of every example, (N,), and which answers are right, (N,) bool or None."""
        ...

    def settle(self, network: nn.Module) -> None:
        """After each step: projections, largest norms."""
