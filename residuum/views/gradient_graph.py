"""What autograd keeps of a pass with gradients, as a graph of results: it knows parameters, no
submodules and no integers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import get_gradient_edge
from torch.overrides import TorchFunctionMode

from .inputs import changed, tensors
from .sums import RECURRENT, eager, name_of

Edge = tuple[Any, int]  # a node of autograd and which of its results

SAME = (
    "View UnsafeView ReshapeAlias ReshapeCopy Permute Transpose T Expand Squeeze Unsqueeze Clone"
    " ToCopy Copy Roll AsStrided NativeDropout Alias Contiguous ViewAsReal ViewAsComplex"
)
CHEAP = (
    "Relu Gelu Silu Tanh Sigmoid Hardswish Hardtanh Hardsigmoid Elu LeakyRelu PreluKernel Mish"
    " Softplus Threshold Clamp ClampMin Mean Rsqrt Pow Sqrt ConstantPadNd ReflectionPad2D"
    " ReplicationPad2D PixelShuffle PixelUnshuffle Exp Abs"
)
PARTS = "Slice Select Narrow Split SplitWithSizes UnsafeSplit Unbind Chunk"
KINDS = {
    **dict.fromkeys(SAME.split(), "same"),
    **dict.fromkeys(CHEAP.split(), "cheap"),
    **dict.fromkeys(PARTS.split(), "part"),
    **{"Add": "add", "Sub": "sub", "Rsub": "sub", "Mul": "product", "Div": "product"},
    **{"Neg": "scale", "Stack": "stack"},
}
VALUELESS = re.compile(r"_like$|^new_")  # of an activation they read the shape alone
REDUCING = ("Sum", "Amax", "Amin", "Max", "Min", "Logsumexp")
PATTERNS = {
    "cheap": re.compile(r"(Batch|Layer|Group|Instance|Rms)Norm|Pool|Upsample|GridSampler"),
    "layer": re.compile(r"Conv|^Linear|^(Add|Ba?dd|B)?b?[Mm]m$|GroupedMm|Lstm|Gru|Rnn"),
}


@dataclass
class Node:
    """One result of one operation: of what results it was made, of which parameters besides."""

    kind: str
    inputs: tuple[int, ...] = ()
    parameters: frozenset[str] = frozenset()
    word: str = ""


@dataclass
class Graph:
    """In an order in which every node follows its inputs. `tables`: parameters that integers choose
    from. `hidden`: what autograd does not tell of this pass, in words."""

    nodes: list[Node] = field(default_factory=list)
    tables: frozenset[str] = frozenset()
    hidden: set[str] = field(default_factory=set)
    parameters: frozenset[str] = frozenset()


def has_gradients(tensor: Tensor) -> bool:
    """Whether it is of a type that can have them: floating or complex."""
    return tensor.is_floating_point() or tensor.is_complex()


@contextmanager
def _asking(model: nn.Module) -> Iterator[dict[int, str]]:
    """Every floating parameter asks for gradients. Their names by identity."""
    flags = [(p, p.requires_grad) for p in model.parameters() if has_gradients(p)]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_()
        yield {id(p): name for name, p in model.named_parameters()}
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def graph(model: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any]) -> Graph:
    """Of one pass in the mode that the model is in. No gradient is computed."""
    from .trace import results

    leaves, chosen = dict[int, Tensor](), _Chosen()

    def leaf(tensor: Tensor) -> Tensor:
        if not has_gradients(tensor):
            return chosen.tell(tensor.clone())
        made = tensor.detach().clone().requires_grad_()
        leaves[id(made)] = made
        return made.clone()  # a leaf must not be written into

    with torch.inference_mode(False), torch.enable_grad(), eager(), _asking(model) as names:
        given, named = changed((inputs, dict(keywords)), leaf)
        with chosen, warnings.catch_warnings():
            # a model may ask for values, which torch tells of where there are gradients
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True")
            output = model(*given, **named)
        ends = [(t.grad_fn, t.output_nr) for t in results(output) if t.grad_fn is not None]
        found = _Builder(names, leaves, chosen).built(ends)
    if chosen.cut:
        found.hidden.add("what is made of an activation has no gradient (detach, no_grad)")
    return found


class _Chosen(TorchFunctionMode):
    """Follows integers from the inputs to the tables that they choose from. `by`: autograd's nodes
    of these choices. `cut`: something was made of an activation and autograd does not know it.
    `whole`: of what a recurrence gave, what it was made of, since autograd may know its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.integers: dict[int, Tensor] = {}  # held, so that no number is given again
        self.by: set[Any] = set()
        self.cut = False
        self.whole: dict[Edge, list[Edge]] = {}

    def tell(self, tensor: Tensor) -> Tensor:
        self.integers[id(tensor)] = tensor
        return tensor

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        given = tensors((args, kwargs or {}))
        if name_of(func) in RECURRENT:
            edges = [_edge(tensor) for tensor in given if tensor.requires_grad]
            self.whole |= {_edge(t): edges for t in tensors(output) if t.grad_fn is not None}
        made_of = any(tensor.grad_fn is not None for tensor in given)
        if made_of and not VALUELESS.search(name_of(func)):
            made = [tensor for tensor in tensors(output) if has_gradients(tensor)]
            self.cut |= any(not tensor.requires_grad for tensor in made)
        if any(id(tensor) in self.integers for tensor in given):
            written = given[:1] if func.__name__ == "__setitem__" else []
            for tensor in [*tensors(output), *written]:
                if has_gradients(tensor):
                    self.by.add(tensor.grad_fn)
                else:
                    self.tell(tensor)
        return output


