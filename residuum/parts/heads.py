"""What stands behind the units: global average pooling and one linear layer."""

from torch import nn

from .arrangements import Arrangement, modules


def linear_head(channels: int, classes: int, arrangement: Arrangement) -> nn.Module:
    """The arrangement's closing activation, average pooling, K classes. (N, C, H, W) -> (N, K)."""
    closing = modules(arrangement.head, channels)
    return nn.Sequential(
        *closing, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )
