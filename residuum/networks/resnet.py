"""Residual networks of He et al. 2015 and 2016: CIFAR depths 6n+2 and 9n+2, ImageNet 18-200, any arrangement."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from ..parts.branches import ORIGINAL, Arrangement, Block, activation, basic, bottleneck, branch
from ..parts.heads import linear_head
from ..parts.shortcuts import Shortcut, option_a, option_b
from ..parts.stems import cifar_stem, imagenet_stem
from ..units import ResidualNetwork, ResidualUnit


class Stage(NamedTuple):
    """`units` units of one width; the first of them has the stride."""

    units: int
    width: int
    stride: int


class Place(NamedTuple):
    """Where a unit stands, as far as its opening activation depends on it."""

    first: bool  # of the network
    stage_first: bool
    projects: bool  # its shortcut has weights


Opening = Literal["own", "shared", "none"]


def share_first_and_projections(place: Place) -> Opening:
    """The first unit and each projection read the activated input on both roads (He et al. 2016, sec. 3 and 4.1)."""
    return "shared" if place.first or place.projects else "own"


def share_stage_first(place: Place) -> Opening:
    """The first unit of every stage shares, whatever its shortcut (fb.resnet.torch, preresnet.lua, CIFAR)."""
    return "shared" if place.stage_first else "own"


def share_after_activated_stem(place: Place) -> Opening:
    """The stem has activated already: the very first unit opens with none (fb.resnet.torch, preresnet.lua, ImageNet)."""
    return "none" if place.first else share_stage_first(place)


def row(
    c_in: int,
    stages: Sequence[Stage],
    block: Block,
    shortcut: Shortcut,
    arrangement: Arrangement,
    opening: Callable[[Place], Opening] = share_first_and_projections,
) -> Iterator[ResidualUnit]:
    """The units of all stages, in signal order."""
    for s, (units, width, stage_stride) in enumerate(stages):
        for u in range(units):
            stride = stage_stride if u == 0 else 1
            layers = block(c_in, width, stride)
            c_out = layers[-1].c_out
            road = shortcut(c_in, c_out, stride)
            projects = road is not None and any(True for _ in road.parameters())
            opens = opening(Place(s == u == 0, u == 0, projects))
            shared = activation(arrangement.opening, c_in) if opens == "shared" else None
            yield ResidualUnit(
                branch(layers, arrangement, opened=opens != "own"),
                road,
                after=activation(arrangement.after, c_out),
                before=shared,
            )
            c_in = c_out


def cifar_stages(depth: int, layers_per_unit: int) -> list[Stage]:
    """n units at each of the widths 16, 32, 64, from the depth 6n+2 (basic) or 9n+2 (bottleneck)."""
    step = 3 * layers_per_unit
    n, rest = divmod(depth - 2, step)
    if rest or n < 1:
        known = {6: "20, 32, 44, 56, 110, 1202", 9: "29, 164, 1001"}.get(step, "")
        kind = {6: "a CIFAR ResNet of basic units", 9: "a CIFAR ResNet of bottleneck units"}.get(step, "this network")
        raise ValueError(f"{kind} has depth {step}n+2 ({known}), not {depth}")
    return [Stage(n, 16, 1), Stage(n, 32, 2), Stage(n, 64, 2)]


def cifar_resnet(
    depth: int,
    classes: int,
    block: Block = basic,
    shortcut: Shortcut = option_a,
    arrangement: Arrangement = ORIGINAL,
    opening: Callable[[Place], Opening] = share_first_and_projections,
) -> ResidualNetwork:
    """He et al. 2015, sec. 4.2. (N, 3, 32, 32) -> (N, K); any size that halves twice will do."""
    stages = cifar_stages(depth, len(block(16, 16, 1)))
    units = row(16, stages, block, shortcut, arrangement, opening)
    head = linear_head(block(16, 64, 1)[-1].c_out, classes, arrangement)
    return ResidualNetwork(cifar_stem(16, arrangement), units, head)


IMAGENET_UNITS = {
    18: (basic, [2, 2, 2, 2]),
    34: (basic, [3, 4, 6, 3]),
    50: (bottleneck, [3, 4, 6, 3]),
    101: (bottleneck, [3, 4, 23, 3]),
    152: (bottleneck, [3, 8, 36, 3]),
    200: (bottleneck, [3, 24, 36, 3]),
}


def imagenet_resnet(
    depth: int,
    classes: int,
    block: Block | None = None,
    shortcut: Shortcut = option_b,
    arrangement: Arrangement = ORIGINAL,
    opening: Callable[[Place], Opening] = share_after_activated_stem,
) -> ResidualNetwork:
    """He et al. 2015, table 1; 200 layers: He et al. 2016, sec. 5. (N, 3, 224, 224) -> (N, K).

    `block` replaces the paper's own, say by the bottleneck with its stride in the 3x3.
    """
    if depth not in IMAGENET_UNITS:
        raise ValueError(f"an ImageNet ResNet has depth {', '.join(map(str, IMAGENET_UNITS))}, not {depth}")
    own_block, counts = IMAGENET_UNITS[depth]
    stages = [Stage(n, 64 * 2**s, 1 if s == 0 else 2) for s, n in enumerate(counts)]
    block = block or own_block
    units = row(64, stages, block, shortcut, arrangement, opening)
    head = linear_head(block(64, 512, 1)[-1].c_out, classes, arrangement)
    return ResidualNetwork(imagenet_stem(64), units, head)
