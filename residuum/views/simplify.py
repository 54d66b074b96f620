"""Operations of a graph that change nothing: what only gave a deleted branch its shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten
Rule = Callable[[fx.Node], fx.Node | None]


def simplify(node: fx.Node) -> None:
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
