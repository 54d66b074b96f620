"""The networks of Veit et al. 2016 and of BoostResNet. Rows only."""

from functools import partial

from ..networks.resnet import cifar_resnet
from ..networks.stages import UnitMaker
from ..networks.stochastic import survive, uniform
from ..parts.init import HE_FAN_OUT
from ..parts.wrappers import Scaling
from .family import Preset
from .published import Published
from .residual import BASIC, PRE_BASIC, c10

VEIT16 = "Veit et al. 2016, Residual Networks Behave Like Ensembles"
HUANG18 = "Huang et al. 2018, Learning Deep ResNet Blocks Sequentially"
SUBSET = (
    "23 of 54 units are active in every step; interpretation: at test every branch is scaled by "
    "23/54, which the paper does not say"
)
CURVES = "about as good as end-to-end training on SVHN, a little worse on CIFAR-10; curves only"
FILTERS = "interpretation: widths 16, 32, 64 as its code has them; the paper says 15 filters"


def active(share: float = 23 / 54, scaling: Scaling = "test", **parts) -> UnitMaker:
    """Units of which a share is active; the scheme `active-subset` draws exactly so many.

    `scaling`: "test" scales branches by their share at test, "none" does not.
    """
    return survive(PRE_BASIC(**parts), uniform(share), scaling=scaling)


def _row(name: str, depth: int, source: str, maker, recipe: str, *said: Published | str) -> Preset:
    *published, note = said
    network = partial(cifar_resnet, depth)
    return Preset(name, depth, source, network, maker, HE_FAN_OUT, recipe, tuple(published), note)  # type: ignore[arg-type]


ROWS = (
    _row("veit-preresnet110", 110, VEIT16, PRE_BASIC, "he-cifar",
         c10(6.10, "", f"{VEIT16}, sec. 4"), "54 pre-activation units"),
    _row("veit-preresnet110-23of54", 110, VEIT16, active, "veit-effective-paths",
         c10(5.96, "", f"{VEIT16}, sec. 4.3"), SUBSET),
    _row("boost-resnet50", 50, HUANG18, BASIC, "boost-cifar", f"{FILTERS}; {CURVES}"),
)  # fmt: skip
FAMILIES = ()
