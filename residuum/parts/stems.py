"""What stands ahead of the units: a convolution in the arrangement's order, perhaps a max-pool."""

from torch import Tensor, nn

from ..errors import UsageError
from .arrangements import Arrangement
from .branches import Layer


def cifar_stem(width: int, arrangement: Arrangement) -> nn.Module:
    """3x3 convolution, stride 1. (N, 3, H, W) -> (N, width, H, W)."""
    return nn.Sequential(*Layer(3, width, 3).arranged(arrangement.stem))


def imagenet_stem(width: int) -> nn.Module:
    """7x7 convolution of stride 2, BN, ReLU, 3x3 max-pool of stride 2.

    (N, 3, H, W) -> (N, width, H/4, W/4). Pre-activation networks have it too (fb.resnet.torch).
    """
    convolution = Layer(3, width, 7, 2).arranged("conv bn relu")
    return nn.Sequential(*convolution, nn.MaxPool2d(3, 2, 1))


class Grey(nn.Module):
    """The mean of the three channels. (N, 3, H, W) -> (N, 1, H, W)."""

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != 3:
            raise UsageError(f"images have 3 channels, not {images.shape[1]}")
        return images.mean(1, keepdim=True)


def flat_stem() -> nn.Sequential:
    """Grey pixels as one vector, for layers without convolutions. (N, 3, H, W) -> (N, H W)."""
    return nn.Sequential(Grey(), nn.Flatten())
