"""Classifiers on hidden layers that help to train a network and are no part of it afterwards."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


class Companion(nn.Module):
    """Gives x back, and in training keeps what its classifier makes of x (Lee et al. 2015, DSN).

    `logits`: of the last forward pass in training mode; None in evaluation. A training scheme adds
    a loss of them.
    """

    def __init__(self, classifier: nn.Module):
        super().__init__()
        self.classifier = classifier
        self.logits: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.logits = self.classifier(x) if self.training else None
        return x

    def __getstate__(self) -> dict[str, Any]:
        """Copies are made without the last logits, which belong to a graph."""
        return {**self.__dict__, "logits": None}


def companions(network: nn.Module) -> Iterator[Companion]:
    """Those of a network, in signal order."""
    return (module for module in network.modules() if isinstance(module, Companion))
