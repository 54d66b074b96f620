"""Units that may be left out of a step: makers from makers, and how long units survive."""

from collections.abc import Callable

from ..errors import UsageError
from ..parts.merges import Probability
from ..parts.wrappers import Dropped, Noisy, Per, Scaling
from ..reader import require
from .stages import Place, UnitMaker, wrapped

Survival = Callable[[Place], float]


def linear(last: float) -> Survival:
    """p_l = 1 - l/L (1 - p_L), l = 1..L: down to `last` (Huang et al. 2016, eq. 4).

    UsageError: no probability.
    """
    require(last, Probability, "survival of the last unit", UsageError)
    return lambda place: 1 - (place.number + 1) / place.total * (1 - last)


def linear_from_one(last: float) -> Survival:
    """p_l = 1 - (l-1)/(L-1) (1 - p_L), l = 1..L: the first unit is always there (Singh et al.).

    UsageError: no probability.
    """
    require(last, Probability, "survival of the last unit", UsageError)
    return lambda place: 1 - place.number / max(place.total - 1, 1) * (1 - last)


def uniform(survival: float) -> Survival:
    """The same for every unit. UsageError: no probability."""
    require(survival, Probability, "survival", UsageError)
    return lambda place: survival


def survive(
    maker: UnitMaker, survival: Survival, per: Per = "batch", scaling: Scaling = "test"
) -> UnitMaker:
    """The maker's units, each branch there with its place's survival: see `Dropped`."""
    return wrapped(maker, through=lambda road, place: Dropped(road, survival(place), per, scaling))


def swap_out(maker: UnitMaker, around: Survival, through: Survival) -> UnitMaker:
    """The maker's units with noise on both roads, every element by itself (Singh et al. 2016).

    With `around` 1 it is the paper's SkipForward.
    """
    return wrapped(
        maker,
        lambda road, place: Noisy(road, around(place)),
        lambda road, place: Noisy(road, through(place)),
    )
