"""A foreign model as one graph of operations, in which the sums of its units are marked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import TreeSpec

from .export import module_of, program
from .simplify import simplify
from .sums import Call, Place, Sum, answered

if TYPE_CHECKING:
    from collections.abc import Callable

    from .foreign import ForeignView

aten = torch.ops.aten


class NotCut(Exception):
    """Why a model cannot be cut at its units."""


@torch.library.custom_op("residuum::meeting", mutates_args=())
def meeting(total: Tensor, left: Tensor, unit: int) -> Tensor:
    """What a sum gives, beside what is left of it without the branch. It stands in graphs only."""
    return total.clone()


@meeting.register_fake
def _(total: Tensor, left: Tensor, unit: int) -> Tensor:
    return torch.empty_like(total)


MEETING = torch.ops.residuum.meeting.default


def marked(
    view: ForeignView, inputs: tuple[Any, ...], keywords: Mapping[str, Any]
) -> tuple[fx.GraphModule, TreeSpec, TreeSpec]:
    """The graph, and the forms of what it is given, (inputs, keywords), and of what it gives.

    Nothing in it is written in place. It shares the model's parameters. UsageError: a model that
    torch.export cannot follow. NotCut: a gate; a write that others see.
    """
    answers: dict[Place, Callable[[Call], Tensor]] = {}
    for unit in view.units:
        for each in view.sums(unit):
            if each.gated:
                raise NotCut(f"unit {unit.number} ({unit.name}) is gated")
            answers[each.place] = partial(_meet, unit.number, each)
    with answered(view.model, answers):
        found = program(view.model, inputs, keywords, functional=False)
    spec = found.call_spec
    if spec.in_spec is None or spec.out_spec is None:
        raise NotCut("its inputs have no form")
    module = module_of(found)
    _without_writes(module.graph)
    for node in list(module.graph.nodes):
        if node.target is aten.view.default:  # in another memory format it would be refused
            node.target = aten.reshape.default
        simplify(node)
    return module, spec.in_spec, spec.out_spec


def _meet(unit: int, each: Sum, call: Call) -> Tensor:
    left = each.around(call, strict=True)
    return call.put(meeting(call.run(), left, unit))


def _without_writes(graph: fx.Graph) -> None:
    """Every operation in place becomes its twin that gives a tensor of its own.

    NotCut: where another name of the memory is read later.
    """
    order = {node: number for number, node in enumerate(graph.nodes)}
    names: dict[int, list[fx.Node]] = {}
    for node in order:
        value = node.meta.get("val")
        memory = _memory(value) if isinstance(value, Tensor) else None
        schema = getattr(node.target, "_schema", None)
        if node.op == "call_function" and schema is not None and schema.is_mutable:
            _twin(node, schema, names.get(memory or 0, []), order)
        if memory is not None:
            names.setdefault(memory, []).append(node)


def _memory(tensor: Tensor) -> int:
    return StorageWeakRef(tensor.untyped_storage()).cdata


def _twin(node: fx.Node, schema: Any, names: list[fx.Node], order: Mapping[fx.Node, int]) -> None:
    written, name = node.args[0], schema.name.removeprefix("aten::")
    twin = getattr(getattr(aten, name[:-1], None), schema.overload_name or "default", None)
    writes = [a for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if not isinstance(written, fx.Node) or twin is None or name[-1] != "_" or len(writes) > 1:
        raise NotCut(f"it writes by {schema.name}")
    if written.op != "call_function":
        raise NotCut(f"it writes into {written.name}")
    here = order[node]
    others = [n for n in names if n is not written]
    if any(order[user] > here for other in others for user in other.users):
        raise NotCut(f"what {schema.name} writes into is read under another name")
    node.target = twin
    written.replace_all_uses_with(node, delete_user_cb=lambda user: order[user] > here)
