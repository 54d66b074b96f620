"""The one edit that every dissection is made of, the lesion, and the state a network is in while it is dissected."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..parts.shortcuts import Severed
from ..units import ResidualUnit

Edit = tuple[nn.Module, str, nn.Module]


@contextmanager
def replace(edits: Iterable[Edit]) -> Iterator[None]:
    """Swap parts, given as (module, name of the part, new part). The old ones return at the end, even after an error."""
    edits = list(edits)
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in edits]
    try:
        for owner, name, part in edits:
            setattr(owner, name, part)
        yield
    finally:
        for owner, name, part in reversed(originals):
            setattr(owner, name, part)


@contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter asking for gradients; modes, flags and gradients return as they were.

    Evaluation mode keeps running statistics untouched and every example independent of the others in its batch.
    """
    modes = [(module, module.training) for module in network.modules()]
    flags = [(parameter, parameter.requires_grad, parameter.grad) for parameter in network.parameters()]
    try:
        network.eval()
        for parameter, _, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag, gradient in flags:
            parameter.requires_grad_(flag)
            parameter.grad = gradient


class Silent(nn.Module):
    """Adds nothing, whatever the shape of the shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(())


class Detached(nn.Module):
    """The same values, but no gradient passes."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x).detach()


@contextmanager
def lesion(units: Iterable[ResidualUnit]) -> Iterator[None]:
    """Delete units: x' = f(h(a(x))), Veit et al. 2016, sec. 4.1.

    The branch falls silent; in a plain unit the severed shortcut opens, so the signal passes by (the identity, or
    option A where the shape changes).
    """
    units = list(units)
    silenced = [(unit, "branch", Silent()) for unit in units]
    opened = [(unit, "shortcut", unit.shortcut.road) for unit in units if isinstance(unit.shortcut, Severed)]
    with replace([*silenced, *opened]):
        yield


def device_of(network: nn.Module) -> torch.device:
    return next((p.device for p in network.parameters()), torch.device("cpu"))
