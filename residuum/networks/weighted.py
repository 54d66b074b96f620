"""Weighted residual networks (Shen and Zeng 2016): each branch times a learned number."""

from collections.abc import Sequence

from torch import nn

from ..parts.arrangements import RELU_BEFORE_ADD, Arrangement
from ..parts.branches import Layer, basic
from ..parts.shortcuts import option_a
from ..parts.wrappers import Weighted
from ..units import ResidualNetwork, ResidualUnit
from .resnet import cifar_network, three_stages
from .stages import Place, Rows, UnitMaker, residual, units_of_stage, wrapped


def weighted(arrangement: Arrangement = RELU_BEFORE_ADD) -> UnitMaker:
    """x + w ReLU(...): the branch gives nothing negative, its sign comes from w."""
    return wrapped(
        residual(basic, option_a, arrangement), through=lambda road, place: Weighted(road)
    )


def widening(words: str = "conv bn relu") -> Rows:
    """A 3x3 convolution with its stride ahead of each stage, so that shortcuts are identities.

    It stands in `before` of the stage's first unit and stays when that is deleted.
    """

    def make(maker: UnitMaker, place: Place) -> ResidualUnit:
        if place.stride == 1:
            return maker(place)
        unit = maker(place._replace(c_in=place.c_out, stride=1))
        convolution = Layer(place.c_in, place.c_out, 3, place.stride).arranged(words)
        unit.before = nn.Sequential(*convolution, unit.before)
        return unit

    def rows(maker: UnitMaker, standing: Sequence[Place]) -> list[ResidualUnit]:
        return [make(maker, place) for place in standing]

    return rows


def weighted_resnet(
    depth: int, classes: int, maker: UnitMaker | None = None, rows: Rows | None = None
) -> ResidualNetwork:
    """(N, 3, 32, 32) -> (N, K), depth 6n+4: two widening convolutions are layers of their own.

    `maker`: of its units; `weighted()` by default.
    `rows`: how the stages widen; `widening()` by default.
    UsageError: a depth that has no whole number of units.
    """
    stages = three_stages(units_of_stage(depth, 2, 4, "a weighted ResNet", (118, 1192)), 16)
    return cifar_network(16, stages, classes, maker or weighted(), rows or widening())
