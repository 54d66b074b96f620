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
from ..units import ResidualNetwork, ResidualUnit, Row


class SumInPlace(Sum):
    """h + F written into F, for branches that end in a tensor of their own."""

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        if around is None or through is None:
            return super().forward(around, through, z)
        return through.add_(around)


class ChannelsLast(nn.Module):
    """The images in channels-last memory, in which convolutions are fastest."""

    def forward(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last)


def prepared(network: ResidualNetwork) -> ResidualNetwork:
    """The copy: normalisation folded, sums and activations in place where nobody else holds the
    tensor."""
    twin = copy.deepcopy(network)
    for module in list(twin.modules()):
        if isinstance(module, nn.Sequential) and not isinstance(module, Row):
            _fold(module)
    for unit in twin.modules():
        if isinstance(unit, ResidualUnit) and type(unit.merge) is Sum and _ends_in_own(unit.branch):
            unit.merge = SumInPlace()
    if any(isinstance(m, nn.Conv2d) for m in twin.modules()):
        twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        twin.stem = nn.Sequential(ChannelsLast(), twin.stem)
    return twin


def _ends_in_own(branch: nn.Module) -> bool:
    return (
        isinstance(branch, nn.Sequential)
        and not isinstance(branch, Row)
        and len(branch) > 0
        and isinstance(branch[-1], nn.Conv2d)
    )


def _fold(sequence: nn.Sequential) -> None:
    """In place: each convolution takes the batch normalisation directly behind it into its weights,

    W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta, and ReLUs behind another module
    work in place.
    """
    kept: list[nn.Module] = []
    for module in sequence:
        if isinstance(module, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d):
            kept[-1] = fuse_conv_bn_eval(kept[-1], module)
        elif (
            isinstance(module, nn.ReLU)
            and kept
            and isinstance(kept[-1], nn.Conv2d | nn.BatchNorm2d)
        ):
            kept.append(nn.ReLU(inplace=True))
        else:
            kept.append(module)
    for name in list(sequence._modules):
        del sequence._modules[name]
    for module in kept:
        sequence.append(module)
