"""Where a model adds: every call of a summing function in a forward pass has a place of its own, by
which it is found again in later passes and answered otherwise.

Two global hooks tell which submodule runs, a `TorchFunctionMode` sees the calls; the model itself
is not changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..errors import UsageError
from .kinds import words

SUMMING = words(
    "add add_ __add__ __iadd__ __radd__ sub sub_ __sub__ __isub__ __rsub__ rsub subtract lerp lerp_"
    " addcmul addcmul_ addmm addmm_ baddbmm baddbmm_ sum mean"
)
PRODUCTS = words("mul mul_ __mul__ __imul__ __rmul__ multiply")
IN_PLACE = words("__iadd__ __isub__ __imul__")
REDUCING = words("sum mean")
RECURRENT = words("lstm gru rnn_tanh rnn_relu")  # over a whole sequence, one call


def name_of(function: Any) -> str:
    """Without the overload that a graph of operations names: `aten.add.Tensor` is an add."""
    return getattr(function, "__name__", "").partition(".")[0]


class Place(NamedTuple):
    """The n-th call of a function in the n-th call of a submodule, counted from 0."""

    module: str
    call: int
    function: str
    ordinal: int


@dataclass(frozen=True)
class Call:
    """One call of a summing function (or of a product), not yet made."""

    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def name(self) -> str:
        return name_of(self.function)

    @property
    def tensors(self) -> list[Tensor]:
        return [t for t in tree_flatten((self.args, self.kwargs))[0] if isinstance(t, Tensor)]

    @property
    def in_place(self) -> bool:
        return self.name in IN_PLACE or (self.name[-1] == "_" and self.name[-2] != "_")

    def run(self) -> Tensor:
        return self.function(*self.args, **self.kwargs)

    def put(self, value: Tensor) -> Tensor:
        """The value as the call would give it: written into its first tensor by one in place."""
        first = self.tensors[0]
        if not self.in_place or value is first:
            return value
        return first.copy_(value)

    def alike(self, value: Tensor) -> Tensor:
        """A copy in the shape of the call's result."""
        return value.expand(torch.broadcast_shapes(*(t.shape for t in self.tensors))).clone()

    def without(self, numbers: Collection[int]) -> Tensor:
        """What the call gives with zeros for some of its tensors; its own stay as they are."""
        return self.changed({i: torch.zeros_like(self.tensors[i]) for i in numbers})

    def changed(self, values: Mapping[int, Tensor]) -> Tensor:
        """What the call gives with other values for some of its tensors."""
        flat, form = tree_flatten((self.args, self.kwargs))
        at = [i for i, leaf in enumerate(flat) if isinstance(leaf, Tensor)]
        for number, value in values.items():
            flat[at[number]] = value
        if self.in_place and 0 not in values:
            flat[at[0]] = flat[at[0]].clone()
        args, kwargs = tree_unflatten(flat, form)
        return self.function(*args, **kwargs)


@dataclass(frozen=True)
class Sum:
    """A sum of shortcut and branch: where it is, and which of its tensors is the shortcut.

    `shape`: of what it gave on the example inputs. `stacked`: of a sum over stacked tensors (its
    only one), the dimension that they are stacked in; `shortcut` is then the index there. `gated`:
    it is h + T (F - h), or a sum of products of which `product` makes the shortcut, T' h, from its
    tensor `carried`.
    """

    place: Place
    shortcut: int
    shape: tuple[int, ...]
    stacked: int | None = None
    gated: bool = False
    product: Place | None = None
    carried: int = 0

    def around(self, call: Call, strict: bool = False) -> Tensor:
        """m(h, 0): what the call gives without the branch, in a tensor of its own, which the model
        may write into. Without `strict`, a gate gives h."""
        if self.stacked is not None:
            return self._alone(call, self.stacked)
        if self.gated and not strict:
            return call.alike(call.tensors[self.shortcut])
        if call.name.strip("_") == "lerp":  # its third tensor is the gate
            return call.without([1])
        return call.without([i for i in range(len(call.tensors)) if i != self.shortcut])

    def through(self, call: Call) -> Tensor:
        """m(0, F): what the call gives without the shortcut."""
        if self.stacked is not None:
            return self._silenced(call, self.stacked)
        return call.without([self.shortcut])

    def _alone(self, call: Call, dim: int) -> Tensor:
        """The shortcut taken from the stack; nothing else is read."""
        stack = call.tensors[0]
        alone = call.changed({0: stack.narrow(dim, self.shortcut, 1)})
        return alone / stack.shape[dim] if call.name == "mean" else alone

    def _silenced(self, call: Call, dim: int) -> Tensor:
        """Zeros in the shortcut's place in the stack."""
        stack = call.tensors[0]
        chosen = torch.arange(stack.shape[dim], device=stack.device) == self.shortcut
        chosen = chosen.view(*[-1 if d == dim else 1 for d in range(stack.ndim)])
        return call.changed({0: torch.where(chosen, 0, stack)})


