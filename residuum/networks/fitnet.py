"""FitNets: thin, deep maxout networks, taught by a wide one (Romero et al. 2015)."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from ..parts.maxout import Maxout
from ..units import ResidualNetwork
from .stacks import Convolution, Item, dropout, stack

Groups = Sequence[Sequence[int]]  # the widths of every group of convolutions

FITNET1: Groups = ((16, 16, 16), (32, 32, 32), (48, 48, 64))
FITNET2: Groups = ((16, 32, 32), (48, 64, 80), (96, 96, 128))
FITNET3: Groups = ((32, 48, 64, 64), (80, 80, 80, 80), (128, 128, 128))
FITNET4: Groups = ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6)


def fitnet(
    classes: int,
    groups: Groups = FITNET4,
    pieces: int = 2,
    last_pieces: int | None = None,
    rate: float = 0,
) -> ResidualNetwork:
    """3x3 convolutions in groups, 2x2 max-pools between them, 500 hidden units, one linear layer.

    (N, 3, 32, 32) -> (N, K). The last pool takes the whole map (8x8).
    `pieces`: of maxout; 1 stands for ReLU in its place (Mishkin and Matas 2016).
    `last_pieces`: of the hidden units; 5 in the released code, like the convolutions elsewhere.
    `rate`: dropout of the image, behind every pool and of the hidden units.
    """
    dropped: list[Callable[[], nn.Module]] = [dropout(rate)] if rate else []
    items: list[Item] = [*dropped]
    for number, widths in enumerate(groups):
        if number:
            items += [partial(nn.MaxPool2d, 2), *dropped]
        items += [Convolution(width) for width in widths]
    many = pieces if last_pieces is None else last_pieces
    hidden = [nn.Linear(groups[-1][-1], 500 * many), _activation(many)]
    closing = [nn.AdaptiveMaxPool2d(1), nn.Flatten(), *(make() for make in dropped)]
    head = [*closing, *hidden, *(make() for make in dropped), nn.Linear(500, classes)]
    return stack(items, head, partial(_activation, pieces), pieces)


def teacher(classes: int, size: int = 32) -> ResidualNetwork:
    """The wide network: maxout convolutions 96, 192, 192, 500 hidden units of five pieces.

    (N, 3, size, size) -> (N, K). Widths and pools are those of Goodfellow et al. 2013; that
    convolutions keep the size, which gives the 9M parameters, is this project's interpretation.
    """
    items = [
        Convolution(96, 8), partial(nn.MaxPool2d, 4, 2),
        Convolution(192, 8), partial(nn.MaxPool2d, 4, 2),
        Convolution(192, 5), partial(nn.MaxPool2d, 2),
    ]  # fmt: skip
    side = (((size - 4) // 2 + 1 - 4) // 2 + 1) // 2
    hidden = [nn.Flatten(), nn.Linear(192 * side * side, 500 * 5), Maxout(5)]
    return stack(items, [*hidden, nn.Linear(500, classes)], partial(Maxout, 2), 2)


def _activation(pieces: int) -> nn.Module:
    return nn.ReLU() if pieces == 1 else Maxout(pieces)
