"""F, the residual branch: which convolutions it has, put in the order of an arrangement."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

from torch import nn

from ..errors import UsageError
from .arrangements import Arrangement, modules


class Layer(NamedTuple):
    """One convolution, padded so that stride 1 keeps the size.

    `groups`: parts of the channels that are convolved apart.
    `bias`: where no normalisation follows.
    """

    c_in: int
    c_out: int
    kernel: int
    stride: int = 1
    groups: int = 1
    bias: bool = False

    def arranged(self, words: str) -> list[nn.Module]:
        """The convolution with what the words put round it.

        UsageError: groups that do not divide the channels.
        """
        if self.groups < 1 or self.c_in % self.groups or self.c_out % self.groups:
            channels = f"{self.c_in} to {self.c_out} channels"
            raise UsageError(f"a convolution of {channels} has no {self.groups} equal groups")
        conv = nn.Conv2d(
            self.c_in,
            self.c_out,
            self.kernel,
            self.stride,
            self.kernel // 2,
            groups=self.groups,
            bias=self.bias,
        )
        return modules(words, self.c_in, conv)


Block = Callable[[int, int, int], list[Layer]]  # (c_in, width, stride) -> the layers of F


def basic(c_in: int, width: int, stride: int) -> list[Layer]:
    """Two 3x3 convolutions, the stride in the first (He et al. 2015, fig. 5 left)."""
    return [Layer(c_in, width, 3, stride), Layer(width, width, 3)]


def bottleneck(c_in: int, width: int, stride: int) -> list[Layer]:
    """1x1, 3x3, 1x1 to four times the width; stride in the first (He et al. 2015, fig. 5 right)."""
    return [Layer(c_in, width, 1, stride), Layer(width, width, 3), Layer(width, 4 * width, 1)]


def bottleneck_late_stride(c_in: int, width: int, stride: int) -> list[Layer]:
    """The bottleneck with its stride in the 3x3, as in fb.resnet.torch and torchvision."""
    return [Layer(c_in, width, 1), Layer(width, width, 3, stride), Layer(width, 4 * width, 1)]


def grouped(groups: int, base_width: int) -> Block:
    """1x1, 3x3 in `groups` groups with the stride, 1x1 (Xie et al. 2017, fig. 3c): "32x4d".

    The 3x3 has groups * floor(width * base_width / 64) channels: base_width a group at width 64.
    With one group it is a bottleneck of another inner width (1x100d; Zagoruyko and Komodakis 2016,
    WRN-50-2: 1x128d).
    """

    def block(c_in: int, width: int, stride: int) -> list[Layer]:
        inner = groups * (width * base_width // 64)
        if inner < 1:
            raise UsageError(f"{groups} groups of base width {base_width}: no channels at {width}")
        return [
            Layer(c_in, inner, 1),
            Layer(inner, inner, 3, stride, groups),
            Layer(inner, 4 * width, 1),
        ]

    return block


def biased(block: Block) -> Block:
    """The same convolutions with biases: for arrangements without normalisation."""
    return lambda c_in, width, stride: [
        layer._replace(bias=True) for layer in block(c_in, width, stride)
    ]


def single(c_in: int, width: int, stride: int) -> list[Layer]:
    """One 3x3 convolution: a layer of VGG, a generalised layer of RiR."""
    return [Layer(c_in, width, 3, stride)]


def branch(
    layers: Sequence[Layer], arrangement: Arrangement, opened: bool = False
) -> nn.Sequential:
    """F: the layers in the arrangement's order.

    `opened` leaves out the first activation, which stands ahead of the unit's two roads.
    """
    orders = [arrangement.layer] * (len(layers) - 1) + [arrangement.last]
    if opened:
        orders[0] = orders[0][orders[0].index("conv") :]
    return nn.Sequential(*chain(*map(Layer.arranged, layers, orders)))
