"""A model run as it is, of which nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..views.edits import at_rest, device_of
from ..views.export import without_cache
from ..views.inputs import to_device
from ..views.trace import results, untouched


@contextmanager
def resting(model: nn.Module) -> Iterator[None]:
    """Passes in evaluation mode, without gradients and caches; buffers, attributes and random
    states return as they were, since a model may write and draw in evaluation too."""
    with torch.no_grad(), at_rest(model), untouched(model), without_cache(model):
        yield


def outputs(
    model: nn.Module,
    inputs: tuple[Any, ...],
    keywords: Mapping[str, Any],
    device: torch.device | None = None,
) -> list[Tensor]:
    """The tensors that the model gives (`resting`), for comparing one model with another; inputs
    are moved to the device, or to where the model is."""
    given: Any = to_device((inputs, dict(keywords)), device or device_of(model))
    with resting(model):  # a copy: what a model gives may be a buffer, which is put back
        return [tensor.detach().clone() for tensor in results(model(*given[0], **given[1]))]
