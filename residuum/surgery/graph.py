"""A model as a graph of operations, in which deleted branches are no longer computed.

The lesioned model is exported (torch.export), so the graph holds what a lesion leaves; what only
gave the branch its shape is simplified away, and what no output depends on is thrown out with its
parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from ..errors import ExportError, UsageError
from ..views.export import module_of, program
from ..views.simplify import simplify

aten = torch.ops.aten


def exported(
    model: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any]
) -> torch.export.ExportedProgram:
    """`views.export.program`, whose views may be of a batch of one, of which strides may be others.

    ExportError: a model that torch.export cannot follow, in its words. UsageError: one that gives
    no tensor.
    """
    try:
        found = program(model, inputs, keywords)
    except UsageError as error:
        raise ExportError(str(error)) from error
    if not any(isinstance(name, str) for name in found.graph_signature.user_outputs):
        raise UsageError(f"{type(model).__name__} gives no tensor, so there is nothing to write")
    for node in found.graph.nodes:
        if node.target is aten.view.default:
            node.target = aten.reshape.default
    return found


def pruned(program: torch.export.ExportedProgram) -> fx.GraphModule:
    """A module of what the outputs depend on, with parameters and buffers of its own."""
    module = module_of(program)
    graph = module.graph
    for node in list(graph.nodes):
        simplify(node)
    graph.eliminate_dead_code(is_impure_node=_kept)
    graph.lint()
    small = copy.deepcopy(fx.GraphModule(module, graph, class_name="Removed"))
    return small.eval().requires_grad_(True)  # type: ignore[return-value]


def _kept(node: fx.Node) -> bool:
    """Inputs, outputs, and writing into a buffer. Not kept, unlike torch's own rule: random
    operations, assertions and the attention and activation functions that it calls impure."""
    return node.op in ("placeholder", "output") or node.target is aten.copy_.default
