"""Wrappers of a road: they change how much of it flows, or whether, not what it computes.

A wrapper stands round a branch or a shortcut, `ResidualUnit(Dropped(branch, 0.8), shortcut)`.
Shapes are those of the road.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..reader import require
from .merges import Probability, Road

Per = Literal["batch", "sample"]
Scaling = Literal["test", "training", "none"]


class Wrapper(nn.Module):
    """A road with something done to it; `None` is the identity."""

    def __init__(self, road: nn.Module | None = None):
        super().__init__()
        self.road = nn.Identity() if road is None else road


class Drawn(Wrapper):
    """A wrapper that draws in training.

    The training loop calls `draw` ahead of every step, with a generator that is a function of seed
    and step and the same on all ranks; the draw stands until the next. Without the loop it draws
    from torch's default generator at every forward pass, as dropout does.
    """

    drawn: bool | None = None

    def draw(self, generator: torch.Generator) -> None:
        """For one step. What is drawn an example or an element each is drawn in `forward`."""


class Scaled(Wrapper):
    """factor * road(x): constant scaling (He et al. 2016, table 1). UsageError: not finite."""

    def __init__(self, road: nn.Module | None, factor: float):
        super().__init__(road)
        if not math.isfinite(factor):
            raise UsageError(f"scaled: a factor is a finite number, not {factor}")
        self.factor = factor

    def forward(self, x: Tensor) -> Road:
        carried = self.road(x)
        return None if carried is None else self.factor * carried

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


class Gated(Wrapper):
    """(1 - T) road(x), T = sigmoid(transform(x)): shortcut-only gating (He et al. 2016, table 1).

    `transform` maps x to the shape of road(x); see `GateConvolution`.
    """

    def __init__(self, road: nn.Module | None, transform: nn.Module):
        super().__init__(road)
        self.transform = transform

    def forward(self, x: Tensor) -> Road:
        carried = self.road(x)
        return None if carried is None else (1 - torch.sigmoid(self.transform(x))) * carried


class Dropped(Drawn):
    """b F(z), b 1 with probability `survival`, else 0: stochastic depth (Huang et al. 2016, eq. 2).

    `per` "batch": one b for all examples, and a road with b = 0 is not computed (it carries None,
    and its running statistics stand still); "sample": one b an example, everything computed.
    `scaling` "test": the road times its survival at test, nothing in training (eq. 5); "training":
    divided by it in training, nothing at test; "none": neither.
    """

    def __init__(
        self, road: nn.Module | None, survival: float, per: Per = "batch", scaling: Scaling = "test"
    ):
        super().__init__(road)
        require(survival, Probability, "dropped: survival", UsageError)
        require(per, Per, "dropped: per", UsageError)
        require(scaling, Scaling, "dropped: scaling", UsageError)
        if survival == 0 and scaling == "training":
            raise UsageError("dropped: a road that never survives cannot be divided by 0")
        self.survival, self.per, self.scaling = survival, per, scaling

    def draw(self, generator: torch.Generator) -> None:
        if self.per == "batch":
            self.drawn = bool(torch.rand((), generator=generator) < self.survival)

    def forward(self, x: Tensor) -> Road:
        if not self.training:
            return self._times(self.road(x), self.survival, "test")
        if self.per == "sample":
            one = torch.rand(len(x), *(1,) * (x.ndim - 1), device=x.device)
            return self._times((one < self.survival) * self.road(x), 1 / self.survival, "training")
        alive = self.drawn
        if alive is None:
            alive = bool(torch.rand(()) < self.survival)
        return self._times(self.road(x), 1 / self.survival, "training") if alive else None

    def _times(self, carried: Road, factor: float, scaling: Scaling) -> Road:
        if carried is None or scaling != self.scaling or factor == 1:
            return carried
        return factor * carried

    def extra_repr(self) -> str:
        return f"survival={self.survival:.4g}, per={self.per}, scaling={self.scaling}"


class Noisy(Drawn):
    """Theta * road(x), every element of Theta 1 with probability `keep`, else 0.

    One road of Swapout (Singh et al. 2016, eq. 5). At test its expectation, keep * road(x)
    ("deterministic"); inside `sampled` the noise stays ("stochastic").
    """

    sampling = False

    def __init__(self, road: nn.Module | None, keep: float):
        super().__init__(road)
        require(keep, Probability, "noisy: keep", UsageError)
        self.keep = keep

    def forward(self, x: Tensor) -> Road:
        carried = self.road(x)
        if carried is None or self.keep == 1:
            return carried
        if not (self.training or self.sampling):
            return self.keep * carried
        return torch.empty_like(carried).bernoulli_(self.keep) * carried

    def extra_repr(self) -> str:
        return f"keep={self.keep:.4g}"


class Weighted(Wrapper):
    """w road(x), w a learned number that `settle` keeps in [-1, 1], 0 at first.

    Weighted residuals (Shen and Zeng 2016): with a branch that ends in a ReLU the sign comes from w
    alone.
    """

    def __init__(self, road: nn.Module | None = None):
        super().__init__(road)
        self.weight = nn.Parameter(torch.zeros(()))

    def reset(self) -> None:
        """Its initial value."""
        nn.init.zeros_(self.weight)

    @torch.no_grad()
    def settle(self) -> None:
        """After a step: back into [-1, 1] (projected gradient descent)."""
        self.weight.clamp_(-1, 1)

    def forward(self, x: Tensor) -> Road:
        carried = self.road(x)
        return None if carried is None else self.weight * carried


class Companion(Wrapper):
    """road(x); in training `logits` is then head(road(x)), for a loss of its own.

    Deeply supervised nets (Lee et al. 2015, eq. 3): a classifier on what a hidden layer gives. The
    scheme `Companions` takes its loss; whatever else is done, the network is as without it. `head`
    maps what the road gives to (N, K); while `active` is False it is not computed.
    """

    active = True
    logits: Tensor | None = None

    def __init__(self, road: nn.Module | None, head: nn.Module):
        super().__init__(road)
        self.head = head

    def forward(self, x: Tensor) -> Road:
        carried = self.road(x)
        if self.training and self.active:
            self.logits = None if carried is None else self.head(carried)
        return carried


@runtime_checkable
class Settled(Protocol):
    """A part with a `settle`, which the training loop calls after every step."""

    def settle(self) -> None: ...


@contextmanager
def sampled(network: nn.Module) -> Iterator[None]:
    """Inside, the noise of `Noisy` roads stays in evaluation mode too: a pass is one draw.

    Running statistics are used and stand still. UsageError: the network has no such road.
    """
    noisy = [part for part in network.modules() if isinstance(part, Noisy)]
    if not noisy:
        raise UsageError("nothing to sample: this network has no noisy roads (Swapout)")
    try:
        for part in noisy:
            part.sampling = True
        yield
    finally:
        for part in noisy:
            part.sampling = False
