"""ResNet-110 with exponential linear units. Rows only."""

from functools import partial

from ..networks.resnet import cifar_resnet
from ..parts.arrangements import ELU, PELUS, Arrangement
from ..parts.init import HE_FAN_OUT
from .family import Family, Preset
from .published import Published
from .residual import BASIC, UNNAMED, c10, c100

SHAH16 = "Shah et al. 2016, Deep Residual Networks with Exponential Linear Unit"
TROTTIER17 = "Trottier et al. 2017, Parametric Exponential Linear Unit"
CODE = "pelu.resnet.torch"
LAST, BEST = "median of 5, mean of the last 5 epochs", "median of 5, best epoch"
RERUN = "trained again there for 200 epochs"
MIXED = "the pair that is quoted seems to be the best epoch of one and the mean of the other"
BLOCK = "interpretation: the block of pelu.resnet.torch, no recipe was found"


def exponential(
    order: Arrangement, depth: int, recipe: str, *published: Published, note: str = ""
) -> Preset:
    maker, network = partial(BASIC, arrangement=order), partial(cifar_resnet, depth)
    name, source = f"{order.name}-resnet{depth}", SHAH16 if order is ELU else TROTTIER17
    return Preset(
        name, depth, source, network, maker, HE_FAN_OUT, recipe, published, note,
        options=("shortcut",),
    )  # fmt: skip


ROWS = (
    exponential(ELU, 110, "fb-cifar", c10(5.62, "", SHAH16), c100(26.55, "", SHAH16),
                c10(6.55, LAST, CODE, RERUN), c100(26.59, LAST, CODE, RERUN),
                c10(5.99, BEST, CODE, RERUN), c100(25.08, BEST, CODE, RERUN), note=BLOCK),
    exponential(PELUS, 110, "pelu-cifar", c10(5.37, "", TROTTIER17, MIXED),
                c100(25.04, "", TROTTIER17, MIXED), c10(5.51, LAST, CODE), c100(25.02, LAST, CODE),
                c10(5.36, BEST, CODE), c100(24.55, BEST, CODE)),
)  # fmt: skip


def _family(order: Arrangement, recipe: str) -> Family:
    def member(name: str, depth: int) -> Preset:
        return exponential(order, depth, recipe, note=UNNAMED)

    return Family(f"{order.name}-resnet", 6, member)


FAMILIES = (_family(ELU, "fb-cifar"), _family(PELUS, "pelu-cifar"))
