"""A copy of a network made for many evaluations.

It swaps parts; what a unit computes is still said in `units.py`.

Convolutions take the batch normalisation behind them into their weights, so outputs agree with a
plain forward pass to float rounding, not to the bit.
"""

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from ..parts.merges import Road, Sum
from ..units import ResidualNetwork, ResidualUnit

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
# operations that give a tensor of their own, which what comes next may write into
FRESH = (*CONVOLUTIONS, aten.batch_norm.default, aten.linear.default)
IN_PLACE = {aten.relu.default: aten.relu_.default, aten.add.Tensor: aten.add_.Tensor}


class SumInPlace(Sum):
    """h + F written into F, for branches that end in a tensor of their own."""

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        if around is None or through is None or around.shape != through.shape:
            return super().forward(around, through, z)
        return through.add_(around)


class ChannelsLast(nn.Module):
    """The images in channels-last memory, in which convolutions are fastest."""

    def forward(self, images: Tensor) -> Tensor:
        return channels_last(images)


def channels_last(images: Tensor) -> Tensor:
    if images.ndim != 4:
        return images
    return images.contiguous(memory_format=torch.channels_last)


def prepared(network: ResidualNetwork) -> ResidualNetwork:
    """The copy. Sums and activations work in place where nobody else holds the tensor.

    Only torch's own classes are touched, and only without hooks: a subclass may do anything.
    """
    twin = copy.deepcopy(network)
    for module in list(twin.modules()):
        if type(module) is nn.Sequential and not _hooked(module):
            _fold(module)
    for unit in twin.modules():
        if isinstance(unit, ResidualUnit) and type(unit.merge) is Sum and _ends_in_own(unit.branch):
            unit.merge = SumInPlace()
    if any(isinstance(m, nn.Conv2d) for m in twin.modules()):
        twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        twin.stem = nn.Sequential(ChannelsLast(), twin.stem)
    return twin


def _is(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Exactly of this class, with nothing hung on it."""
    return type(module) is kind and not _hooked(module)


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _ends_in_own(branch: nn.Module) -> bool:
    return _is(branch, nn.Sequential) and len(branch) > 0 and _is(branch[-1], nn.Conv2d)  # type: ignore[arg-type, index]


def _fold(sequence: nn.Sequential) -> None:
    """In place: each convolution takes the batch normalisation directly behind it into its weights,

    W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta, and ReLUs behind another module
    work in place.
    """
    kept: list[nn.Module] = []
    for module in sequence:
        last = kept[-1] if kept else module
        normalises = _is(module, nn.BatchNorm2d) and module.track_running_stats
        if kept and normalises and _is(last, nn.Conv2d):
            kept[-1] = fuse_conv_bn_eval(last, module)  # type: ignore[arg-type]
        elif kept and _is(module, nn.ReLU) and (_is(last, nn.Conv2d) or _is(last, nn.BatchNorm2d)):
            kept.append(nn.ReLU(inplace=True))
        else:
            kept.append(module)
    for name in list(sequence._modules):
        del sequence._modules[name]
    for module in kept:
        sequence.append(module)


# ---- the same in a graph of operations ----


def graph(module: fx.GraphModule) -> bool:
    """In place, on buffers of its own; gives whether it has convolutions over images."""
    for number, node in enumerate(list(module.graph.nodes)):
        if node.target is aten.batch_norm.default:
            _fold_node(module, node, f"folded{number}")
    found = [n for n in module.graph.nodes if n.target is aten.conv2d.default]
    for node in found:
        weight = node.args[1]
        if weight.op == "get_attr":
            turned = channels_last(_constant(module, weight).detach())
            module.register_buffer(f"turned_{node.name}", turned)
            with module.graph.inserting_before(node):
                node.update_arg(1, module.graph.get_attr(f"turned_{node.name}"))
    return bool(found)


def _constant(module: fx.GraphModule, node: fx.Node | None) -> Any:
    if node is None:
        return None
    owner, _, name = str(node.target).rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _fold_node(module: fx.GraphModule, node: fx.Node, name: str) -> None:
    arguments: Any = node.args
    convolution, scale, shift, mean, variance, training, _, eps = arguments[:8]
    if convolution.target not in CONVOLUTIONS or len(convolution.users) > 1 or training:
        return
    source, weight, bias, *others = (*convolution.args, None)[: max(3, len(convolution.args))]
    parts = (weight, bias, mean, variance, scale, shift)
    if any(part is not None and part.op != "get_attr" for part in parts):
        return
    weight, bias, mean, variance, scale, shift = (_constant(module, part) for part in parts)
    folded = fuse_conv_bn_weights(weight, bias, mean, variance, eps, scale, shift)
    made = []
    for part, tensor in zip(("weight", "bias"), folded, strict=True):
        module.register_buffer(f"{name}_{part}", tensor.detach())
        with module.graph.inserting_before(convolution):
            made.append(module.graph.get_attr(f"{name}_{part}"))
    convolution.args = (source, *made, *others)
    node.replace_all_uses_with(convolution)


def in_place(graph: fx.Graph, kept: Collection[fx.Node]) -> None:
    """ReLUs and sums write into what they are given, where nobody else reads it and it is not
    kept."""
    own = set[fx.Node]()
    for node in graph.nodes:
        if node.target in FRESH or node.target in IN_PLACE:
            own.add(node)
        given = [n for n in node.args if isinstance(n, fx.Node)]
        if node.target not in IN_PLACE or node.kwargs or len(given) < len(node.args):
            continue
        if given[0] not in own:
            given.reverse()  # a sum is the same either way round
        first = given[0]
        if first in own and len(first.users) == 1 and first not in kept and _alike(first, node):
            node.target, node.args = IN_PLACE[node.target], tuple(given)


def _alike(a: fx.Node, b: fx.Node) -> bool:
    """Of one shape and type."""
    x, y = a.meta["val"], b.meta["val"]
    return x.dtype == y.dtype and str(x.shape) == str(y.shape)
