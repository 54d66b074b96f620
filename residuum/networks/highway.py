"""Highway networks: a gate says how much of each road passes (Srivastava et al. 2015).

y = T(x) H(x) + (1 - T(x)) x, T = sigmoid(W x + b), b below zero so that the signal passes at first.
"""

from collections.abc import Callable, Sequence

from torch import nn

from ..errors import UsageError
from ..parts.merges import Gate, GateConvolution
from ..parts.shortcuts import Severed
from ..parts.stems import flat_stem
from ..units import ResidualNetwork, ResidualUnit


def highway_unit(width: int, bias: float) -> ResidualUnit:
    """H a 3x3 convolution and ReLU, T a 3x3 convolution; of one width, without normalisation."""
    conv = nn.Conv2d(width, width, 3, padding=1)
    gate = Gate(GateConvolution(width, width, 3, start=bias))
    return ResidualUnit(nn.Sequential(conv, nn.ReLU()), merge=gate)


def highway(
    classes: int,
    widths: Sequence[int] = (32, 80, 128),
    counts: Sequence[int] = (4, 5, 5),
    bias: float = -2,
    dropout: float = 0.2,
) -> ResidualNetwork:
    """The convolutional highway network, as its code has it. (N, 3, 32, 32) -> (N, K).

    Groups of one plain convolution, which changes the width, and `counts` highway units; 2x2
    max-pools between them; at the end a 1x1 convolution to 100 channels, pooling, one linear layer.
    Plain convolutions and pools stand in the stem, the last unit of a group or the head: they are
    not units. `dropout`: of the image, behind every pool and ahead of the linear layer.
    """
    groups = list(zip(widths, counts, strict=True))
    if not groups or min(counts) < 1:
        raise UsageError(f"every group of a highway network has a unit, not {list(counts)}")
    stem, units, c_in = nn.Sequential(nn.Dropout(dropout), *_plain(3, widths[0])), [], widths[0]
    for number, (width, count) in enumerate(groups):
        if number:
            pool = [nn.MaxPool2d(2), nn.Dropout(dropout)]
            units[-1].after = nn.Sequential(*pool, *_plain(c_in, width))
            c_in = width
        units += [highway_unit(width, bias) for _ in range(count)]
    closing = [*_plain(c_in, 100, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    return ResidualNetwork(stem, units, nn.Sequential(*closing, nn.Linear(100, classes)))


def _plain(c_in: int, width: int, kernel: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(c_in, width, kernel, padding=kernel // 2), nn.ReLU()]


class GateLinear(nn.Linear):
    """The transform of a gate on vectors: a linear layer whose bias starts at `start`."""

    def __init__(self, width: int, start: float):
        super().__init__(width, width)
        self.start = start
        self.reset()

    def reset(self) -> None:
        """Its initial bias."""
        nn.init.constant_(self.bias, self.start)


def highway_linear(
    classes: int, depth: int = 50, width: int = 50, bias: float = -1, size: int = 28
) -> ResidualNetwork:
    """Fully connected, on grey images: one plain layer, depth - 1 highway units, the classifier.

    (N, 3, size, size) -> (N, K); Srivastava et al. 2015, fig. 1. UsageError: a depth below 2.
    """

    def unit() -> ResidualUnit:
        return ResidualUnit(_linear(width, width), merge=Gate(GateLinear(width, bias)))

    return _flat(classes, depth, width, size, unit)


def plain_linear(classes: int, depth: int = 50, width: int = 71, size: int = 28) -> ResidualNetwork:
    """Its plain twin; 71 units a layer have about as many weights as 50 with gates."""

    def unit() -> ResidualUnit:
        return ResidualUnit(_linear(width, width), Severed())

    return _flat(classes, depth, width, size, unit)


def _flat(
    classes: int, depth: int, width: int, size: int, unit: Callable[[], ResidualUnit]
) -> ResidualNetwork:
    if depth < 2:
        raise UsageError(f"one plain layer and at least one unit: depth 2 and more, not {depth}")
    stem = nn.Sequential(*flat_stem(), *_linear(size * size, width))
    return ResidualNetwork(stem, [unit() for _ in range(depth - 1)], nn.Linear(width, classes))


def _linear(c_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(c_in, width), nn.ReLU())
