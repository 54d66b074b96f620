"""F, the residual branch: which convolutions (basic, bottleneck), and in which order they, normalisation and ReLU come.

The two questions are answered apart. A *block* says which convolutions: (c_in, width, stride) -> layers. An
*arrangement* says what stands round each of them: the five of He et al. 2016, fig. 4 and table 2.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn


class Layer(NamedTuple):
    """One convolution without bias, padded so that stride 1 keeps the size."""

    c_in: int
    c_out: int
    kernel: int
    stride: int = 1

    def build(self) -> nn.Conv2d:
        return nn.Conv2d(self.c_in, self.c_out, self.kernel, self.stride, self.kernel // 2, bias=False)


Block = Callable[[int, int, int], list[Layer]]


def basic(c_in: int, width: int, stride: int) -> list[Layer]:
    """Two 3x3 convolutions, the stride in the first (He et al. 2015, fig. 5 left)."""
    return [Layer(c_in, width, 3, stride), Layer(width, width, 3)]


def bottleneck(c_in: int, width: int, stride: int) -> list[Layer]:
    """1x1, 3x3, 1x1 to four times the width; the stride in the first 1x1 (He et al. 2015, fig. 5 right)."""
    return [Layer(c_in, width, 1, stride), Layer(width, width, 3), Layer(width, 4 * width, 1)]


def bottleneck_late_stride(c_in: int, width: int, stride: int) -> list[Layer]:
    """The bottleneck with its stride in the 3x3, as in fb.resnet.torch and torchvision."""
    return [Layer(c_in, width, 1), Layer(width, width, 3, stride), Layer(width, 4 * width, 1)]


def single(c_in: int, width: int, stride: int) -> list[Layer]:
    """One 3x3 convolution: the layer of a VGG network."""
    return [Layer(c_in, width, 3, stride)]


@dataclass(frozen=True)
class Arrangement:
    """Where normalisation and activation sit, as words in signal order: "conv", "bn", "relu".

    `layer` is every layer of the branch but the last, `last` that one; `after` is f, behind the sum; `stem` follows the
    first convolution of the network, and `head` stands ahead of pooling. `letter` is the panel of fig. 4.
    """

    name: str
    letter: str
    layer: str
    last: str
    after: str = ""
    stem: str = "conv bn relu"
    head: str = ""

    @property
    def opening(self) -> str:
        """What stands ahead of a layer's convolution: the pre-activation, empty for post-activation units."""
        return self.layer.partition("conv")[0].strip()


ORIGINAL = Arrangement("original", "a", "conv bn relu", "conv bn", after="relu")
BN_AFTER_ADD = Arrangement("bn_after_add", "b", "conv bn relu", "conv", after="bn relu")
RELU_BEFORE_ADD = Arrangement("relu_before_add", "c", "conv bn relu", "conv bn relu")
RELU_PREACT = Arrangement("relu_preact", "d", "relu conv bn", "relu conv bn", stem="conv bn", head="relu")
PREACT = Arrangement("preact", "e", "bn relu conv", "bn relu conv", stem="conv", head="bn relu")

ARRANGEMENTS = {a.name: a for a in (ORIGINAL, BN_AFTER_ADD, RELU_BEFORE_ADD, RELU_PREACT, PREACT)}


def modules(words: str, layer: Layer) -> list[nn.Module]:
    """The modules that the words name round one convolution; normalisation fits the side that it stands on."""
    channels, built = layer.c_in, []
    for word in words.split():
        match word:
            case "conv":
                built.append(layer.build())
                channels = layer.c_out
            case "bn":
                built.append(nn.BatchNorm2d(channels))
            case "relu":
                built.append(nn.ReLU())
            case _:
                raise ValueError(f"an arrangement is made of conv, bn and relu, not {word!r}")
    return built


def activation(words: str, channels: int) -> nn.Module | None:
    """The words with no convolution among them, as one module; None where there are none."""
    built = modules(words, Layer(channels, channels, 1))
    return nn.Sequential(*built) if len(built) > 1 else next(iter(built), None)


def branch(layers: Sequence[Layer], arrangement: Arrangement, opened: bool = False) -> nn.Sequential:
    """F: the layers in the arrangement's order. `opened` leaves out the first activation, which stands elsewhere."""
    orders = [arrangement.layer] * (len(layers) - 1) + [arrangement.last]
    if opened:
        orders[0] = orders[0][orders[0].index("conv") :]
    return nn.Sequential(*_flat(modules(order, layer) for order, layer in zip(orders, layers, strict=True)))


def _flat(lists: Iterable[Iterable[nn.Module]]) -> Iterable[nn.Module]:
    return (module for modules in lists for module in modules)