def _edge(tensor: Tensor) -> Edge:
    node, number, *_ = get_gradient_edge(tensor)
    return node, number


class _Builder:
    """Numbers the results of autograd's nodes; what is made of parameters alone is no node."""

    def __init__(self, names: Mapping[int, str], leaves: Container[int], told: _Chosen):
        self.names, self.leaves, self.graph = names, leaves, Graph()
        self.chosen, self.whole = told.by, told.whole
        self.known: dict[Edge, int | frozenset[str]] = {}
        self.stacks: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.rows: dict[int, int] = {}  # what has a dimension of one, and which

    def built(self, ends: list[Edge]) -> Graph:
        todo = [(edge, False) for edge in ends]
        while todo:
            edge, ready = todo.pop()
            if edge in self.known:
                continue
            if ready:
                self.known[edge] = self._result(edge)
                continue
            before = [e for e in self._before(edge) if e[0] is not None]
            todo += [(edge, True), *((e, False) for e in before if e not in self.known)]
        sources = self.known.values()
        inner = frozenset[str]().union(*(n.parameters for n in self.graph.nodes))
        self.graph.parameters = inner.union(*(s for s in sources if not isinstance(s, int)))
        return self.graph

    def _before(self, edge: Edge) -> Sequence[Edge]:
        return self.whole[edge] if edge in self.whole else edge[0].next_functions

    def _new(
        self,
        kind: str,
        inputs: tuple[int, ...] = (),
        parameters: frozenset[str] = frozenset(),
        word: str = "",
    ) -> int:
        self.graph.nodes.append(Node(kind, inputs, parameters, word))
        return len(self.graph.nodes) - 1

    def _result(self, edge: Edge) -> int | frozenset[str]:
        node, number = edge
        name = node.name().rsplit("::", 1)[-1]
        if name == "AccumulateGrad":
            if id(node.variable) in self.leaves:
                return self._new("input")
            name = self.names.get(id(node.variable))
            return frozenset([name] if name else [])
        word = re.sub(r"Backward\d*[A-Za-z]*$", "", name)
        if isinstance(node, BackwardCFunction):
            self.graph.hidden.add(f"{word}, an autograd.Function, hides what it computes")
            word = ""
        elif word == "CopySlices":
            self.graph.hidden.add("a write into a part of a tensor hides what is written")
        if edge in self.whole:
            word = "Rnn"
        sources = [self.known.get(e) for e in self._before(edge)]
        if word.startswith("Foreach") and len(sources) % 2 == 0:
            word, sources = word.removeprefix("Foreach"), sources[number :: len(sources) // 2]
        made = tuple(s for s in sources if isinstance(s, int))
        names = frozenset[str]().union(*(s for s in sources if isinstance(s, frozenset)))
        if word.startswith("Embedding") and node in self.chosen:
            self.graph.tables |= names
            return self._new("table", (), frozenset(), word)
        return self._operation(node, word, sources, made, names) if made else names

    def _operation(
        self, node: Any, word: str, sources: list[Any], made: tuple[int, ...], names: frozenset[str]
    ) -> int:
        """Sums of more than two are taken apart."""
        kind = KINDS.get(word) or next((k for k, p in PATTERNS.items() if p.search(word)), word)
        first = sources[0]
        if word in ("Sum", "Mean") and made[0] in self.stacks:
            dim, pieces = self.stacks[made[0]]
            rank = len(node._saved_self_sym_sizes)
            if [_signed(d) % rank for d in node._saved_dim or ()] == [_signed(dim) % rank]:
                total = pieces[0]
                for piece in pieces[1:]:
                    total = self._new("add", (total, piece))
                return total
        if word in ("Lerp", "Addcmul", "Addmm", "Baddbmm") and isinstance(first, int) and made[1:]:
            gates = made[2:] if word == "Lerp" else ()
            scaled = "product" if gates else "scale"
            around = self._new(scaled, (first, *gates)) if word == "Lerp" else first
            kind = "layer" if word.endswith("mm") else scaled if word == "Lerp" else "product"
            return self._new("add", (around, self._new(kind, made[1:], names, word)))
        if word in REDUCING and hasattr(node, "_saved_dim"):  # over some dimensions
            kind = "cheap"
        if kind == "part" and word == "Slice":
            kind = _slice(node)
        if kind in ("add", "sub", "product"):
            if len(made) == 1:
                kind = "scale" if kind == "product" else "bias"
            elif getattr(node, "_saved_alpha", 1) != 1:
                made = (made[0], self._new("scale", made[1:]))
        number = self._new(kind, made, names, word)
        if word == "Unsqueeze":
            self.rows[number] = _signed(node._saved_dim)
        single = {self.rows.get(m) for m in made}  # None: as many rows as it likes
        rows = word == "Cat" and len(single) == 1 and None not in single
        if (kind == "stack" or rows) and len(made) == len(sources):
            self.stacks[number] = (node._saved_dim, made)
        elif kind == "scale" and made[0] in self.stacks:
            self.stacks[number] = self.stacks[made[0]]
        return number


def _signed(dim: int) -> int:
    """Of a dimension, which is saved without its sign."""
    return dim - 2**64 if dim >= 2**63 else dim


def _slice(node: Any) -> str:
    size = node._saved_self_sym_sizes[_signed(node._saved_dim)]
    start, end, step = node._saved_start, node._saved_end, node._saved_step
    if step not in (None, 1):
        return "cheap"
    whole = (start or 0) in (0, -size) and (end is None or end >= size)
    return "same" if whole else "part"
