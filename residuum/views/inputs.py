"""What a model is given and what it gives: a tensor, or several in a tuple or by keyword."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from ..errors import UsageError
from .edits import device_of

Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]
"""Of one tensor the model is called with it, of a tuple with its parts, of a mapping by keyword.
Tensors hold one example a row; what is no tensor is given as it is."""


P = ParamSpec("P")
R = TypeVar("R")


def with_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """It computes gradients also where its caller wants none (`no_grad`, `inference_mode`).

    UsageError: a model whose weights were made under `inference_mode`.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.inference_mode(False), torch.enable_grad():
            # tensors of inference mode cannot be kept for a backward pass, copies can
            given, named = changed((args, kwargs), lambda t: t.clone() if t.is_inference() else t)
            try:
                return function(*given, **named)  # type: ignore[call-arg]
            except RuntimeError as error:
                if "nference tensor" not in str(error):
                    raise
                what = "a model made under torch.inference_mode has no gradients"
                raise UsageError(f"{what}: make it, or load its weights, outside") from error

    return run


def tensors(value: Any) -> list[Tensor]:
    """All in a nest of containers, in order."""
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor)]


def changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nest of containers, of other tensors."""
    return tree_map(lambda leaf: change(leaf) if isinstance(leaf, Tensor) else leaf, value)


def to_device(value: Any, device: torch.device) -> Any:
    return changed(value, lambda tensor: tensor.to(device))


def count(inputs: Inputs) -> int:
    """Examples. UsageError: tensors that do not agree on it, no tensor."""
    sizes = {len(tensor) if tensor.ndim else None for tensor in tensors(inputs)}
    if len(sizes) != 1 or None in sizes:
        found = ", ".join(sorted(map(str, sizes))) or "no tensors"
        raise UsageError(f"inputs hold one example a row, all as many; these have {found}")
    return sizes.pop()  # type: ignore[return-value]


def take(inputs: Inputs, at: slice | Tensor) -> Any:
    """Some of the examples."""
    return changed(inputs, lambda tensor: tensor[at])


def require_weights(model: nn.Module) -> None:
    """UsageError: a model that stands on the meta device."""
    if device_of(model).type == "meta":
        raise UsageError(
            f"{type(model).__name__} has no weights (it is on the meta device): it can be "
            "discovered and not run. Load its weights first"
        )


def call(model: nn.Module, inputs: Inputs) -> Any:
    """The model on the inputs, moved to where it is. UsageError: a model without weights."""
    require_weights(model)
    given = to_device(inputs, device_of(model))
    if isinstance(given, Tensor):
        return model(given)
    return model(**given) if isinstance(given, Mapping) else model(*given)
