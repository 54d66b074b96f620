"""Network in network and its kin: NIN (Lin et al. 2014), DSN (Lee et al. 2015), All-CNN (2015)."""

from collections.abc import Callable
from functools import partial

from torch import nn

from ..errors import UsageError
from ..units import ResidualNetwork
from .stacks import Convolution, average_pool, classified, dropout, max_pool, stack

Head = Callable[[int], nn.Module]


def nin(classes: int) -> ResidualNetwork:
    """Network in network for CIFAR: 1x1 convolutions behind each larger one, no normalisation.

    (N, 3, 32, 32) -> (N, K). A ReLU follows every convolution, the classes' too.
    """
    return _nin(classes, average_pool())


def dsn(classes: int, size: int = 32) -> ResidualNetwork:
    """Deeply supervised: NIN with max-pools and a companion on each of its larger convolutions.

    (N, 3, size, size) -> (N, K). A companion is a linear classifier of the whole map, ahead of the
    ReLU; it acts in training alone (`Companion`). UsageError: a size that does not halve
    twice.
    """
    if size % 4:
        raise UsageError(f"DSN halves its images twice: {size} pixels do not divide by 4")

    def head(pixels: int, width: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(width * pixels * pixels, classes))

    sides = (size, size // 2, size // 4)
    return _nin(classes, max_pool(3), [partial(head, side) for side in sides])


def _nin(
    classes: int, second_pool: Callable[[], nn.Module], heads: list[Head | None] | None = None
) -> ResidualNetwork:
    first, second, third = heads or [None] * 3
    items = [
        Convolution(192, 5, head=first), Convolution(160, 1), Convolution(96, 1),
        max_pool(3), dropout(0.5),
        Convolution(192, 5, head=second), Convolution(192, 1), Convolution(192, 1),
        second_pool, dropout(0.5),
        Convolution(192, 3, head=third), Convolution(192, 1),
    ]  # fmt: skip
    return stack(items, classified(192, classes, nn.ReLU))


def all_cnn(classes: int) -> ResidualNetwork:
    """All-CNN-C: strides in place of pools (Springenberg et al. 2015, table 1).

    (N, 3, 32, 32) -> (N, K). Dropout of the image and behind each strided convolution.
    """
    items = [
        dropout(0.2), Convolution(96), Convolution(96), Convolution(96, stride=2), dropout(0.5),
        Convolution(192), Convolution(192), Convolution(192, stride=2), dropout(0.5),
        Convolution(192, padded=False), Convolution(192, 1),
    ]  # fmt: skip
    return stack(items, classified(192, classes, nn.ReLU))
