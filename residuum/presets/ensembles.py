"""The networks of Veit et al. 2016. Rows only."""

from functools import partial

from ..networks.resnet import cifar_resnet
from ..networks.stages import UnitMaker
from ..networks.stochastic import survive, uniform
from ..parts.init import HE_FAN_OUT
from ..parts.wrappers import Scaling
from .family import Preset
from .published import Published
from .residual import PRE_BASIC, c10

VEIT16 = "Veit et al. 2016, Residual Networks Behave Like Ensembles"
SUBSET = (
    "23 of 54 units are active in every step; interpretation: at test every branch is scaled by "
    "23/54, which the paper does not say"
)


def active(share: float = 23 / 54, scaling: Scaling = "test", **parts) -> UnitMaker:
    """Units of which a share is active; the scheme `active-subset` draws exactly so many.

    `scaling`: "test" scales branches by their share at test, "none" does not.
    """
    return survive(PRE_BASIC(**parts), uniform(share), scaling=scaling)


def _row(name: str, maker, recipe: str, published: Published, note: str) -> Preset:
    network, start = partial(cifar_resnet, 110), HE_FAN_OUT
    return Preset(name, 110, VEIT16, network, maker, start, recipe, (published,), note)


ROWS = (
    _row("veit-preresnet110", PRE_BASIC, "he-cifar",
         c10(6.10, "", f"{VEIT16}, sec. 4"), "54 pre-activation units"),
    _row("veit-preresnet110-23of54", active, "veit-effective-paths",
         c10(5.96, "", f"{VEIT16}, sec. 4.3"), SUBSET),
)  # fmt: skip
FAMILIES = ()
