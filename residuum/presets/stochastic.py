"""Networks trained with stochastic depth. Rows only."""

from functools import partial

from ..networks.resnet import cifar_resnet, imagenet_resnet
from ..networks.stages import UnitMaker
from ..networks.stochastic import linear, survive
from ..parts.init import HE_FAN_IN_TORCH7, HE_FAN_OUT
from ..parts.shortcuts import Shortcut, option_a_average
from .family import Family, Preset
from .published import Published
from .residual import BASIC, LARGE_BOTTLENECK, UNNAMED, c10, c100, changed, svhn, top1

HUANG16 = "Huang et al. 2016, Deep Networks with Stochastic Depth"
BEST = "at the epoch of lowest validation error"
T1, SEC4 = HUANG16 + ", table 1", HUANG16 + ", sec. 4"
DEPTHS = "often quoted beside the errors of 110 layers"
VERSIONS = "5.25 and 24.98 in the conference version, 5.23 and 24.58 in another"


LINEAR = partial(survive, survival=linear(0.5))


def surviving(shortcut: Shortcut = option_a_average, last: float = 0.5, **parts) -> UnitMaker:
    """Basic units with linear survival down to `last`."""
    return survive(BASIC(shortcut=shortcut, **parts), linear(last))


def stochastic(depth: int, recipe: str, *published: Published, note: str = "") -> Preset:
    network = partial(cifar_resnet, depth)
    name = f"resnet{depth}-stochastic"
    start = HE_FAN_IN_TORCH7
    return Preset(name, depth, HUANG16, network, surviving, start, recipe, published, note)


ROWS = (
    stochastic(110, "sd-cifar", c10(5.23, BEST, T1, VERSIONS),
               c100(24.58, BEST, T1, VERSIONS)),
    stochastic(152, "sd-svhn", svhn(1.75, BEST, T1, DEPTHS)),
    stochastic(1202, "sd-1202", c10(4.91, BEST, SEC4)),
    Preset("imagenet-resnet152-stochastic", 152, HUANG16, partial(imagenet_resnet, 152),
           changed(LARGE_BOTTLENECK, LINEAR), HE_FAN_OUT, "imagenet-fb",
           (top1(21.98, "", HUANG16, "validation error after 120 epochs; 21.78 without"),),
           "interpretation: shortcuts and stride as fb.resnet.torch has them", 224, 1000),
)  # fmt: skip


def _member(name: str, depth: int) -> Preset:
    return stochastic(depth, "sd-cifar", note=UNNAMED)


FAMILIES = (Family("resnet", 6, _member, "-stochastic"),)
