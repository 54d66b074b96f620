"""Resnet in Resnet (Targ et al. 2016): a residual stream r beside a transient stream t.

The paper's generalised layer has four convolutions,

    r' = s(conv_rr(r) + conv_tr(t) + short(r)),   t' = s(conv_rt(r) + conv_tt(t)).

Side by side, x = [r, t], they are one convolution of the concatenation, whose weight has the four
as its blocks; s (normalisation and ReLU) works channel by channel, so it does not see the seam. The
layer is therefore a residual unit of one convolution, x' = s([short(r), 0] + conv(x)), and needs no
second signal. The RiR block is a nest of two such units: its shortcut passes r alone again, ahead
of the second s.
"""

from collections.abc import Sequence

from torch import nn

from ..parts.arrangements import Arrangement
from ..parts.branches import single
from ..parts.shortcuts import Shortcut, first_stream, option_a, option_b_bare
from ..parts.stems import cifar_stem
from ..units import ResidualNetwork, ResidualUnit
from .ror import nest
from .stages import Place, Rows, Stage, UnitMaker, places, residual

LAYER = Arrangement("rir", "-", "conv", "conv", after="bn relu")


def generalised(shortcut: Shortcut = option_b_bare) -> UnitMaker:
    """Generalised residual layers (fig. 1b); `shortcut` is that of r inside a layer."""
    return residual(single, first_stream(shortcut), LAYER)


def blocks(shortcut: Shortcut = option_a) -> Rows:
    """Two layers and a shortcut of r round both (fig. 1d).

    `shortcut`: where the shape changes nothing says what it is; without weights the parameters are
    those of the layers. `rows=flat` leaves the outer shortcuts out.
    """

    def rows(maker: UnitMaker, standing: Sequence[Place]) -> list[ResidualUnit]:
        pairs = zip(standing[::2], standing[1::2], strict=True)
        around = first_stream(shortcut)
        return [nest([maker(place) for place in pair], pair, around) for pair in pairs]

    return rows


def rir(
    classes: int,
    maker: UnitMaker | None = None,
    width: int = 96,
    counts: Sequence[int] = (2, 3, 3),
    rows: Rows | None = None,
) -> ResidualNetwork:
    """The paper's 18 layers: blocks 2, 3, 3 at `width`, twice and four times that, half a stream.

    (N, 3, 32, 32) -> (N, K). The head is a 1x1 convolution to the classes with normalisation, then
    average pooling.
    """
    maker = maker or generalised()
    stages = [Stage(2 * n, width * 2**s, 2 if s else 1) for s, n in enumerate(counts)]
    standing = places(width, stages, maker.block)
    head = nn.Sequential(
        nn.Conv2d(standing[-1].c_out, classes, 1, bias=False),
        nn.BatchNorm2d(classes),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    units = (rows or blocks())(maker, standing)
    return ResidualNetwork(cifar_stem(width, maker.arrangement), units, head)
