"""F, the residual branch: which convolutions it has, put in the order of an arrangement."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

from torch import nn

from .arrangements import Arrangement, modules


class Layer(NamedTuple):
    """One convolution without bias, padded so that stride 1 keeps the size."""

    c_in: int
    c_out: int
    kernel: int
    stride: int = 1

    def arranged(self, words: str) -> list[nn.Module]:
        """The convolution with what the words put round it."""
        return modules(words, self.c_in, nn.Conv2d(*self, padding=self.kernel // 2, bias=False))


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


def single(c_in: int, width: int, stride: int) -> list[Layer]:
    """One 3x3 convolution: the layer of a VGG network."""
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
