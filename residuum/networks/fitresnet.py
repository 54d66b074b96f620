"""FitNet-4 with shortcuts round pairs of convolutions (Mishkin and Matas 2016, "FitResNet")."""

from collections.abc import Sequence
from functools import partial

from torch import nn

from ..parts.arrangements import Arrangement
from ..parts.branches import Layer, basic, biased
from ..parts.shortcuts import option_b_bare
from ..units import ResidualNetwork
from .stages import Stage, UnitMaker, places, residual

ORDER = Arrangement("fitresnet", "-", "conv relu", "conv", after="relu", stem="conv relu")
STAGES = (Stage(1, 32, 1), Stage(1, 48, 1), Stage(3, 80, 1), Stage(3, 128, 1))
POOLED = (1, 4)  # units that a 2x2 max-pool follows


# two 3x3 convolutions with biases and no normalisation, a 1x1 convolution where widths change
fitted = partial(residual, block=biased(basic), shortcut=option_b_bare, arrangement=ORDER)


def fitresnet(
    classes: int,
    maker: UnitMaker | None = None,
    dropout: float = 0.2,
    stages: Sequence[Stage] = STAGES,
) -> ResidualNetwork:
    """19 layers: 32x3, 48x2 | 80x6 | 128x6, then 500 hidden. (N, 3, 32, 32) -> (N, K).

    `dropout`: of the image, behind each pool and behind the hidden layer.
    `stages`: with 8 units.
    """
    maker, first = maker or fitted(), stages[0].width
    standing = places(first, stages, maker.block)
    units = [maker(place) for place in standing]
    for number in POOLED:
        after = units[number].after
        units[number].after = nn.Sequential(after, nn.MaxPool2d(2), nn.Dropout(dropout))
    convolution = Layer(3, first, 3, bias=True).arranged(maker.arrangement.stem)
    hidden = [nn.Linear(standing[-1].c_out, 500), nn.ReLU(), nn.Dropout(dropout)]
    pooled = [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    head = nn.Sequential(*pooled, *hidden, nn.Linear(500, classes))
    return ResidualNetwork(nn.Sequential(nn.Dropout(dropout), *convolution), units, head)
