"""A sweep that was killed goes on where it was: what it measured stands in a folder, by content."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import CellType, CodeType, FunctionType
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, fx, nn

from .. import progress
from ..errors import CheckpointError
from ..storage import (
    Entry,
    json_digest,
    make_folder,
    read_tensors,
    remove,
    sha256,
    tensor_digest,
    write_tensors,
)
from ..views.view import Edit, View

LOGITS = "logits"
OFTEN = 1.0  # seconds between two files of one batch
PLAIN = (bool, int, str, type(None))
NOTHING = ("__doc__", "__module__", "__dict__", "__weakref__", "__firstlineno__")
# no forward reads how transformers generates, which holds a hash that every process has otherwise
GENERATION = "transformers.generation"
COMPILER = "torch._dynamo"  # what is of it says how functions are compiled, not what they compute
EVERY_MODULE = frozenset(vars(nn.Module()))  # attributes: mode, parameters, hooks


@dataclass(frozen=True)
class SweepLog:
    """Where a sweep keeps what it measured, for the same sweep begun again.

    `folder` is made if it is not there; several sweeps, and several processes, may share one.
    `kept` is a word for what the sweep's `keep` gives. A value is found again by the digests of
    parameters and buffers, of the model's modules (their classes' code, their attributes), its
    units, the inputs of the batch, the edits and `kept`: where one of them is another, it is
    measured anew. Not seen is what a forward reads elsewhere, a global variable say.
    """

    folder: Path | str
    kept: str = LOGITS

    def keeping(self, *what: Any) -> SweepLog:
        """For values that depend on these too: targets, a task."""
        return replace(self, kept=json_digest([self.kept, described(what)]))

    def of(self, model: str) -> Known:
        """Of a model by its `content`. UsageError: a folder that cannot be made."""
        return Known(make_folder(Path(self.folder)), json_digest([self.kept, model]))


@dataclass(frozen=True)
class Known:
    """The measured values of one model, by batch and edits."""

    folder: Path
    key: str

    @contextmanager
    def batch(
        self, inputs: Any, at: slice, edited: Sequence[Mapping[int, Edit]]
    ) -> Iterator[Measured]:
        """By the numbers of the edits given; what is added is written at the end, an error's too.

        A damaged file is told and deleted.
        """
        key = json_digest([self.key, at.start, at.stop, described(inputs)])
        names = [json_digest(described(edits)) for edits in edited]
        found = Measured(self.folder, key, names)
        try:
            yield found
        finally:
            found.write()


class Measured:
    """What is known of one batch, by the number of the variant."""

    def __init__(self, folder: Path, key: str, names: Sequence[str]):
        self.folder, self.key, self.names = folder, key, names
        self.known: dict[str, Tensor] = {}
        self.new: dict[str, Tensor] = {}
        self.written = time.monotonic()
        for path in sorted(folder.glob(f"{key}.*.safetensors")):
            try:
                self.known |= read_tensors(path, Entry(path.name, path.name.split(".")[1])).tensors
            except CheckpointError as error:
                progress.say(f"warning: {error}. It is deleted; what it held is measured again")
                remove(path)

    def __contains__(self, number: int) -> bool:
        return self.names[number] in self.known

    def __getitem__(self, number: int) -> Tensor:
        return self.known[self.names[number]]

    def __setitem__(self, number: int, value: Tensor) -> None:
        self.known[self.names[number]] = self.new[self.names[number]] = value
        if time.monotonic() - self.written > OFTEN:
            self.write()

    def write(self) -> None:
        """One more file. ResourceError: the disk is full; what was written before still stands."""
        if self.new:
            write_tensors(self.folder, f"{self.key}.{{digest}}.safetensors", self.new)
        self.new, self.written = {}, time.monotonic()


# ---- content ----


def content(view: View) -> str:
    """A digest of the model, its units and the software."""
    units = [described(vars(unit) | {"tail": None}) for unit in view.units]
    return json_digest([torch.__version__, version("residuum"), described(view.model), units])


def described(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """A JSON value, the same for the same content. Of an object that does not tell what it is made
    of it is never the same, so that what depends on it is measured anew."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bytes):
        return sha256(value)
    if id(value) in inside:
        return "itself"
    inside = (*inside, id(value))
    if isinstance(value, Tensor):
        kind = f"{value.dtype} {tuple(value.shape)} meta"
        return ["tensor", kind if value.is_meta else tensor_digest(value)]
    if isinstance(value, Mapping):
        return {str(key): described(part, inside) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [described(part, inside) for part in parts]
    if isinstance(value, nn.Module):
        parts = value.named_modules(remove_duplicate=False)
        return [_module(name, part, inside) for name, part in parts]
    if inspect.isfunction(value):
        parts = (value.__defaults__, value.__kwdefaults__, _held(value))
        return [value.__qualname__, _code(value.__code__), described(parts, inside)]
    if inspect.ismethod(value):
        return [described(value.__func__, inside), described(value.__self__, inside)]
    if isinstance(value, type):
        return _class(value)
    if type(value).__module__.startswith(COMPILER):
        return type(value).__qualname__
    return _state(value, inside)


def _held(function: FunctionType) -> list[Any]:
    """What its closure holds."""
    empty = CellType()
    return [cell.cell_contents for cell in function.__closure__ or () if cell != empty]


def _code(code: CodeType) -> Any:
    """What is run, whatever its source says: two lambdas may stand in one line, and functions that
    were typed have none."""
    consts = [_code(c) if isinstance(c, CodeType) else described(c) for c in code.co_consts]
    return [code.co_code.hex(), consts, code.co_names, code.co_varnames, code.co_freevars]


def _class(kind: type) -> Any:
    """The functions that it and what it stands on have now, and their plain values."""
    return [kind.__qualname__, *(_members(each) for each in kind.__mro__ if _outside(each))]


def _members(kind: type) -> Any:
    found: dict[str, Any] = {}
    for name, member in vars(kind).items():
        parts = (member.fget, member.fset) if isinstance(member, property) else (member,)
        codes = [_codes(getattr(part, "__func__", part)) for part in parts]
        found[name] = codes if any(codes) else repr(member) if isinstance(member, PLAIN) else ""
    return {name: found[name] for name in sorted(found) if name not in NOTHING}


def _codes(function: Any, inside: tuple[int, ...] = ()) -> Any:
    """Also of the functions that its closure holds, which a decorator was given."""
    if not inspect.isfunction(function) or id(function) in inside:
        return None
    inner = [_codes(each, (*inside, id(function))) for each in _held(function)]
    return [_code(function.__code__), [each for each in inner if each]]


def _state(value: Any, inside: tuple[int, ...]) -> Any:
    """What a copy of the object would be made of."""
    try:
        state = value.__reduce_ex__(4)
    except Exception:  # not made to be copied; whatever its class raises
        return uuid4().hex
    if isinstance(state, str):
        return [type(value).__qualname__, state]
    parts = [list(part) if isinstance(part, Iterator) else part for part in state]
    return [described(part, inside) for part in parts]


def _module(name: str, module: nn.Module, inside: tuple[int, ...]) -> Any:
    own = {
        key: part
        for key, part in vars(module).items()
        if key not in EVERY_MODULE and not type(part).__module__.startswith(GENERATION)
    }
    if isinstance(module, fx.GraphModule):  # what it does is its code, of constants and functions
        own = {key: part for key, part in own.items() if isinstance(part, Tensor)}
        called = ((node.name, node.target) for node in module.graph.nodes)
        own |= {name: target for name, target in called if inspect.isfunction(target)}
    hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    code = module.code if isinstance(module, fx.GraphModule) else ""
    content = [described(own, inside), described(hooks, inside), described(tensors)]
    return [name, _class(type(module)), code, *content]


def _outside(kind: type) -> bool:
    """Of torch and Python: those have versions."""
    return kind.__module__.partition(".")[0] not in ("torch", "builtins", "typing", "abc")
