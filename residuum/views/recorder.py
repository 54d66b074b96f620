"""The recording of one forward pass, operation by operation."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from ..errors import UsageError
from .inputs import tensors
from .kinds import classify, is_factory, reduces, require_types
from .operations import Frame, Operation, Trace
from .sums import Call, Place, Running

Source = int | frozenset[str]  # the operation that made a tensor, or the parameters it is made of
QUANTISED = (torch.qint8, torch.quint8, torch.qint32)
# outputs that each are the result
SEVERAL = ("norm", "attention", "pool", "layout", "weight", "reduced")


class Recorder(TorchDispatchMode):
    """Writes down every operation below autograd.

    A tensor is known by itself, not by its memory, which is used again; what was written into a
    memory through another tensor is followed by the memory (held by a weak reference, so that its
    number is not given to another).
    """

    def __init__(self, trace: Trace, running: Running, named: Mapping[str, Tensor]):
        super().__init__()
        self.trace, self.running, self.named = trace, running, named
        self.names: dict[int, str] = {}
        for name, tensor in named.items():
            self.names.setdefault(id(tensor), name)
        self.known: dict[int, tuple[weakref.ref[Tensor], Source]] = {}
        self.written: dict[int, tuple[StorageWeakRef, int, int]] = {}
        self.call: tuple[Place | None, tuple[int | None, ...]] = (None, ())
        self.inside = False
        self.starts: list[int] = []
        running.entered = lambda frame: self.starts.append(len(trace.operations))
        running.left = self._left

    def called(self, place: Place, call: Call) -> Any:
        """A summing call: what is recorded in it belongs to its place."""
        sources = [self.look(tensor) for tensor in call.tensors]
        self.call = place, tuple(s if isinstance(s, int) else None for s in sources)
        try:
            return call.run()
        finally:
            self.call = (None, ())

    def whole(self, call: Call) -> Any:
        """A recurrence is one layer: some are taken apart below, into sums that nobody can answer
        otherwise."""
        sources = [self.look(tensor) for tensor in call.tensors]
        self.inside = True
        try:
            output = call.run()
        finally:
            self.inside = False
        names = frozenset[str]().union(*(s for s in sources if not isinstance(s, int)))
        inputs = tuple(dict.fromkeys(s for s in sources if isinstance(s, int)))
        leaves = tree_flatten((call.args, call.kwargs))[0]
        constants = (len(sources), *(leaf for leaf in leaves if not isinstance(leaf, Tensor)))
        for tensor in tensors(output):
            told = (inputs, tensor, names, (call.name, *constants))
            self.made(tensor, self.new("weight", *told) if inputs else names)
        return output

    def _left(self, frame: Frame, output: Any) -> None:
        self.trace.spans[frame] = (self.starts.pop(), len(self.trace.operations))
        for number, tensor in enumerate(tensors(output)):
            if isinstance(source := self.look(tensor), int):
                self.trace.results.setdefault(source, []).append((frame, number))

    # ---- where a tensor came from ----

    def look(self, tensor: Tensor) -> Source:
        source: Source = frozenset()
        if id(tensor) in self.names:
            source = frozenset([self.names[id(tensor)]])
        elif (known := self.known.get(id(tensor))) and known[0]() is tensor:
            source = known[1]
        writer, whole = self._writer(tensor)
        if writer is None or (isinstance(source, int) and writer <= source):
            return source
        # somebody wrote into this memory through another tensor
        if whole:
            return self.made(tensor, self.new("layout", (writer,), tensor))
        inputs = (source, writer) if isinstance(source, int) else (writer,)
        return self.made(tensor, self.new("rewritten", inputs, tensor))

    def _writer(self, tensor: Tensor) -> tuple[int | None, bool]:
        """What wrote into its memory last, and whether into all of it."""
        storage = tensor.untyped_storage()
        reference, writer, size = self.written.get(storage._cdata, (None, 0, 0))
        if reference is None or reference.expired():
            return None, False
        return writer, size == storage.nbytes()

    def made(self, tensor: Tensor, source: Source) -> Source:
        self.known[id(tensor)] = (weakref.ref(tensor), source)
        return source

    def new(
        self,
        kind: str,
        inputs: tuple[int, ...],
        like: Tensor,
        parameters: frozenset[str] = frozenset(),
        constants: tuple[Any, ...] = (),
    ) -> int:
        number, (place, operands) = len(self.trace.operations), self.call
        module = self.running.frames[-1][0] if self.running.frames else ""
        floating = like.is_floating_point() or like.is_complex()
        self.trace.operations.append(
            Operation(
                *(number, kind, inputs, parameters, tuple(like.shape), floating, module),
                *(constants, place, operands),
            )
        )
        return number

    # ---- operations ----

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.inside:
            return func(*args, **kwargs)
        leaves = tree_flatten((args, kwargs))[0]
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        sources = [self.look(tensor) for tensor in given]
        output = func(*args, **kwargs)
        name, made = func.overloadpacket.__name__, tensors(output)
        if name.startswith("_foreach") and name.endswith("_"):
            made = tensors(args[0])  # it writes into them, and gives nothing
        if self.trace.fake:
            require_types(name, given)
        if name.startswith("quantize_per_") or any(t.dtype in QUANTISED for t in made):
            raise UsageError(
                f"{name} gives quantised integers, in which sums cannot be followed: give the "
                "model as it was before it was quantised"
            )
        parameters = frozenset[str]().union(*(s for s in sources if not isinstance(s, int)))
        if is_factory(name):
            given, sources = [], []
        if name in ("copy_", "copy") and len(sources) > 1 and isinstance(sources[1], int):
            given, sources = given[1:2], sources[1:2]
        if not any(isinstance(source, int) for source in sources):
            for tensor in made:
                self.made(tensor, parameters)
            return output
        constants = (name, *(leaf for leaf in leaves if not isinstance(leaf, Tensor)))
        for number, tensor in enumerate(made):
            some = (given, sources)
            if name.startswith("_foreach") and len(sources) % len(made) == 0:
                some = (given[number :: len(made)], sources[number :: len(made)])
            source = self._operation(constants, some, tensor, len(made), parameters)
            self.made(tensor, source)
            if func._schema.is_mutable and any(tensor is leaf for leaf in leaves):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self.written[storage._cdata] = (reference, source, tensor.nbytes)
        return output

    def _operation(
        self,
        constants: tuple[Any, ...],
        given: tuple[list[Tensor], list[Source]],
        made: Tensor,
        siblings: int,
        parameters: frozenset[str],
    ) -> int:
        """What made a tensor; some are taken apart, so that a sum is always two operands."""
        (values, sources), kind = given, classify(constants[0].removeprefix("_foreach_"))
        inputs = tuple(dict.fromkeys(s for s in sources if isinstance(s, int)))
        floats = [
            s if isinstance(s, int) else None
            for s, value in zip(sources, values, strict=True)
            if value.is_floating_point() or value.is_complex()
        ]
        first = floats[0] if floats else None
        if kind in ("sum", "mean") and first in self.trace.stacks:
            dim, pieces = self.trace.stacks[first]
            if constants[1:2] in ((dim,), (dim - len(values[0].shape),)):
                total = pieces[0]
                for piece in pieces[1:]:
                    total = self.new("add", (total, piece), made, constants=constants)
                return total
        if kind in ("lerp", "addcmul") or (
            constants[0].rstrip("_") in ("addmm", "baddbmm")
            and first is not None
            and values[0].shape == made.shape
        ):
            return self._apart(constants, floats, made, parameters)
        kind = self._refined(kind, constants, floats, values, made)
        if siblings > 1 and kind not in SEVERAL:
            kind = "slice"
        if kind in ("add", "sub"):
            first, second, *_ = (s for s in floats if s is not None)
            if constants[1:] and constants[-1] != 1:  # alpha
                second = self.new("scale", (second,), made, constants=constants)
            inputs = (first, second)
        number = self.new(kind, inputs, made, parameters, constants)
        self._stacked(number, floats, values)
        return number

    def _stacked(self, number: int, floats: list[int | None], values: list[Tensor]) -> None:
        """Tensors in a dimension of their own, by `stack`, or by `cat` of single rows; scaled ones
        still are."""
        operation = self.trace.operations[number]
        name, *rest = operation.constants
        if name in ("stack", "cat") and None not in floats:
            rank, dim = len(operation.shape), rest[0] if rest else 0
            rows = (v.ndim == rank and v.shape[dim] == 1 for v in values)
            if name == "stack" or all(rows):
                self.trace.stacks[number] = dim % rank, tuple(floats)  # type: ignore[arg-type]
        before = operation.inputs[0] if operation.kind == "scale" else None
        if before in self.trace.stacks and operation.shape == self.trace.operations[before].shape:
            self.trace.stacks[number] = self.trace.stacks[before]

    def _refined(
        self,
        kind: str,
        constants: tuple[Any, ...],
        floats: list[int | None],
        values: list[Tensor],
        made: Tensor,
    ) -> str:
        """The kind, where it depends on what the operation was given."""
        activations = sum(source is not None for source in floats)
        if reduces(constants[0], constants[1:], len(values)):
            return "reduced"
        if kind == "slice" and constants[0] == "slice" and len(constants) > 4 and constants[4] != 1:
            return "strided"
        if kind == "slice" and values[0].shape == made.shape:
            return "layout"
        if kind in ("add", "sub"):
            return kind if activations > 1 else ("bias" if len(values) > 1 else "layout")
        if kind == "mul":
            return "product" if activations > 1 else "scale"
        return kind

    def _apart(
        self,
        constants: tuple[Any, ...],
        floats: list[int | None],
        made: Tensor,
        parameters: frozenset[str],
    ) -> int:
        """h + A B, h + v A * B and h + w (F - h), as a sum of two."""
        around, *rest = floats
        some = tuple(s for s in rest if s is not None)
        if around is None or not some:
            inputs = tuple(s for s in floats if s is not None)
            return self.new("bias", inputs, made, parameters, constants)
        if constants[0].startswith("lerp"):
            gates = tuple(gate for gate in rest[1:] if gate is not None)
            kind = "product" if gates else "scale"
            around = self.new(kind, (around, *gates), made, parameters, constants)
            through = self.new(kind, some, made, parameters, constants)
        else:
            kind = "weight" if constants[0].rstrip("_").endswith("mm") else "product"
            through = self.new(kind, some, made, parameters, constants)
        return self.new("add", (around, through), made, constants=constants)
