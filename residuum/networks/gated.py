"""The shortcuts that He et al. 2016, table 1 compare: makers from makers."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from ..parts.merges import Gate, GateConvolution
from ..parts.wrappers import Gated, Scaled
from ..units import ResidualUnit
from .stages import Place, UnitMaker, wrapped


def scaled(maker: UnitMaker, around: float, through: float) -> UnitMaker:
    """Constant scaling: around h + through F."""
    return wrapped(
        maker,
        lambda road, place: Scaled(road, around) if around != 1 else road,
        lambda road, place: Scaled(road, through) if through != 1 else road,
    )


def _gate(place: Place, start: float) -> GateConvolution:
    """1x1, from what the unit is given to the shape that it gives, with the unit's stride."""
    return GateConvolution(place.c_in, place.c_out, 1, place.stride, start)


def exclusive_gate(maker: UnitMaker, start: float) -> UnitMaker:
    """(1 - g) h + g F, g a 1x1 convolution whose bias starts at `start`."""

    def make(place: Place) -> ResidualUnit:
        unit = maker(place)
        unit.merge = Gate(_gate(place, start))
        return unit

    return replace(maker, make=make)


def shortcut_gate(maker: UnitMaker, start: float) -> UnitMaker:
    """(1 - g) h + F: only the shortcut is gated."""
    return wrapped(maker, around=lambda road, place: Gated(road, _gate(place, start)))


def noisy_shortcut(
    maker: UnitMaker, noise: Callable[[], nn.Module] = lambda: nn.Dropout(0.5)
) -> UnitMaker:
    """h with dropout behind it: nothing is said of the test, so `noise` is a part."""
    return wrapped(maker, around=lambda road, place: nn.Sequential(road, noise()))
