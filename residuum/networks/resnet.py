"""Residual networks of He et al. 2015 and 2016: CIFAR depths 6n+2 and 9n+2, ImageNet 18-200."""

from collections.abc import Sequence

from ..errors import UsageError
from ..parts.branches import Block, basic, bottleneck
from ..parts.heads import linear_head
from ..parts.shortcuts import option_b
from ..parts.stems import cifar_stem, imagenet_stem
from ..units import ResidualNetwork
from .stages import (
    Rows,
    Stage,
    UnitMaker,
    flat,
    places,
    residual,
    share_after_activated_stem,
    units_of_stage,
)


def cifar_stages(depth: int, block: Block = basic, width: int = 16) -> list[Stage]:
    """n units at each of the widths 16, 32, 64: depth 6n+2 (basic) or 9n+2 (bottleneck).

    `width`: that of the first stage.
    """
    layers = len(block(width, width, 1))
    known = {2: (20, 32, 44, 56, 110, 1202), 3: (29, 164, 1001)}.get(layers, ())
    kind = f"a CIFAR ResNet with {layers} layers in a unit"
    return three_stages(units_of_stage(depth, layers, 2, kind, known), width)


def three_stages(units: int, width: int) -> list[Stage]:
    """As many units at width, 2 width and 4 width; the image halves ahead of the last two."""
    return [Stage(units, width, 1), Stage(units, 2 * width, 2), Stage(units, 4 * width, 2)]


def cifar_resnet(
    depth: int, classes: int, maker: UnitMaker | None = None, width: int = 16, rows: Rows = flat
) -> ResidualNetwork:
    """He et al. 2015, sec. 4.2. (N, 3, 32, 32) -> (N, K); any size that halves twice will do.

    `maker`: of its units, with what they are made of; by default the paper's, `residual()`.
    `width`: of the stem and the first stage.
    `rows`: how units are put together, `levels(3)` say; by default one behind the other.
    UsageError: a depth that has no whole number of units.
    """
    maker = maker or residual()
    return cifar_network(width, cifar_stages(depth, maker.block, width), classes, maker, rows)


def cifar_network(
    c_in: int, stages: Sequence[Stage], classes: int, maker: UnitMaker, rows: Rows = flat
) -> ResidualNetwork:
    """A 3x3 stem of `c_in` channels, the stages, a linear head. (N, 3, H, W) -> (N, K)."""
    standing = places(c_in, stages, maker.block)
    head = linear_head(standing[-1].c_out, classes, maker.arrangement)
    return ResidualNetwork(cifar_stem(c_in, maker.arrangement), rows(maker, standing), head)


IMAGENET_UNITS: dict[int, tuple[Block, Sequence[int]]] = {
    18: (basic, [2, 2, 2, 2]),
    34: (basic, [3, 4, 6, 3]),
    50: (bottleneck, [3, 4, 6, 3]),
    101: (bottleneck, [3, 4, 23, 3]),
    152: (bottleneck, [3, 8, 36, 3]),
    200: (bottleneck, [3, 24, 36, 3]),
}


def imagenet_resnet(depth: int, classes: int, maker: UnitMaker | None = None) -> ResidualNetwork:
    """He et al. 2015, table 1; 200 layers: He et al. 2016, sec. 5. (N, 3, 224, 224) -> (N, K).

    `maker`: of its units; by default the paper's own block with option B.
    UsageError: a depth that no such network has, or a block of another number of layers.
    """
    if depth not in IMAGENET_UNITS:
        known = ", ".join(map(str, IMAGENET_UNITS))
        raise UsageError(f"an ImageNet ResNet has depth {known}, not {depth}")
    block, counts = IMAGENET_UNITS[depth]
    maker = maker or residual(block, option_b, opening=share_after_activated_stem)
    layers, needed = (len(b(64, 64, 1)) for b in (maker.block, block))
    if layers != needed:
        raise UsageError(f"{depth} layers are made of blocks of {needed}, not {layers}")
    stages = [Stage(n, 64 * 2**s, 1 if s == 0 else 2) for s, n in enumerate(counts)]
    standing = places(64, stages, maker.block)
    head = linear_head(standing[-1].c_out, classes, maker.arrangement)
    return ResidualNetwork(imagenet_stem(64), map(maker, standing), head)
