"""Residual networks of linear layers on flat images (Huang et al. 2018, BoostResNet, sec. 5)."""

from torch import nn

from ..errors import UsageError
from ..parts.stems import flat_stem
from ..units import ResidualNetwork, ResidualUnit


def mlp_resnet(
    classes: int, units: int = 10, hidden: int = 1024, size: int = 28
) -> ResidualNetwork:
    """x' = x + W ReLU(V x), units with one hidden layer. (N, 3, size, size) -> (N, K).

    The units work on the pixels themselves. The paper gives the hidden width and leaves the number
    of units open. UsageError: no unit.
    """
    if units < 1:
        raise UsageError(f"a network has at least one unit, not {units}")
    pixels = size * size

    def branch() -> nn.Module:
        return nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, pixels))

    built = [ResidualUnit(branch()) for _ in range(units)]
    return ResidualNetwork(flat_stem(), built, nn.Linear(pixels, classes))
