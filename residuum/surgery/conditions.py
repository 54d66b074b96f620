"""What holds before a model is written for others, and what its file says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import nn
from torch.nn.modules import module as torchs

from .. import progress
from ..errors import ResourceError, UsageError
from ..storage import json_digest, tensor_digest
from ..views import edits
from ..views.trace import bare

MOST_BYTES = 2**31 - 2**24  # of weights in one ONNX file: protobuf ends at 2 GiB

About = Mapping[str, str]
"""What is known of a model and stands in its file: its classes, how inputs are normalised, where
its weights come from. Words in, words out; structures as JSON."""


def itself(model: nn.Module) -> nn.Module:
    """The model that is written: without what wraps it (DataParallel, torch.compile), as `discover`
    takes it.

    UsageError: hooks, or a lesion, that would be written as part of the model. A model in
    training mode is told of: it is written as in evaluation."""
    for name, part in model.named_modules():
        where = f"{name} ({type(part).__name__})" if name else type(part).__name__
        if type(part).__module__ == edits.__name__:
            raise UsageError(f"{where}: a lesion is active. Write the model outside of it")
        hooks = (*part._forward_hooks.values(), *part._forward_pre_hooks.values())
        # a weight or spectral normalisation of torch is a hook, and part of the model
        if any(not type(hook).__module__.startswith("torch.nn.utils") for hook in hooks):
            raise UsageError(f"{where}: a hook is active. Remove it first, or write what it does")
    if torchs._global_forward_hooks or torchs._global_forward_pre_hooks:
        raise UsageError(
            "a lesion, or a hook on all modules, is active. Write the model outside of it"
        )
    model = bare(model)
    if any(part.training for part in model.modules()):
        name = type(model).__name__
        progress.say(f"{name} is in training mode; what is written computes as in evaluation")
    return model


def require_new_file(file: str | Path, suffix: str) -> Path:
    """UsageError: another suffix; something, be it a link, stands there."""
    path = Path(file)
    if path.suffix != suffix:
        raise UsageError(f"{path}: say NAME{suffix}")
    if os.path.lexists(path):
        raise UsageError(f"{path}: is there already. Choose another name")
    return path


def require_one_file(model: nn.Module, path: Path) -> None:
    """ResourceError: weights that do not fit in one ONNX file; none is written in several, which
    could be led to others."""
    size = sum({id(t): t.nbytes for t in (*model.parameters(), *model.buffers())}.values())
    if size > MOST_BYTES:
        raise ResourceError(
            f"{path}: {size / 1e9:.1f} GB of weights do not fit in one ONNX file (2 GB). Write .pt2"
        )


def described(model: nn.Module, about: About | None) -> dict[str, str]:
    """With the digest of the weights that are written."""
    return {**(about or {}), "weights_sha256": weights_digest(model)}


def weights_digest(model: nn.Module) -> str:
    """sha256 over names, types, shapes and bytes of all parameters and buffers that are kept."""
    state = model.state_dict()
    return json_digest({name: tensor_digest(tensor) for name, tensor in state.items()})
