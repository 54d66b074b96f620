"""A model as a graph of operations, in which deleted branches are no longer computed.

The lesioned model is exported (torch.export), so the graph holds what a lesion leaves; what only
gave the branch its shape is simplified away, and what no output depends on is thrown out with its
parameters.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from ..errors import UsageError, out_of_memory
from ..views.edits import at_rest, device_of
from ..views.inputs import tensors, to_device
from ..views.trace import untouched

aten = torch.ops.aten
Rule = Callable[[fx.Node], fx.Node | None]


def exported(
    model: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any]
) -> torch.export.ExportedProgram:
    """The model in evaluation mode, as it runs now: inside `view.edited`, with its lesions.

    The first dimension of every tensor may have another length than here, where the model allows
    it. UsageError: a model that torch.export cannot follow, in its words.
    """
    inputs, keywords = to_device(of_two((inputs, dict(keywords))), device_of(model))
    shapes = batch_dimensions(model, inputs, keywords)
    try:
        with torch.no_grad(), at_rest(model), untouched(model), without_cache(model):
            program = torch.export.export(
                model, inputs, keywords, dynamic_shapes=shapes, strict=False
            )
            program = program.run_decompositions({})  # functional: nothing is written in place
    except Exception as error:
        if out_of_memory(error):
            raise
        raise UsageError(
            f"torch.export cannot follow {type(model).__name__} ({said(error)}). Its units can be "
            "deleted by `view.edited`, but not removed"
        ) from error
    for node in program.graph.nodes:
        if node.target is aten.view.default:  # of a batch of one, strides may be others
            node.target = aten.reshape.default
    return program


def said(error: BaseException) -> str:
    """By a library, in one line."""
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first[:300]}"


def batch_dimensions(model: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """For torch.export: the first dimension of every tensor may have another length.

    Of inputs in order, or, where there are keywords, of all by the names of the forward.
    """
    free = tree_map(
        lambda leaf: {0: torch.export.Dim.AUTO} if isinstance(leaf, Tensor) and leaf.ndim else None,
        (tuple(inputs), dict(keywords)),
    )
    if not keywords:
        return free[0]
    names = inspect.signature(model.forward).parameters
    return dict(zip(names, free[0], strict=False)) | free[1]


def of_two(value: Any) -> Any:
    """The same inputs, twice where they hold one example: of one, the batch would be fixed."""
    found = [leaf for leaf in tensors(value) if leaf.ndim]
    if not found or any(len(leaf) != 1 for leaf in found):
        return value
    return tree_map(
        lambda leaf: torch.cat([leaf, leaf]) if isinstance(leaf, Tensor) and leaf.ndim else leaf,
        value,
    )


@contextmanager
def without_cache(model: nn.Module) -> Iterator[None]:
    """Models of transformers give no `past_key_values`, which are no output to be compared."""
    found = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    caching = [c for c in found.values() if getattr(c, "use_cache", False)]
    try:
        for config in caching:
            config.use_cache = False
        yield
    finally:
        for config in caching:
            config.use_cache = True


def pruned(program: torch.export.ExportedProgram) -> fx.GraphModule:
    """A module of what the outputs depend on, with parameters and buffers of its own."""
    module = program.module(check_guards=False)
    graph = module.graph
    for node in list(graph.nodes):
        _simplify(node)
    graph.eliminate_dead_code(is_impure_node=_kept)
    graph.lint()
    small = copy.deepcopy(fx.GraphModule(module, graph, class_name="Removed"))
    return small.eval().requires_grad_(True)  # type: ignore[return-value]


def _kept(node: fx.Node) -> bool:
    """Inputs, outputs, and writing into a buffer. Not kept, unlike torch's own rule: random
    operations, assertions and the attention and activation functions that it calls impure."""
    return node.op in ("placeholder", "output") or node.target is aten.copy_.default


# ---- what only gave a branch its shape ----


def _simplify(node: fx.Node) -> None:
    """Lets those that read the node read what it equals instead."""
    rule = _RULES.get(node.target)
    same = None if rule is None else rule(node)
    if same is not None:
        node.replace_all_uses_with(same)


def _alike(a: fx.Node, b: fx.Node) -> bool:
    """Of one shape and type."""
    x, y = a.meta.get("val"), b.meta.get("val")
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return False
    return x.dtype == y.dtype and x.ndim == y.ndim and all(map(_same_size, x.shape, y.shape))


def _same_size(a: Any, b: Any) -> bool:
    return str(a) == str(b)  # symbolic ones too, without asking for a guard


def _zeros(value: Any) -> bool:
    return isinstance(value, fx.Node) and value.target is aten.zeros_like.default


def _added(node: fx.Node) -> fx.Node | None:
    """h + 0 and h - 0 are h, 0 + c h is c h."""
    first, second = node.args[:2]
    if _zeros(second) and isinstance(first, fx.Node) and _alike(node, first):
        return first
    if not (_zeros(first) and isinstance(second, fx.Node) and _alike(node, second)):
        return None
    factor: Any = node.kwargs.get("alpha", 1)
    factor = factor if node.target is aten.add.Tensor else -factor
    return second if factor == 1 else _put(node, aten.mul.Tensor, second, factor)


def _with_product(node: fx.Node) -> fx.Node | None:
    """h + a b, one of the two zero, is h."""
    first, *product = node.args[:3]
    nothing = any(map(_zeros, product)) and node.kwargs.get("beta", 1) == 1
    if nothing and isinstance(first, fx.Node) and _alike(node, first):
        return first
    return None


def _copied(node: fx.Node) -> fx.Node | None:
    """What is written over a tensor of the same shape."""
    over, value = node.args[:2]
    assert isinstance(over, fx.Node)
    assert isinstance(value, fx.Node)
    return value if _alike(over, value) else None


def _cut_from_stack(node: fx.Node) -> fx.Node | None:
    """One of those that were stacked, taken out again."""
    cut: Any = (*node.args, 0, 0, None)
    stack, dim, start, end = cut[:4]
    if not isinstance(stack, fx.Node) or stack.target is not aten.stack.default:
        return None
    stacked: Any = (*stack.args, 0)
    parts, along = stacked[:2]
    ndim = node.meta["val"].ndim
    if len(node.args) > 4 or not isinstance(start, int) or end != start + 1:
        return None
    if dim % ndim != along % ndim:
        return None
    return _put(node, aten.unsqueeze.default, parts[start], dim)


def _put(node: fx.Node, operation: Any, *args: Any) -> fx.Node:
    """An operation that gives what the node gives, ahead of it."""
    with node.graph.inserting_before(node):
        made = node.graph.call_function(operation, args)
    made.meta["val"] = node.meta["val"]
    return made


_RULES: dict[Any, Rule] = {
    aten.add.Tensor: _added,
    aten.sub.Tensor: _added,
    aten.addcmul.default: _with_product,
    aten.addmm.default: _with_product,
    aten.baddbmm.default: _with_product,
    aten.copy.default: _copied,
    aten.slice.Tensor: _cut_from_stack,
}
