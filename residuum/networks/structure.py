"""What a network is, apart from its weights: one line a part, and a digest of the lines.

A run is found again by it. Counted: each part's word (its class's name), the `version` that a class
of ours raises when its formula is mended, settings that change numbers, names and shapes of
parameters and buffers, what is shared or frozen, hooks, the initialisation rule. Not counted:
Python paths, device, storage type, values, training mode. Classes and functions of one's own count
with their code (not with that of other functions which they call by name).
"""

import difflib
import enum
import hashlib
import inspect
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import PurePath
from typing import Any

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
_WORDS = (bool, int, float, complex, str, bytes, torch.dtype, PurePath)
Inside = frozenset[int]  # what is being described, so that a ring of references ends
_NOT_SETTINGS = ("training", "inplace", "initialisation")


def digest(network: nn.Module) -> str:
    """sha256 of `describe(network)`, in hexadecimal; on torch's meta device it is the same."""
    return digest_of(describe(network))


def digest_of(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def describe(network: nn.Module) -> list[str]:
    """The lines: a part with its settings, below it its parameters and buffers with shapes."""
    return _describe(network, frozenset())


def _describe(network: nn.Module, inside: Inside) -> list[str]:
    lines = [f"initialisation: {getattr(network, 'initialisation', 'unknown')}"]
    seen: dict[int, str] = {}  # tensors, so that shared ones show
    for name, module in network.named_modules(remove_duplicate=False):
        name = name or "network"
        here = inside | {id(module)}
        lines.append(f"{name}: {_word(type(module), here)}{_settings(module, here)}")
        for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
            for key, tensor in tensors.items():
                if tensor is not None:
                    lines.append(f"  {kind} {key} {_tensor(tensor, f'{name}.{key}', seen)}")
    return lines


def differences(old: list[str], new: list[str], most: int = 6) -> str:
    """The first lines in which two descriptions differ, for a message."""
    changed = [
        line
        for line in difflib.unified_diff(old, new, lineterm="", n=0)
        if line[0] in "+-" and line[:3] not in ("+++", "---")
    ]
    rest = f"\n  and {len(changed) - most} more" if len(changed) > most else ""
    return "\n".join(f"  {line}" for line in changed[:most]) + rest


def value_words(value: object) -> str:
    """A setting in words, the same wherever and whenever it is built: code counts by its source."""
    return _value(value, frozenset())


def _tensor(tensor: torch.Tensor, name: str, seen: dict[int, str]) -> str:
    first = seen.setdefault(id(tensor), name)
    shared = "" if first == name else f", the same as {first}"
    frozen = ", frozen" if isinstance(tensor, nn.Parameter) and not tensor.requires_grad else ""
    return f"{tuple(tensor.shape)}{frozen}{shared}"


def _ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "residuum"


def _foreign(kind: type) -> bool:
    """Neither torch's nor ours nor Python's: its code counts."""
    top, made_by_class_statement = kind.__module__.partition(".")[0], kind.__flags__ & 1 << 9
    if top == "builtins":  # also where code was run without a module
        return bool(made_by_class_statement)
    return top not in ("residuum", "torch") and top not in sys.stdlib_module_names


def _word(kind: type, inside: Inside) -> str:
    """The class's name; of ours with its version, of another with its code and its bases' code."""
    version = getattr(kind, "version", 1) if _ours(kind) else 1
    word = kind.__name__ + (f" version {version}" if version != 1 else "")
    if not _foreign(kind) or id(kind) in inside:
        return word
    inside |= {id(kind)}
    bases = [base for base in kind.__mro__ if base not in (object, nn.Module)]
    code = [_class_code(b, inside) if _foreign(b) else _word(b, inside) for b in bases]
    return f"{word} code {_short(' '.join(code))}"


def _class_code(kind: type, inside: Inside) -> str:
    """Method by method: `inspect.getsource` of a class may find another of the same name."""
    parts = []
    for name, value in sorted(vars(kind).items()):
        if name.startswith("__") and not callable(value):
            continue  # __module__, __doc__, __dict__, ...
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if isinstance(value, property):
            value = (value.fget, value.fset)
        parts.append(f"{name}={_value(value, inside)}")
    return ";".join(parts)


def _settings(module: nn.Module, inside: Inside) -> str:
    kind = type(module)
    torchs = not _foreign(kind) and not _ours(kind)
    if torchs and kind.__name__ in SETTINGS:
        found = {name: getattr(module, name) for name in SETTINGS[kind.__name__]}
    else:
        defaults = _constructor_defaults(kind)
        found = {
            name: value
            for name, value in sorted(vars(module).items())
            if not name.startswith("_")
            and name not in _NOT_SETTINGS
            # a default is left out, so that a new setting changes no digest
            and not (name in defaults and _same(defaults[name], value))
        }
    words = [f"{name}={_value(value, inside)}" for name, value in found.items()]
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    words += [f"hook={_value(hook, inside)}" for hook in hooks]
    return f"({', '.join(words)})"


def _same(default: object, value: object) -> bool:
    return type(default) is type(value) and value_words(default) == value_words(value)


@cache
def _constructor_defaults(kind: type) -> dict[str, Any]:
    if not _ours(kind):
        return {}
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _value(value: Any, inside: Inside) -> str:
    if value is None or isinstance(value, _WORDS):
        return repr(value)
    if id(value) in inside:
        return "seen above"
    inside |= {id(value)}
    if isinstance(value, torch.Tensor):
        return f"tensor{tuple(value.shape)}"
    if isinstance(value, nn.Module):  # not registered, so it is not among the parts
        return _short("\n".join(_describe(value, inside)))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{k}: {_value(v, inside)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v, inside) for v in value)}]"
    if isinstance(value, set | frozenset):
        return f"set{sorted(_value(v, inside) for v in value)}"
    if isinstance(value, type):
        return _word(value, inside)
    if isinstance(value, enum.Enum):
        return f"{_word(type(value), inside)}.{value.name}"
    if isinstance(value, partial):
        return f"partial{_value((value.func, value.args, value.keywords), inside)}"
    if isinstance(value, types.MethodType):
        return f"{_word(type(value.__self__), inside)}.{_function(value.__func__, inside)}"
    if isinstance(value, types.FunctionType):
        return _function(value, inside)
    if not hasattr(value, "__dict__"):  # a function in C, mostly
        return getattr(value, "__name__", type(value).__name__)
    held = {k: v for k, v in sorted(vars(value).items()) if not k.startswith("_")}
    return f"{_word(type(value), inside)}{_value(held, inside)}"


def _function(function: Any, inside: Inside) -> str:
    """Torch's and ours by name, another by its source; with defaults and what it closes over."""
    if not isinstance(function, types.FunctionType):
        return getattr(function, "__name__", type(function).__name__)
    known = (function.__module__ or "").partition(".")[0] in ("torch", "residuum")
    code = [function.__qualname__] if known else _source(function)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    around = [_value(_content(cell), inside) for name, cell in cells if name != "__class__"]
    defaults = _value((function.__defaults__, function.__kwdefaults__), inside)
    return f"code {_short(' '.join([*code, defaults, *around]))}"


@cache
def _source(function: types.FunctionType) -> list[str]:
    """The text; of a lambda its bytecode too (a line may hold two), as where there is no text."""
    try:
        text = [textwrap.dedent(inspect.getsource(function))]
    except (OSError, TypeError):
        return list(_bytecode(function.__code__))
    return [*text, *_bytecode(function.__code__)] if function.__name__ == "<lambda>" else text


def _bytecode(code: types.CodeType) -> Iterator[str]:
    yield f"{code.co_code.hex()} {code.co_names}"
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _bytecode(constant)
        else:
            yield repr(constant)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
