"""Units that may be left out of a step: makers from makers, and how long units survive."""

from collections.abc import Callable
from dataclasses import replace

from ..parts.wrappers import Dropped, Per, Scaling
from ..units import ResidualUnit
from .stages import Place, UnitMaker

Survival = Callable[[Place], float]


def linear(last: float) -> Survival:
    """p_l = 1 - l/L (1 - p_L), l = 1..L: down to `last` (Huang et al. 2016, eq. 4)."""
    return lambda place: 1 - (place.number + 1) / place.total * (1 - last)


def uniform(survival: float) -> Survival:
    """The same for every unit."""
    return lambda place: survival


def survive(
    maker: UnitMaker, survival: Survival, per: Per = "batch", scaling: Scaling = "test"
) -> UnitMaker:
    """The maker's units, each branch there with its place's survival: see `Dropped`."""

    def make(place: Place) -> ResidualUnit:
        unit = maker(place)
        unit.branch = Dropped(unit.branch, survival(place), per, scaling)
        return unit

    return replace(maker, make=make)
