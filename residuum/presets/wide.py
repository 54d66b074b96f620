"""Wide residual networks. Rows only."""

from functools import partial

from ..networks.wide import dropping_out, wide, wide_resnet
from ..parts.init import HE_FAN_OUT_TORCH7
from .family import Family, Preset
from .nested import T6 as ROR_T6
from .published import Published
from .residual import UNNAMED, c10, c100, changed, svhn
from .stochastic import LINEAR

WRN16 = "Zagoruyko and Komodakis 2016, Wide Residual Networks"
V1, CODE = f"{WRN16}, first version", "wide-residual-networks"
MEDIAN5 = "median of 5"
WHITENED = "GCN and ZCA whitening"
CHANNELS = "channel mean and deviation"
RIVALS = "trained by Zhang et al."
DEPTH = "the authors count the three projections as layers, not the linear one"
SVHN_NOTE = "SVHN 1.64, often quoted beside it, is wrn16-4-dropout; 1.54 is wrn16-8-dropout"
RATE = "interpretation: dropout {} for {}, as in the code's examples"


def wrn(depth: int, factor: int, *published: Published, note: str = "", **how) -> Preset:
    """`dropout`: its rate; `recipe`; `suffix` and `maker` of what else is done to it."""
    rate, name = how.get("dropout"), f"wrn{depth}-{factor}{how.get('suffix', '')}"
    maker, options = how.get("maker", wide), ("shortcut", "arrangement")
    if rate is not None:
        name += "-dropout"
        maker, options = partial(wide, arrangement=dropping_out(rate)), ("shortcut",)
    note = "; ".join(filter(None, (DEPTH, note)))
    network, recipe = partial(wide_resnet, depth, factor), how.get("recipe", "wrn-cifar")
    start = HE_FAN_OUT_TORCH7
    return Preset(
        name, depth, WRN16, network, maker, start, recipe, published, note, options=options
    )


ROWS = (
    wrn(16, 4), wrn(16, 8), wrn(16, 10),
    wrn(28, 10, c10(4.17, "", V1, WHITENED), c100(20.50, "", V1, WHITENED),
        c10(4.00, MEDIAN5, CODE, CHANNELS), c100(19.25, MEDIAN5, CODE, CHANNELS), note=SVHN_NOTE),
    wrn(40, 1),
    wrn(40, 2, c10(4.81, "", ROR_T6, RIVALS), c100(24.70, "", ROR_T6, RIVALS)),
    wrn(40, 2, c10(4.80, "", ROR_T6, RIVALS), c100(22.87, "", ROR_T6, RIVALS),
        suffix="-stochastic", maker=changed(wide, LINEAR), recipe="ror-cifar"),
    wrn(40, 4, c10(5.11, "single run", CODE, f"{WHITENED}; the released log")),
    wrn(40, 8), wrn(40, 10), wrn(58, 4),
    wrn(28, 10, c10(3.89, MEDIAN5, CODE, CHANNELS), c100(18.85, MEDIAN5, CODE, CHANNELS),
        dropout=0.3, note=RATE.format(0.3, "CIFAR")),
    wrn(40, 10, c10(3.8, "single run", CODE, CHANNELS), c100(18.3, "single run", CODE, CHANNELS),
        dropout=0.3, note=RATE.format(0.3, "CIFAR")),
    wrn(16, 4, svhn(1.64, "", V1, "often quoted as the error of WRN-28-10"),
        dropout=0.4, recipe="wrn-svhn", note=RATE.format(0.4, "SVHN")),
    wrn(16, 8, svhn(1.54, "single run", CODE), dropout=0.4, recipe="wrn-svhn",
        note=RATE.format(0.4, "SVHN")),
)  # fmt: skip


def _member(factor: int, name: str, depth: int) -> Preset:
    return wrn(depth, factor, note=UNNAMED)


FAMILIES = tuple(
    Family("wrn", 6, partial(_member, factor), f"-{factor}", 4) for factor in (1, 2, 4, 8, 10)
)
