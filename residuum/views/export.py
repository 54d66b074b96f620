"""A model as a program of operations (torch.export), as it runs now."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules import module
from torch.utils._pytree import tree_map

from ..errors import UsageError, first_line, out_of_memory
from .edits import at_rest, device_of
from .inputs import tensors, to_device
from .trace import untouched


def program(
    model: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any], functional: bool = True
) -> torch.export.ExportedProgram:
    """The model in evaluation mode, as it runs now: inside `view.edited`, with its lesions.

    The first dimension of every tensor may have another length than here, where the model allows
    it. `functional`: nothing is written in place. UsageError: a model that torch.export cannot
    follow, in its words.
    """
    inputs, keywords = to_device(of_two((inputs, dict(keywords))), device_of(model))
    shapes = batch_dimensions(model, inputs, keywords)
    try:
        with torch.no_grad(), at_rest(model), untouched(model), without_cache(model), _alone():
            found = torch.export.export(
                model, inputs, keywords, dynamic_shapes=shapes, strict=False
            )
            return found.run_decompositions({}) if functional else found
    except Exception as error:
        if out_of_memory(error):
            raise
        what = f"torch.export cannot follow {type(model).__name__}"
        raise UsageError(f"{what} ({first_line(error)})") from error


@contextmanager
def _alone() -> Iterator[None]:
    """Older versions of torch leave a hook on every module's buffers where an export fails."""
    hooks = module._global_buffer_registration_hooks
    before = set(hooks)
    try:
        yield
    finally:
        for key in hooks.keys() - before:
            del hooks[key]


def module_of(program: torch.export.ExportedProgram) -> fx.GraphModule:
    """Its graph as a model, which does not look at what it is given: newer versions of torch would
    refuse other numbers of examples than they have seen, where older ones know no such word."""
    knows = "check_guards" in inspect.signature(program.module).parameters
    return program.module(check_guards=False) if knows else program.module()  # type: ignore


def batch_dimensions(model: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """For torch.export: the first dimension of every tensor may have another length.

    Of inputs in order, or, where there are keywords, of all by the names of the forward.
    """
    free = tree_map(
        lambda leaf: {0: torch.export.Dim.AUTO} if isinstance(leaf, Tensor) and leaf.ndim else None,
        (tuple(inputs), dict(keywords)),
    )
    if not keywords:
        return free[0]
    names = inspect.signature(model.forward).parameters
    return dict(zip(names, free[0], strict=False)) | free[1]


def of_two(value: Any) -> Any:
    """The same inputs, twice where they hold one example: of one, the batch would be fixed."""
    found = [leaf for leaf in tensors(value) if leaf.ndim]
    if not found or any(len(leaf) != 1 for leaf in found):
        return value
    return tree_map(
        lambda leaf: torch.cat([leaf, leaf]) if isinstance(leaf, Tensor) and leaf.ndim else leaf,
        value,
    )


@contextmanager
def without_cache(model: nn.Module) -> Iterator[None]:
    """Models of transformers give no `past_key_values`, which are no output to be compared."""
    found = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    caching = [c for c in found.values() if getattr(c, "use_cache", False)]
    try:
        for config in caching:
            config.use_cache = False
        yield
    finally:
        for config in caching:
            config.use_cache = True