Answer = Callable[[Place, Call], Tensor]


class Running:
    """Which submodule of the model runs now, in its how manieth call."""

    def __init__(self, model: nn.Module):
        self.model, self.names = model, dict[int, str]()
        for name, module in model.named_modules(remove_duplicate=False):
            self.names.setdefault(id(module), name)
        self.frames: list[tuple[str, int]] = []
        self.calls = Counter[str]()
        self.begun: Callable[[], None] = lambda: None  # a forward pass of the whole model
        self.entered: Callable[[tuple[str, int]], None] = lambda frame: None
        self.left: Callable[[tuple[str, int], Any], None] = lambda frame, output: None

    def _enter(self, module: nn.Module, args: Any) -> None:
        name = self.names.get(id(module))
        if name is None:
            return
        if module is self.model and not self.frames:
            self.calls.clear()
            self.begun()
        self.frames.append((name, self.calls[name]))
        self.calls[name] += 1
        self.entered(self.frames[-1])

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if id(module) in self.names and self.frames:
            self.left(self.frames.pop(), output)

    @contextmanager
    def watched(self) -> Iterator[Running]:
        hooks = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()


class Sums(TorchFunctionMode):
    """Gives every call of a summing function its place; `answer` says what comes back, `whole` what
    comes back of a recurrence, whose own sums have no place."""

    def __init__(self, running: Running, answer: Answer, whole: Callable[[Call], Any] = Call.run):
        super().__init__()
        self.running, self.answer, self.whole = running, answer, whole
        self.seen = Counter[tuple[str, int, str]]()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        if name in RECURRENT:
            return self.whole(Call(func, args, kwargs))
        if name not in SUMMING and name not in PRODUCTS:
            return func(*args, **kwargs)
        call = Call(func, args, kwargs)
        if len(call.tensors) < (1 if name in REDUCING else 2):
            return call.run()
        frame = (*(self.running.frames or [("", 0)])[-1], name)
        place = Place(*frame, self.seen[frame])
        self.seen[frame] += 1
        return self.answer(place, call)


@contextmanager
def eager() -> Iterator[None]:
    """Every operation of the model is run as it is written: nothing compiled, and no fused pass of
    a transformer layer, in which the sums cannot be seen."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def answered(model: nn.Module, answers: Mapping[Place, Callable[[Call], Tensor]]) -> Iterator[None]:
    """Forward passes in which the calls at these places are answered so.

    UsageError: a pass in which one of the places is not reached.
    """
    running, missing = Running(model), set[Place]()

    def answer(place: Place, call: Call) -> Tensor:
        missing.discard(place)
        return answers[place](call) if place in answers else call.run()

    def left(frame: tuple[str, int], output: Any) -> None:
        if not running.frames and output is not None and missing:
            place = min(missing)
            raise UsageError(
                f"the sum in {place.module or 'the model'!r} was not reached in this pass: the "
                "model does not run as it did on the example inputs"
            )

    mode = Sums(running, answer)

    def begun() -> None:
        mode.seen.clear()
        missing.update(answers)

    running.begun, running.left = begun, left
    with eager(), running.watched(), mode:
        yield
