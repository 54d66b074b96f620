"""Stacks of layers without shortcuts. VGG as Veit et al. 2016 need it: any layer can be deleted."""

from collections.abc import Sequence
from functools import partial
from itertools import chain

from torch import nn

from ..errors import UsageError
from ..parts.arrangements import ORIGINAL
from ..parts.branches import branch, single
from ..parts.shortcuts import Severed
from ..units import ResidualNetwork, ResidualUnit


def vgg(
    classes: int, groups: Sequence[int] = (2, 2, 3, 3, 3), width: int = 128, size: int = 32
) -> ResidualNetwork:
    """13 convolutions in groups, a 2x2 max-pool behind each group, two linear layers.

    (N, 3, size, size) -> (N, K). Equal widths, so that the neighbours of a deleted layer fit.

    The first convolution is the stem and the last linear layer the head; the 13 layers between are
    plain units, with all but weight and normalisation in `after`, so that pools stay when a layer
    is deleted. A smaller image than 32 pixels can be halved fewer times; the pools that remain are
    spread evenly over the groups (8 pixels: behind groups 1, 3 and 5). Of a larger one the last
    pool takes all that is left (64 pixels: 4x4), so that the linear unit keeps its width too.

    Veit et al. give 15 layers and 128 channels; groups 2-2-3-3-3 are the reading taken here.
    UsageError: a size that does not divide.
    """
    halvings = min(len(groups), size.bit_length() - 1)
    if size < 4 or size % 2**halvings:
        rule = f"VGG halves its images {halvings} times"
        raise UsageError(f"{rule}: {size} pixels do not divide by {2**halvings}")
    pooled = {round(i * (len(groups) - 1) / max(halvings - 1, 1)) for i in range(halvings)}
    ends = [[nn.Sequential(nn.ReLU()) for _ in range(n)] for n in groups]
    for group in pooled:
        last = group == len(groups) - 1
        ends[group][-1].append(nn.MaxPool2d(2 * (size // 2**halvings) if last else 2))
    ends[-1][-1].append(nn.Flatten())
    first, *others = chain(*ends)
    stem = nn.Sequential(*branch(single(3, width, 1), ORIGINAL), first)
    layer = partial(branch, single(width, width, 1), ORIGINAL)
    units = [ResidualUnit(layer(), Severed(), after) for after in others]
    linear = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
    units.append(ResidualUnit(linear, Severed(), nn.ReLU()))
    return ResidualNetwork(stem, units, nn.Linear(width, classes))
