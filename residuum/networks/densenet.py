"""DenseNet: every unit adds `growth` channels to all that came before (Huang et al. 2017)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ..errors import UsageError
from ..parts.arrangements import PREACT
from ..parts.branches import Layer
from ..parts.heads import linear_head
from ..parts.merges import Concat
from ..parts.stems import cifar_stem, imagenet_stem
from ..units import ResidualNetwork, ResidualUnit
from .stages import units_of_stage

DenseLayer = Callable[[int, int], list[nn.Module]]  # (c_in, growth) -> the layers of F


def dense_layer(c_in: int, growth: int) -> list[nn.Module]:
    """BN, ReLU, 3x3 convolution."""
    return Layer(c_in, growth, 3).arranged(PREACT.layer)


def bottleneck_layer(c_in: int, growth: int) -> list[nn.Module]:
    """A 1x1 convolution to 4 x growth channels ahead of it (DenseNet-B)."""
    layers = Layer(c_in, 4 * growth, 1), Layer(4 * growth, growth, 3)
    return [module for layer in layers for module in layer.arranged(PREACT.layer)]


def dropout_behind(layer: DenseLayer, rate: float) -> DenseLayer:
    """The same layers with dropout behind every convolution."""

    def make(c_in: int, growth: int) -> list[nn.Module]:
        made = layer(c_in, growth)
        behind = [[m, nn.Dropout(rate)] if isinstance(m, nn.Conv2d) else [m] for m in made]
        return [module for pair in behind for module in pair]

    return make


class Recent(nn.Module):
    """The last channels alone: what the last n layers have added. (N, C, H, W) -> (N, c, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -self.channels :]

    def extra_repr(self) -> str:
        return f"channels={self.channels}"


def window(layer: DenseLayer, layers: int) -> DenseLayer:
    """Layers that read what the last `layers` of them gave, and not all of the signal."""
    if layers < 1:
        raise UsageError(f"a window takes in at least one layer, not {layers}")

    def make(c_in: int, growth: int) -> list[nn.Module]:
        seen = min(c_in, layers * growth)
        return [*([Recent(seen)] if seen < c_in else []), *layer(seen, growth)]

    return make


def densenet(
    classes: int,
    stem: nn.Module,
    c_in: int,
    blocks: Sequence[int],
    growth: int,
    layer: DenseLayer = dense_layer,
    transition: Callable[[int], tuple[int, nn.Module]] | None = None,
) -> ResidualNetwork:
    """The stem gives `c_in` channels; `blocks` says how many units each dense block has.

    `transition` (see `shrink`) follows every block but the last, in its last unit's `after`: no
    unit of its own, and it stays when that unit is deleted.
    """
    transition = transition or shrink()
    units: list[ResidualUnit] = []
    for number, count in enumerate(blocks):
        for _ in range(count):
            branch = nn.Sequential(*layer(c_in, growth))
            units.append(ResidualUnit(branch, merge=Concat(growth)))
            c_in += growth
        if number < len(blocks) - 1:
            c_in, units[-1].after = transition(c_in)
    return ResidualNetwork(stem, units, linear_head(c_in, classes, PREACT))


def shrink(share: float = 1, dropout: float = 0) -> Callable[[int], tuple[int, nn.Module]]:
    """BN, ReLU, 1x1 convolution to `share` of the channels (theta), dropout, 2x2 average pool.

    The transition of Huang et al. 2017, sec. 3; share 0.5 in DenseNet-BC, 1 in the original.
    UsageError: a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise UsageError(f"shrink: a share is above 0 and at most 1, not {share}")

    def make(c_in: int) -> tuple[int, nn.Module]:
        c_out = int(share * c_in)
        dropped = [nn.Dropout(dropout)] if dropout else []
        convolution = Layer(c_in, c_out, 1).arranged(PREACT.layer)
        return c_out, nn.Sequential(*convolution, *dropped, nn.AvgPool2d(2))

    return make


def cifar_densenet(
    depth: int, growth: int, classes: int, stem: int = 16, dropout: float = 0
) -> ResidualNetwork:
    """The original DenseNet: depth 3n+4, no compression. (N, 3, 32, 32) -> (N, K).

    `stem`: channels of the first convolution, 16 in the paper; the released code has 2 x growth.
    `dropout`: behind every convolution but the first, 0.2 in the paper where images are not
    augmented. UsageError: a depth that has no whole number of units.
    """
    layer = dropout_behind(dense_layer, dropout) if dropout else dense_layer
    blocks = [units_of_stage(depth, 1, 4, "a DenseNet", (40, 100))] * 3
    return densenet(
        classes, cifar_stem(stem, PREACT), stem, blocks, growth, layer, shrink(1, dropout)
    )


def cifar_densenet_bc(
    depth: int, growth: int, classes: int, share: float = 0.5, dropout: float = 0
) -> ResidualNetwork:
    """DenseNet-BC: bottleneck layers and compression, depth 6n+4. (N, 3, 32, 32) -> (N, K)."""
    layer = dropout_behind(bottleneck_layer, dropout) if dropout else bottleneck_layer
    blocks = [units_of_stage(depth, 2, 4, "a DenseNet-BC", (100, 190, 250))] * 3
    stem = cifar_stem(2 * growth, PREACT)
    return densenet(classes, stem, 2 * growth, blocks, growth, layer, shrink(share, dropout))


IMAGENET_BLOCKS: dict[int, tuple[int, Sequence[int]]] = {  # growth, units
    121: (32, (6, 12, 24, 16)),
    161: (48, (6, 12, 36, 24)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
}


def imagenet_densenet(depth: int, classes: int) -> ResidualNetwork:
    """Huang et al. 2017, table 1: DenseNet-BC. (N, 3, 224, 224) -> (N, K).

    UsageError: a depth that no such network has.
    """
    if depth not in IMAGENET_BLOCKS:
        known = ", ".join(map(str, IMAGENET_BLOCKS))
        raise UsageError(f"an ImageNet DenseNet has depth {known}, not {depth}")
    growth, blocks = IMAGENET_BLOCKS[depth]
    stem = imagenet_stem(2 * growth)
    return densenet(classes, stem, 2 * growth, blocks, growth, bottleneck_layer, shrink(0.5))
