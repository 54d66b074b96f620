"""Stacks of layers without shortcuts, from lists of layers: VGG, NIN, DSN, All-CNN, ELU, FitNet.

A layer that gives the shape it was given is a plain unit, which can be deleted. Every other layer,
pools and dropout belong to the unit ahead of them, so that they stay, or to the stem.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from torch import nn

from ..errors import UsageError
from ..parts.arrangements import ORIGINAL
from ..parts.branches import branch, single
from ..parts.shortcuts import Severed
from ..parts.wrappers import Companion
from ..reader import Count, require
from ..units import ResidualNetwork, ResidualUnit


class Convolution(NamedTuple):
    """A convolution with a bias and an activation; padded so that stride 1 keeps the size.

    `padded` False: no padding. `head`: of (width), a classifier of what the convolution gives,
    for training alone (`Companion`).
    """

    width: int
    kernel: int = 3
    stride: int = 1
    padded: bool = True
    head: Callable[[int], nn.Module] | None = None


Item = Convolution | Callable[[], nn.Module]  # a layer, or what stands behind one
Layers = list[nn.Module]


def dropout(rate: float) -> Callable[[], nn.Module]:
    return partial(nn.Dropout, rate)


def max_pool(kernel: int = 2, stride: int = 2) -> Callable[[], nn.Module]:
    """Rounded up, as Caffe and cuda-convnet do."""
    return partial(nn.MaxPool2d, kernel, stride, ceil_mode=True)


def average_pool(kernel: int = 3, stride: int = 2) -> Callable[[], nn.Module]:
    return partial(nn.AvgPool2d, kernel, stride, ceil_mode=True)


def stack(
    items: Sequence[Item],
    head: Sequence[nn.Module],
    activation: Callable[[], nn.Module] = nn.ReLU,
    pieces: int = 1,
) -> ResidualNetwork:
    """The layers in signal order, then the head. (N, 3, H, W) -> (N, K).

    `activation`: a fresh one behind every convolution, which gives it `pieces` times the width.
    UsageError: a width, kernel or stride below 1.
    """
    stem: Layers = []
    units: list[tuple[Layers, Layers]] = []  # branch, after
    c_in = 3
    for number, item in enumerate(items):
        if not isinstance(item, Convolution):
            (units[-1][1] if units else stem).append(item())
            continue
        for name in ("width", "kernel", "stride"):
            require(getattr(item, name), Count, f"item {number}: {name}", UsageError)
        made = list(_convolved(item, c_in, activation, pieces))
        if item.width == c_in and item.stride == 1 and item.padded:
            units.append((made, []))
        else:
            (units[-1][1] if units else stem).extend(made)
        c_in = item.width
    built = [
        ResidualUnit(nn.Sequential(*layers), Severed(), nn.Sequential(*after) if after else None)
        for layers, after in units
    ]
    return ResidualNetwork(nn.Sequential(*stem), built, nn.Sequential(*head))


def _convolved(
    item: Convolution, c_in: int, activation: Callable[[], nn.Module], pieces: int
) -> Iterator[nn.Module]:
    """An even kernel has its extra pixel of padding on the right and below."""
    even = item.padded and item.kernel % 2 == 0
    ahead, behind = (item.kernel - 1) // 2, item.kernel // 2
    if even:
        yield nn.ZeroPad2d((ahead, behind, ahead, behind))
    padding = behind if item.padded and not even else 0
    width = item.width * pieces
    conv = nn.Conv2d(c_in, width, item.kernel, item.stride, padding)
    yield conv if item.head is None else Companion(conv, item.head(width))
    yield activation()


def classified(width: int, classes: int, activation: type[nn.Module] | None = None) -> Layers:
    """The head of a network without linear layers: a 1x1 convolution to the classes, pooling."""
    activated = [] if activation is None else [activation()]
    conv = nn.Conv2d(width, classes, 1)
    return [conv, *activated, nn.AdaptiveAvgPool2d(1), nn.Flatten()]


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
