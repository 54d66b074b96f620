"""Activations that torch does not have."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PELU(nn.Module):
    """(a/b) x for x >= 0, a (exp(x/b) - 1) below: one learned pair a, b a layer, 1 at first.

    Parametric exponential linear unit (Trottier et al. 2017, eq. 3); with a = b = 1 it is ELU.
    `settle` keeps a in (0.1, 2) and b above 0.1: what a step takes out of it is set to 0.11 or
    1.99, as pelu.resnet.torch does. Shapes: any.
    """

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))

    def reset(self) -> None:
        """Its initial values."""
        nn.init.ones_(self.a)
        nn.init.ones_(self.b)

    @torch.no_grad()
    def settle(self) -> None:
        """After a step: back inside the bounds."""
        for weight in (self.a, self.b):
            weight[weight <= 0.1] = 0.11
        self.a[self.a >= 2] = 1.99

    def forward(self, x: Tensor) -> Tensor:
        return self.a * F.elu(x / self.b)
