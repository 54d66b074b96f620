"""The seam between the training loop and what a paper does differently."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from ...task import Task

Batch = tuple[Tensor, Tensor]  # inputs and targets, this rank's share
ADDED = "added"  # what a scheme adds to a network stands there under this name while it is trained


class Scheme(Protocol):
    """What a paper adds to the loop, which asks: extend and prepare once, then draw, loss and
    settle at each step.

    A scheme may inherit from this one: what it does not need does nothing. No state is kept between
    steps but in the network's tensors, so that runs resume exactly. Public attributes and code
    belong to a run's identity.
    """

    @property
    def task(self) -> Task:
        """What the test part is judged by."""
        ...

    def extend(self, network: nn.Module, batch: Callable[[], Batch]) -> nn.Module | None:
        """Ahead of the optimiser, also of a run that goes on: a part that only training needs.

        Its parameters are trained and saved with the network's; the finished weights are without.
        """

    def prepare(self, network: nn.Module, batch: Batch) -> None:
        """Once, before the first step, with its batch: initial weights from data, say."""

    def restarts(self, time: float) -> bool:
        """Whether the optimiser forgets what it remembers ahead of the step at this time."""
        return False

    def draw(self, network: nn.Module, generator: torch.Generator) -> None:
        """Before each step: one draw for the whole network, the same on all ranks."""

    def loss(self, network: nn.Module, batch: Batch, time: float) -> tuple[Tensor, Tensor | None]:
        """The loss of every example, (N,), and which answers are right, (N,) bool or None.

        `time`: ticks of the recipe's clock since the start, epochs or iterations.
        """
        ...

    def settle(self, network: nn.Module) -> None:
        """After each step: projections, largest norms."""


class Losses(nn.Module):
    """The scheme's loss as a module round the network, so that what averages gradients over ranks
    sees all that the loss depends on."""

    def __init__(self, network: nn.Module, scheme: Scheme):
        super().__init__()
        self.network, self.scheme = network, scheme

    def forward(self, inputs: Tensor, targets: Tensor, time: float) -> tuple[Tensor, Tensor | None]:
        return self.scheme.loss(self.network, (inputs, targets), time)
