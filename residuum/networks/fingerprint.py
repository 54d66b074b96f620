"""What a network is, apart from its weights: one line a part, and a digest of the lines.

A run is found again by it. Counted: each part's word (its class's name), the `version` that a class
of ours raises when its formula is mended, settings that change numbers, names and shapes of
parameters and buffers, what is shared or frozen, hooks, the initialisation rule. Not counted:
Python paths, device, storage type, values, training mode. Classes and functions of one's own count
with their code (not with that of other functions which they call by name).
"""

import builtins
import difflib
import enum
import hashlib
import inspect
import sys
import textwrap
import types
from collections.abc import Mapping
from functools import cache, partial
from pathlib import PurePath
from reprlib import recursive_repr
from typing import Any

import numpy as np
import torch
from torch import nn

_POOL = ("kernel_size", "stride", "padding", "ceil_mode")
_NORM = ("eps", "momentum", "affine", "track_running_stats")
SETTINGS: dict[str, tuple[str, ...]] = {  # of torch's classes; shapes say the rest
    "Sequential": (),
    "Identity": (),
    "ReLU": (),
    "Linear": (),
    "Conv2d": ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
    "BatchNorm1d": _NORM,
    "BatchNorm2d": _NORM,
    "MaxPool2d": (*_POOL, "dilation"),
    "AvgPool2d": (*_POOL, "count_include_pad", "divisor_override"),
    "AdaptiveAvgPool2d": ("output_size",),
    "Flatten": ("start_dim", "end_dim"),
    "Dropout": ("p",),
    "Dropout2d": ("p",),
}
_WORDS = (bool, int, float, complex, str, bytes, enum.Enum, torch.dtype, PurePath)
_NOT_SETTINGS = (
    "training", "inplace", "initialisation", "drawn", "sampling", "active", "logits",
)  # fmt: skip
# what every module holds, and what torch.compile leaves in the model that it is given
_TORCHS = frozenset(vars(nn.Module())) | {"_is_torch_compile"}


def digest(network: nn.Module) -> str:
    """sha256 of `describe(network)`, in hexadecimal; on torch's meta device it is the same."""
    return hashlib.sha256("\n".join(describe(network)).encode()).hexdigest()


def describe(network: nn.Module) -> list[str]:
    """The lines: a part with its settings, below it its parameters and buffers with shapes."""
    lines = [f"initialisation: {getattr(network, 'initialisation', 'unknown')}"]
    seen: dict[int, str] = {}  # tensors, so that shared ones show
    for name, module in network.named_modules(remove_duplicate=False):
        name = name or "network"
        lines.append(f"{name}: {_word(type(module))}({', '.join(_settings(module))})")
        for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
            for key, tensor in tensors.items():
                if tensor is not None:
                    first = seen.setdefault(id(tensor), f"{name}.{key}")
                    shared = "" if first == f"{name}.{key}" else f", the same as {first}"
                    trained = kind == "buffer" or tensor.requires_grad
                    frozen = "" if trained else ", frozen"
                    wide = tensor.is_floating_point() and tensor.dtype != torch.float32
                    dtype = f", {tensor.dtype}" if wide else ""
                    lines.append(f"  {kind} {key} {tuple(tensor.shape)}{dtype}{frozen}{shared}")
    return lines


def differences(old: list[str], new: list[str], most: int = 6) -> str:
    """The first lines in which two descriptions differ, for a message."""
    lines = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]  # after the two names
    changed = [f"  {line}" for line in lines if line[0] != "@"]
    rest = [f"  and {len(changed) - most} more"] if len(changed) > most else []
    return "\n".join(changed[:most] + rest)


