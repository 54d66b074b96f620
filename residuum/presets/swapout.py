"""Swapout networks: v1 is post-, v2 pre-activation; w4 is four times as wide. Rows only."""

from functools import partial

from ..networks.resnet import cifar_resnet
from ..networks.stochastic import linear_from_one, swap_out
from ..parts.init import HE_FAN_IN
from .family import Preset
from .published import Published
from .residual import BASIC, PRE_BASIC, c10, c100, changed

SINGH16 = "Singh et al. 2016, Swapout"
PASSES = "stochastic inference"
NOTE = (
    "interpretation: the stem as wide as the first stage, option A, both roads kept with "
    "1 - 0.5 (l-1)/(L-1)"
)
KEPT = linear_from_one(0.5)
MAKERS = {
    version: changed(maker, partial(swap_out, around=KEPT, through=KEPT))
    for version, maker in (("v1", BASIC), ("v2", PRE_BASIC))
}


def swapout(version: str, depth: int, factor: int, *published: Published) -> Preset:
    name, network = f"swapout-{version}-{depth}-w{factor}", partial(cifar_resnet, depth)
    network = partial(network, width=16 * factor)
    maker, start = MAKERS[version], HE_FAN_IN
    return Preset(name, depth, SINGH16, network, maker, start, "swapout-cifar", published, NOTE)


ROWS = (
    swapout("v1", 20, 2),
    swapout("v1", 32, 4),
    swapout("v2", 20, 2, c10(5.68, PASSES, SINGH16)),
    swapout("v2", 20, 4, c10(5.09, PASSES, SINGH16)),
    swapout("v2", 32, 4, c10(4.76, PASSES, SINGH16), c100(22.72, PASSES, SINGH16)),
)
FAMILIES = ()
