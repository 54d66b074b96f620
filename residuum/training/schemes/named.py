"""Schemes that a recipe can name, as data: their base. Loads no torch but inside methods."""

from typing import TYPE_CHECKING, Self

import msgspec

from ...errors import UsageError
from ...reader import check

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor, nn

    from ...task import Task
    from .scheme import Batch


class Named(msgspec.Struct, frozen=True, tag_field="kind"):
    """The plain loop. A scheme states what it does otherwise: see `Scheme` for the methods.

    Fields are settings, checked against their types.
    """

    def __post_init__(self) -> None:
        check(self, type(self).__struct_config__.tag, UsageError)  # type: ignore[arg-type]

    @property
    def task(self) -> "Task":
        from ...task import CLASSIFICATION

        return CLASSIFICATION

    def require(self, network: "nn.Module") -> None:
        """UsageError, before a run is made: a network that the scheme cannot train."""

    def extend(self, network: "nn.Module", batch: "Callable[[], Batch]") -> "nn.Module | None": ...

    def prepare(self, network: "nn.Module", batch: "Batch") -> None: ...

    def restarts(self, time: float) -> bool:
        return False

    def stretched(self, old: int, new: int) -> Self:
        """For a recipe of so many ticks instead of so many."""
        return self

    def resolved(self) -> Self:
        """With all that it names looked up, so that it is known by what counts."""
        return self

    def draw(self, network: "nn.Module", generator: "torch.Generator") -> None: ...

    def loss(
        self, network: "nn.Module", batch: "Batch", time: float
    ) -> "tuple[Tensor, Tensor | None]":
        from .plain import Plain

        return Plain(self.task).loss(network, batch, time)

    def settle(self, network: "nn.Module") -> None: ...
