"""The one edit that every dissection is made of, and the state that a model is in while it is
dissected."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..parts.merges import Merge, Road
from ..parts.modes import in_evaluation
from ..units import ResidualUnit
from .view import Observer

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
    flags = [
        (parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()
    ]
    try:
        for parameter, _, _ in flags:
            parameter.requires_grad_(False)
        with in_evaluation(model):
            yield
    finally:
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


class Scaled(nn.Module):
    """A branch times a factor."""

    def __init__(self, branch: nn.Module, factor: float):
        super().__init__()
        self.branch, self.factor = branch, factor

    def forward(self, z: Tensor) -> Tensor:
        return self.factor * self.branch(z)


def scaled(unit: ResidualUnit, factor: float) -> ResidualUnit:
    """x' = f(m(h, 0; z) + factor m(0, F; z)); m is linear."""
    if factor == 0:
        return deleted(unit, strict=True)
    branch = Scaled(unit.branch, factor)
    return ResidualUnit(branch, unit.shortcut, unit.after, unit.before, unit.merge)


class Valued(Merge):
    """The merge of a unit whose branch adds a given tensor."""

    def __init__(self, unit: ResidualUnit, tensor: Tensor):
        super().__init__()
        self.unit, self.tensor = unit, tensor

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        left, value = self.halves(around, through, z)
        return value if left is None else left + value  # type: ignore[operator, return-value]

    def halves(self, around: Road, through: Road, z: Tensor) -> tuple[Road, Road]:
        if self.unit.plain:
            return None, rows(self.tensor, z)
        left = self.unit.bypass(z, strict=True)
        return left, fitting(self.tensor, left)


def valued(unit: ResidualUnit, tensor: Tensor) -> ResidualUnit:
    """x' = f(m(h, 0; z) + tensor)."""
    return ResidualUnit(Nothing(), Nothing(), unit.after, unit.before, Valued(unit, tensor))


def rows(tensor: Tensor, stream: Tensor) -> Tensor:
    """The tensor, where the stream is and of its type, with a row for each example: its own come
    again, for the signals of several variants stand one behind the other.

    UsageError: rows that do not fit.
    """
    if tensor.ndim and len(tensor) and len(stream) % len(tensor) == 0:
        return tensor.to(stream).repeat(len(stream) // len(tensor), *[1] * (tensor.ndim - 1))
    raise UsageError(
        f"a value {tuple(tensor.shape)} for {len(stream)} examples: give one row for all, or one "
        "for each"
    )


def fitting(tensor: Tensor, left: Tensor) -> Tensor:
    """`rows` that can be added to what a deletion leaves. UsageError: another shape."""
    value = rows(tensor, left)
    pairs = list(zip(value.shape, left.shape, strict=False))
    if value.ndim != left.ndim or any(1 not in pair and pair[0] != pair[1] for pair in pairs):
        raise UsageError(
            f"a value {tuple(tensor.shape)} cannot stand for what a branch adds to "
            f"{tuple(left.shape)}"
        )
    return value


class Repeated(ResidualUnit):
    """A unit of the same parts, passed several times."""

    def __init__(self, unit: ResidualUnit, times: int):
        super().__init__(unit.branch, unit.shortcut, unit.after, unit.before, unit.merge)
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            y = super().forward(x)
            if self.times > 1 and y.shape != x.shape:
                raise UsageError(
                    f"a unit that makes {tuple(y.shape)} of {tuple(x.shape)} cannot be repeated"
                )
            x = y
        return x


class Observed(Merge):
    """A merge that shows what meets in it, and gives what it is told to."""

    def __init__(self, merge: Merge, number: int, observer: Observer):
        super().__init__()
        self.merge, self.number, self.observer = merge, number, observer
        self.needs_input = merge.needs_input

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        before, branch = self.merge.halves(around, through, z)
        after = self.merge(around, through, z)
        assert branch is not None  # a leaf has a branch
        other = self.observer(self.number, before, branch, after)
        return after if other is None else other


def observed(unit: ResidualUnit, number: int, observer: Observer) -> ResidualUnit:
    merge = Observed(unit.merge, number, observer)
    return ResidualUnit(unit.branch, unit.shortcut, unit.after, unit.before, merge)


def device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
