"""A foreign model cut at its units: pieces of its graph of operations, prepared for many passes.

Behind unit i, the operations are those that some sum of the units 0 to i was made from, and the
rest. What the rest reads of the first is the signal; each of its tensors must hold one example a
row. Constants and what follows from the number of examples alone stand in every piece that needs
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from operator import getitem
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_flatten, tree_structure, tree_unflatten

from ..errors import UsageError
from . import fold
from .edits import device_of
from .inputs import to_device
from .marks import MEETING, NotCut, marked
from .view import KEEP, Delete, Edit, Keep, Signal

if TYPE_CHECKING:
    from .foreign import ForeignView
    from .inputs import Inputs

aten = torch.ops.aten


class ForeignStages:
    """A model cut at its units (`views.view.Stages`), for inputs like those that it was cut with.

    Batch normalisation is folded into convolutions, memory is channels-last, as in `views.fold`, so
    outputs agree with plain passes to float rounding. Units are kept or deleted; others of the
    edits are not known here. NotCut, UsageError: why it cannot be cut.
    """

    def __init__(self, view: ForeignView, inputs: Inputs):
        if any(p.dtype.itemsize < 4 for p in view.model.parameters() if p.is_floating_point()):
            raise NotCut("in half precision, rounding would be too coarse")
        if not view.units:
            raise NotCut("it has no units")
        self.device = device_of(view.model)
        self.module, self.given, self.gives = marked(view, *_call(inputs))
        if tree_structure(_call(inputs)) != self.given:
            raise NotCut("torch.export takes its inputs in another form")
        self.images = fold.graph(self.module)
        self.pieces = _Pieces(self.module, len(view.units))
        self.functions: dict[tuple[int, bool], fx.GraphModule] = {}
        for place in range(-1, len(view.units) + 1):
            self._function(place, False)

    def allows(self, edit: Edit) -> bool:
        return isinstance(edit, Keep | Delete)

    def begin(self, inputs: Inputs) -> Signal:
        given = _call(to_device(inputs, self.device))
        found = [leaf for leaf in tree_flatten(given)[0] if isinstance(leaf, Tensor)]
        shapes = [tuple(tensor.shape[1:]) for tensor in found]
        if tree_structure(given) != self.given or shapes != self.pieces.shapes:
            raise UsageError("these inputs are not like those that the model was cut with")
        if self.images:
            found = [fold.channels_last(tensor) for tensor in found]
        return tuple(self._function(-1, False)(*found))

    def step(self, place: int, signal: Signal, edit: Edit = KEEP) -> Signal:
        return tuple(self._function(place, isinstance(edit, Delete))(*signal))

    def finish(self, signal: Signal) -> Any:
        last = len(self.pieces.live) - 1
        return tree_unflatten(self._function(last, False)(*signal), self.gives)

    def _function(self, place: int, deleted: bool) -> fx.GraphModule:
        if (place, deleted) not in self.functions:
            graph = self.pieces.graph(place, deleted)
            self.functions[place, deleted] = fx.GraphModule(self.module, graph)
        return self.functions[place, deleted]


def _call(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the model is called with."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs,) if isinstance(inputs, Tensor) else tuple(inputs), {}


class _Pieces:
    """Which operations lie between two units.

    `live`: the signal ahead of every unit, and behind the last. `moving`: what depends on the
    examples, `used`: what the output depends on.
    """

    def __init__(self, module: fx.GraphModule, units: int):
        nodes = list(module.graph.nodes)
        self.order = {node: number for number, node in enumerate(nodes)}
        self.output = nodes[-1]
        self.outputs: list[fx.Node] = list(self.output.args[0])  # type: ignore[arg-type]
        self.inputs = [
            n for n in nodes if n.op == "placeholder" and isinstance(n.meta.get("val"), Tensor)
        ]
        self.shapes = [tuple(node.meta["val"].shape[1:]) for node in self.inputs]
        self.batch = {str(n.meta["val"].shape[0]) for n in self.inputs if n.meta["val"].ndim}
        self.moving = set[fx.Node]()
        for node in nodes:
            if not self._size(node) and (
                node in self.inputs or not self.moving.isdisjoint(node.all_input_nodes)
            ):
                self.moving.add(node)
        self.used = self._needed(self.outputs, set()) & self.moving
        self.live = list(self._signals(units))
        for each in (self.inputs, *self.live, self.outputs):
            self._require_rows(each)

    def graph(self, place: int, deleted: bool) -> fx.Graph:
        """From the signal ahead of a unit to that behind it; of place -1 from the inputs, of the
        place behind the last to the outputs."""
        given = self.inputs if place < 0 else self.live[place]
        last = place + 1 == len(self.live)
        wanted = self.outputs if last else self.live[place + 1]
        graph = fx.Graph()
        copies = {node: graph.placeholder(node.name) for node in given}
        for node in self._sorted(self._needed(wanted, set(given), deleted)):
            if node.op == "placeholder":
                raise NotCut(f"unit {place} reads {node.name} again")
            if node.target is MEETING:
                copies[node] = copies[node.args[deleted]]  # type: ignore[index]
            elif self._size(node) and node.target is aten.sym_size.int:
                copies[node] = graph.call_function(aten.sym_size.int, (copies[given[0]], 0))
            else:
                copies[node] = graph.node_copy(node, copies.__getitem__)
        fold.in_place(graph, {copies[node] for node in wanted})
        graph.output([copies[node] for node in wanted])
        return graph

    def _signals(self, units: int) -> Iterator[list[fx.Node]]:
        """Ahead of the first unit stands what is left of it without its branch."""
        marks: dict[int, list[fx.Node]] = {number: [] for number in range(units)}
        for node in self._sorted(n for n in self.used if n.target is MEETING):
            marks[node.args[2]].append(node)  # type: ignore[index]
        if not all(marks.values()):
            raise NotCut("its output does not depend on every unit")
        past = set[fx.Node]()
        for number, ends in enumerate([[marks[0][0].args[1]], *marks.values()]):
            if number and not past.isdisjoint(ends):
                raise NotCut(f"unit {number - 1} is needed ahead of its place")
            past |= self._needed(ends, past) & self.moving  # type: ignore[arg-type]
            past |= {user for node in past for user in node.users if user.target is getitem}
            ahead = (self.used - past) | {self.output}
            yield self._sorted(node for node in past if not ahead.isdisjoint(node.users))

    def _needed(
        self, wanted: Iterable[fx.Node], known: Set[fx.Node], deleted: bool | None = None
    ) -> set[fx.Node]:
        """What they are made from, themselves too, but for what is known. Of sums both sides, or
        one where it is said which."""
        found, left = set[fx.Node](), [node for node in wanted if isinstance(node, fx.Node)]
        while left:
            node = left.pop()
            if node in found or node in known:
                continue
            found.add(node)
            if node.target is MEETING and deleted is not None:
                left.append(node.args[deleted])  # type: ignore[arg-type]
            elif not (self._size(node) and node.target is aten.sym_size.int):
                left += node.all_input_nodes
        return found

    def _size(self, node: fx.Node) -> bool:
        """Whether it follows from the number of examples. NotCut: a size that depends on values."""
        value = node.meta.get("val")
        if not isinstance(value, torch.SymInt | torch.SymBool | torch.SymFloat):
            return False
        if not {str(s) for s in value.node.expr.free_symbols} <= self.batch:
            raise NotCut("a size depends on values")
        return True

    def _sorted(self, nodes: Iterable[fx.Node]) -> list[fx.Node]:
        return sorted(nodes, key=self.order.__getitem__)

    def _require_rows(self, signal: Sequence[fx.Node]) -> None:
        """NotCut: what does not hold one example a row, for any number of them."""
        for node in signal:
            value = node.meta.get("val") if isinstance(node, fx.Node) else None
            if not isinstance(value, Tensor) or not value.ndim:
                raise NotCut("not only tensors pass between its units")
            if (
                not isinstance(value.shape[0], torch.SymInt)
                or str(value.shape[0]) not in self.batch
            ):
                raise NotCut(f"{node.name} {tuple(value.shape)} does not hold one example a row")
