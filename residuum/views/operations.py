"""A forward pass as a list of operations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .sums import Place

Frame = tuple[str, int]  # a submodule and the number of its call


@dataclass(frozen=True, slots=True)
class Operation:
    """One tensor that a forward pass made.

    `kind`: a word of `kinds`; of an input "input". `inputs`: the operations that it was made from.
    `parameters`: the names of those (and of buffers) that entered here. `constants`: what else it
    was given. `place`: of the summing call that it belongs to; `operands`: what made its tensors.
    """

    number: int
    kind: str
    inputs: tuple[int, ...]
    parameters: frozenset[str]
    shape: tuple[int, ...]
    floating: bool
    module: str
    constants: tuple[Any, ...]
    place: Place | None
    operands: tuple[int | None, ...]


@dataclass
class Trace:
    """`stacks`: of a stack of tensors, its dimension and what made them. `spans`: of each call of a
    submodule its first operation and the one behind its last. `results`: of an operation, the calls
    that gave it, with which of their tensors. `outputs`: what the model gave. `fake`: no value was
    read."""

    model: nn.Module
    fake: bool
    operations: list[Operation] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    stacks: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    spans: dict[Frame, tuple[int, int]] = field(default_factory=dict)
    results: dict[int, list[tuple[Frame, int]]] = field(default_factory=dict)
