"""Convolutional residual memory networks: an LSTM that reads every unit (Moniz and Pal 2016)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..parts.arrangements import PREACT, modules
from ..parts.branches import basic
from ..parts.shortcuts import option_b_bare
from ..parts.stems import cifar_stem
from ..units import ResidualNetwork, ResidualUnit, Row
from .stages import Stage, residual, row

State = tuple[Tensor, Tensor]  # h and c of an LSTM, (N, hidden) each


class Pooled(nn.Module):
    """The mean of ReLU(x) over all pixels, zeros appended: (N, C, H, W) -> (N, features)."""

    def __init__(self, features: int):
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x.relu().mean((2, 3)), (0, self.features - x.shape[1]))

    def extra_repr(self) -> str:
        return f"features={self.features}"


class Memory(nn.Module):
    """One LSTM cell; every unit's output is a time step.

    `read`: what the cell is given of x, (N, C, H, W) -> (N, features), whatever the stage.
    """

    def __init__(self, read: nn.Module, features: int, hidden: int):
        super().__init__()
        self.read, self.hidden = read, hidden
        self.input, self.state = nn.Linear(features, 4 * hidden), nn.Linear(hidden, 4 * hidden)

    def begin(self, x: Tensor) -> State:
        """Nothing is remembered yet."""
        nothing = x.new_zeros(len(x), self.hidden)
        return nothing, nothing

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> State:
        keep, take, show, new = (self.input(self.read(x)) + self.state(h)).chunk(4, 1)
        c = keep.sigmoid() * c + take.sigmoid() * new.tanh()
        return show.sigmoid() * c.tanh(), c


class MemoryHead(nn.Module):
    """K classes from the pooled features and what is remembered, side by side."""

    def __init__(self, features: int, hidden: int, classes: int):
        super().__init__()
        closing = modules(PREACT.head, features)
        self.closing = nn.Sequential(*closing, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.linear = nn.Linear(features + hidden, classes)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.linear(torch.cat([self.closing(x), h], 1))


class MemoryNetwork(ResidualNetwork):
    """stem -> units -> head, beside the units a memory; the signal is x, h and c.

    Lesions and sweeps work on it. Paths are those of the units alone. Gradients flow through the
    memory too, by a road from every unit to the head that no merge holds: they cannot be taken
    apart by length at merges, so the network has no tape, and its path counts say nothing of them.
    Its row is walked unit by unit, so that it is not recomputed in the backward pass.
    """

    def __init__(
        self, stem: nn.Module, units: Iterable[ResidualUnit], head: MemoryHead, memory: Memory
    ):
        super().__init__(stem, units, head)
        self.memory = memory
        if any(isinstance(unit.branch, Row) for unit in self.units):
            raise UsageError("a memory reads a row of units, not a nest")

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        state = self.memory.begin(x)
        for unit in self.units:
            x = unit(x)
            state = self.memory(x, *state)
        return self.head(x, state[0])


def crmn(
    classes: int,
    units: int = 4,
    width: int = 160,
    hidden: int = 1000,
    read: nn.Module | None = None,
) -> MemoryNetwork:
    """A wide pre-activation network with a memory. (N, 3, 32, 32) -> (N, K).

    `units` in each of three stages, of `width`, twice and four times that: 4 and 160 are WRN-28-10.
    `hidden`: of the LSTM. `read`: by default `Pooled`. The paper gives neither width nor pooling:
    both are this project's interpretation of its 40M parameters.
    """
    features = 4 * width
    stages = [Stage(units, width, 1), Stage(units, 2 * width, 2), Stage(units, features, 2)]
    standing = row(16, stages, residual(basic, option_b_bare, PREACT))
    memory = Memory(Pooled(features) if read is None else read, features, hidden)
    head = MemoryHead(features, hidden, classes)
    return MemoryNetwork(cifar_stem(16, PREACT), standing, head, memory)
