"""The one edit that every dissection is made of, and the state that a model is in while it is
dissected."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..parts.merges import Merge, Road
from ..units import ResidualUnit

Replacement = tuple[nn.Module, str, nn.Module]


@contextmanager
def replace(replacements: Iterable[Replacement]) -> Iterator[None]:
    """Swap parts, given as (module, name of the part, new part).

    The old ones return at the end, even after an error.
    """
    replacements = list(replacements)
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    try:
        for owner, name, part in replacements:
            setattr(owner, name, part)
        yield
    finally:
        for owner, name, part in reversed(originals):
            setattr(owner, name, part)


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter asking for gradients; modes, flags and gradients return as they
    were.

    Evaluation mode keeps running statistics untouched and every example independent of the others
    in its batch.
    """
    modes = [(module, module.training) for module in model.modules()]
    flags = [
        (parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()
    ]
    try:
        model.eval()
        for parameter, _, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag, gradient in flags:
            parameter.requires_grad_(flag)
            parameter.grad = gradient


class Nothing(nn.Module):
    """A road that carries nothing."""

    def forward(self, x: Tensor) -> None:
        return None


class Bypassed(Merge):
    """The merge of a unit whose branch is deleted: what `unit.bypass` leaves, all of it round the
    branch."""

    def __init__(self, unit: ResidualUnit, strict: bool = False):
        super().__init__()
        self.unit, self.strict = unit, strict

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        return self.unit.bypass(z, self.strict)

    def halves(self, around: Road, through: Road, z: Tensor) -> tuple[Road, Road]:
        return self.unit.bypass(z, self.strict), None


def deleted(unit: ResidualUnit, strict: bool = False) -> ResidualUnit:
    """The unit without its branch, of the same parts: x' = f(bypass(a(x)))."""
    return ResidualUnit(Nothing(), Nothing(), unit.after, unit.before, Bypassed(unit, strict))


def device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
