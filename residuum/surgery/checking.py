"""What was written against the model: run on other batches before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ExportError, NumericError, first_line, out_of_memory
from ..views.inputs import changed, count
from .running import outputs

TOLERANCE = 1e-4  # of the largest output: other orders of summing round otherwise
BATCHES = (1, 2, 5)

Given = tuple[tuple[Any, ...], Mapping[str, Any]]


class Apart(ExportError):
    """What was written answers otherwise than the model."""


Run = Callable[[tuple[Any, ...], Mapping[str, Any]], list[Tensor]]


def compared(
    model: nn.Module,
    run: Run,
    given: Given,
    where: str,
    locate: Callable[[Given, float], str] | None = None,
) -> float:
    """The largest difference over the largest output, on batches of other sizes and values.

    `locate(given, limit)`: says in words which layer differs. Apart: a difference that is no
    rounding (the output is named). ExportError: a batch that it does not take. NumericError: an
    output of the model that is nowhere finite.
    """
    worst, limit = 0.0, TOLERANCE
    for size in BATCHES:
        batch = _batch(given, size)
        try:
            expected = [tensor.cpu() for tensor in outputs(model, *batch)]
            found = [tensor.cpu() for tensor in run(*batch)]
        except Exception as error:
            if out_of_memory(error):
                raise
            said = f"does not run on {size} examples at once ({first_line(error)})"
            raise ExportError(f"{where}: {said}. Nothing was written") from error
        if [tuple(t.shape) for t in found] != [tuple(t.shape) for t in expected]:
            raise Apart(f"{where}: its outputs have other shapes than the model's")
        for number, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
            if ours.is_floating_point():
                if ours.numel() and not ours.isfinite().any():
                    nothing = f"the model's output {number} is nowhere finite"
                    raise NumericError(f"{where}: {nothing}, so nothing can be compared with it")
                limit = max(limit, 8 * torch.finfo(ours.dtype).eps)  # of half precision
            apart = difference(ours, theirs)
            if not apart <= limit:
                place = "" if locate is None else locate(batch, limit)
                raise Apart(
                    f"{where}: its outputs differ from the model's: output {number} by {apart:.2g} "
                    f"of the largest{place}"
                )
            worst = max(worst, apart)
    return worst


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Over our largest value; infinite where integers, or what is not finite, are not the same."""
    theirs = theirs.to(ours.dtype)
    if not ours.is_floating_point() or not ours.numel():
        return 0.0 if torch.equal(ours, theirs) else float("inf")
    here, there = torch.isfinite(ours), torch.isfinite(theirs)
    same = torch.equal(ours[~here].nan_to_num(), theirs[~here].nan_to_num())
    if not (torch.equal(here, there) and same):
        return float("inf")
    distance = torch.where(here, ours.double() - theirs.double(), 0).abs().max()
    largest = torch.where(here, ours.double(), 0).abs().max()
    return float(distance / largest.clamp_min(1e-30))


def _batch(given: Given, size: int) -> Given:
    """So many examples: those given, in turn, with noise on those that are no integers."""
    count(given)  # type: ignore[arg-type]
    source = torch.Generator().manual_seed(size)

    def more(tensor: Tensor) -> Tensor:
        taken = tensor.detach().cpu()[torch.arange(size) % len(tensor)]
        noise = torch.randn(taken.shape, generator=source)
        return taken + noise.to(taken.dtype) if taken.is_floating_point() else taken

    return changed(given, more)
