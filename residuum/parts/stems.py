"""What stands ahead of the units: a convolution in the arrangement's order, for ImageNet also a max-pool."""

from torch import nn

from .branches import Arrangement, Layer, modules


def cifar_stem(width: int, arrangement: Arrangement) -> nn.Module:
    """3x3 convolution, stride 1. (N, 3, H, W) -> (N, width, H, W)."""
    return nn.Sequential(*modules(arrangement.stem, Layer(3, width, 3)))


def imagenet_stem(width: int) -> nn.Module:
    """7x7 convolution of stride 2, BN, ReLU, 3x3 max-pool of stride 2. (N, 3, H, W) -> (N, width, H/4, W/4).

    Pre-activation networks have the same stem (fb.resnet.torch, preresnet.lua).
    """
    return nn.Sequential(*modules("conv bn relu", Layer(3, width, 7, 2)), nn.MaxPool2d(3, 2, 1))
