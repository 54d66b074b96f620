"""A copy of a network made for many evaluations.

It swaps parts; what a unit computes is still said in `units.py`.

Convolutions take the batch normalisation behind them into their weights, so outputs agree with a
plain forward pass to float rounding, not to the bit.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..parts.merges import Road, Sum
from ..units import ResidualNetwork, ResidualUnit


class SumInPlace(Sum):
    """h + F written into F, for branches that end in a tensor of their own."""

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        if around is None or through is None or around.shape != through.shape:
            return super().forward(around, through, z)
        return through.add_(around)


class ChannelsLast(nn.Module):
    """The images in channels-last memory, in which convolutions are fastest."""

    def forward(self, images: Tensor) -> Tensor:
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