@recursive_repr("seen above")  # a ring of references ends
def value_words(value: Any) -> str:
    """A setting in words, the same wherever and whenever it is built: code counts by its source."""
    if value is None or isinstance(value, _WORDS):
        return repr(value)
    if isinstance(value, torch.Tensor):  # not registered, so it is a setting
        value = value.detach().cpu().numpy() if not value.is_meta else value.shape
    if isinstance(value, np.ndarray):
        return f"array{value.shape} {value.dtype} {_short(str(value.tolist()))}"
    if isinstance(value, nn.Module):  # not registered, so it is not among the parts
        return _short("\n".join(describe(value)))
    if isinstance(value, type):
        return _word(value)
    if isinstance(value, types.FunctionType):
        return _function(value)
    if isinstance(value, types.MethodType):
        return value_words((value.__self__, value.__func__))
    if isinstance(value, partial):
        return f"partial{value_words((value.func, value.args, value.keywords))}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{k}: {value_words(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_words, value))}]"
    if isinstance(value, set | frozenset):
        return f"set{sorted(map(value_words, value))}"
    if not hasattr(value, "__dict__"):  # a function in C, mostly
        return getattr(value, "__name__", type(value).__name__)
    held = {k: v for k, v in sorted(vars(value).items()) if not k.startswith("_")}
    return f"{_word(type(value))}{value_words(held)}"


def _settings(module: nn.Module) -> list[str]:
    kind = type(module)
    if _home(kind) == "torch" and kind.__name__ in SETTINGS:
        found = {name: value_words(getattr(module, name)) for name in SETTINGS[kind.__name__]}
    else:
        named = {n: v for n, v in sorted(vars(module).items()) if n not in _TORCHS}
        found = {n: value_words(v) for n, v in named.items() if n not in _NOT_SETTINGS}
        # a default is left out, so that a new setting changes no digest
        found = {n: v for n, v in found.items() if _defaults(kind).get(n) != v}
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    return [*(f"{n}={v}" for n, v in found.items()), *(f"hook={value_words(h)}" for h in hooks)]


@cache
def _defaults(kind: type) -> dict[str, str]:
    """What a constructor of ours is given where nothing is said, in words."""
    if _home(kind) != "residuum":
        return {}
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: value_words(p.default) for p in parameters if p.default is not p.empty}


def _home(thing: type | types.FunctionType) -> str:
    """The package it comes from."""
    return (thing.__module__ or "").partition(".")[0]


def _foreign(kind: type) -> bool:
    """Neither torch's nor ours nor Python's: its code counts."""
    home = _home(kind)
    if home == "builtins":  # also where code was run without a module
        return not hasattr(builtins, kind.__name__)
    return home not in ("residuum", "torch", *sys.stdlib_module_names)


def _word(kind: type) -> str:
    """The class's name; of ours with its version, of another with its code and its bases' code."""
    version = getattr(kind, "version", 1) if _home(kind) == "residuum" else 1
    word = kind.__name__ + (f" version {version}" if version != 1 else "")
    if not _foreign(kind):
        return word
    bases = [base for base in kind.__mro__ if base not in (object, nn.Module)]
    code = [_class_code(base) if _foreign(base) else _word(base) for base in bases]
    return f"{word} code {_short(' '.join(code))}"


def _class_code(kind: type) -> str:
    """Method by method: `inspect.getsource` of a class may find another of the same name."""
    parts = []
    for name, value in sorted(vars(kind).items()):
        if callable(value) or not name.startswith("__"):  # not __module__, __doc__, __dict__
            value = getattr(value, "__func__", value)  # of a static or class method
            if isinstance(value, property):
                value = (value.fget, value.fset)
            parts.append(f"{name}={value_words(value)}")
    return ";".join(parts)


def _function(function: types.FunctionType) -> str:
    """Torch's and ours by name, another by its source; with defaults and what it closes over."""
    known = _home(function) in ("torch", "residuum")
    code = function.__qualname__ if known else _source(function)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    around = [value_words(_content(cell)) for name, cell in cells if name != "__class__"]
    defaults = value_words((function.__defaults__, function.__kwdefaults__))
    return f"code {_short(' '.join([code, defaults, *around]))}"


@cache
def _source(function: types.FunctionType) -> str:
    """The text; the bytecode where there is none, and of a lambda: a line may hold two."""
    try:
        if function.__name__ != "<lambda>":
            return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        pass
    return _bytecode(function.__code__)


def _bytecode(code: types.CodeType) -> str:
    constants = (_bytecode(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts)
    return " ".join([code.co_code.hex(), *code.co_names, *constants])


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
