"""Shapes on their way through units, computed on meta tensors."""

from collections.abc import Callable

import torch
from torch import nn

from ..errors import UsageError
from ..units import ResidualUnit, Row

Shape = torch.Size | None  # None: a road that carries nothing
Pass = Callable[..., tuple[int, Shape]]  # (part, shapes given) -> FLOPs, shape


@torch.no_grad()
def shape_of(part: nn.Module, *shapes: Shape) -> Shape:
    """Of what the part, on the meta device, gives for tensors of these shapes."""
    out = part(*(None if s is None else torch.empty(s, device="meta") for s in shapes))
    return None if out is None else out.shape


def through_row(row: Row, shape: Shape, passed: Pass, name: str) -> tuple[int, Shape]:
    flops = 0
    for number, unit in enumerate(row):
        more, shape = _through(unit, shape, passed, f"{name}.{number}")
        flops += more
    return flops, shape


def _through(unit: ResidualUnit, shape: Shape, passed: Pass, name: str) -> tuple[int, Shape]:
    """Leaves whole, so that what counts them is asked once; nests and what fails road by road."""
    if not isinstance(unit.branch, Row):
        try:
            return passed(unit, shape)
        except RuntimeError as error:
            failed = error
    else:
        failed = None
    before, z = passed(unit.before, shape)
    around, h = _along(unit.shortcut, z, passed, f"{name}.shortcut")
    through, f = _along(unit.branch, z, passed, f"{name}.branch")
    try:
        merged, out = passed(unit.merge, h, f, z)
    except RuntimeError as error:
        roads = f"the shortcut gives {_words(h)}, the branch {_words(f)}"
        raise UsageError(
            f"{name}: {roads}: {type(unit.merge).__name__} cannot join them"
        ) from error
    if failed is not None:
        raise failed
    after, out = passed(unit.after, out)
    return before + around + through + merged + after, out


def _along(road: nn.Module, z: Shape, passed: Pass, name: str) -> tuple[int, Shape]:
    return through_row(road, z, passed, name) if isinstance(road, Row) else passed(road, z)


def _words(shape: Shape) -> str:
    """Without the batch: "16x32x32"."""
    return "nothing" if shape is None else "x".join(map(str, shape[1:]))
