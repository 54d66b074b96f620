"""Residual networks of residual networks, and what they are compared with. Rows only."""

from functools import partial

from ..networks.resnet import cifar_resnet
from ..networks.ror import levels
from ..networks.stages import share_nothing
from ..networks.wide import wide, wide_resnet
from ..parts.init import HE_FAN_OUT, HE_FAN_OUT_TORCH7
from .family import Family, Preset
from .published import Published
from .residual import BASIC, PRE_BASIC, UNNAMED, c10, c100, changed, svhn
from .stochastic import LINEAR

ZHANG16 = "Zhang et al. 2016, Residual Networks of Residual Networks"
T5, T6, T11 = (f"{ZHANG16}, table {n}" for n in ("V", "VI", "XI"))
EPOCHS = "500 epochs"
UNSAID = "500 epochs with stochastic depth, which table XI leaves out of the name"
INFERRED = f"{UNSAID}; inferred from the rows where it is proved"
LAST = "interpretation: option A inside the levels, depth 6n+2 of the base network"
RAW = "interpretation: 1x1 convolutions of the raw signal where widths change, at every level"
HALVED = "interpretation: levels beyond the third halve each stage"
BASE = "quoted with {} parameters, which its base network has; counted {}"
BASICS = "27 basic units a stage; preresnet164 of He et al. has bottlenecks"

MAKERS = {"ror": BASIC, "pre-ror": partial(PRE_BASIC, opening=share_nothing)}
WIDE = partial(wide, opening=share_nothing)


def _note(number: int, base: str, extra: str) -> str:
    return "; ".join(filter(None, (base, HALVED if number > 3 else "", extra)))


def ror(
    name: str, depth: int, *published: Published, note: str = "", source: str = ZHANG16
) -> Preset:
    """Of a name such as pre-ror3-164-stochastic."""
    kind, _, rest = name.rpartition("ror")
    number, maker = int(rest[0]), MAKERS[f"{kind}ror"]
    if name.endswith("-stochastic"):
        maker = changed(maker, LINEAR)
    network = partial(cifar_resnet, depth, rows=levels(number))
    note, start = _note(number, LAST, note), HE_FAN_OUT
    return Preset(name, depth, source, network, maker, start, "ror-cifar", published, note)


def wide_ror(name: str, depth: int, factor: int, *published: Published, note: str = "") -> Preset:
    """Of a name such as ror3-wrn40-2-stochastic."""
    maker = changed(WIDE, LINEAR) if name.endswith("-stochastic") else WIDE
    number, start = int(name[3]), HE_FAN_OUT_TORCH7
    network = partial(wide_resnet, depth, factor, rows=levels(number))
    note = _note(number, RAW, note)
    return Preset(name, depth, ZHANG16, network, maker, start, "ror-cifar", published, note)


def _base(name: str, maker, *published: Published) -> Preset:
    network = partial(cifar_resnet, 164)
    return Preset(
        name, 164, T5, network, maker, HE_FAN_OUT, "ror-cifar", published, BASICS
    )  # fmt: skip


ROWS = (
    _base("preresnet164-basic", PRE_BASIC, c10(5.04, "", T5, EPOCHS), c100(25.54, "", T5, EPOCHS)),
    _base("preresnet164-basic-stochastic", changed(PRE_BASIC, LINEAR),
          c10(4.67, "", T5, EPOCHS), c100(22.49, "", T5, EPOCHS)),
    *(ror(f"ror{number}-110", 110) for number in (2, 3, 4, 5)),
    ror("ror3-164", 164),
    ror("ror3-164-stochastic", 164, c10(4.86, "", T11, INFERRED), c100(22.47, "", T11, INFERRED),
        note="quoted with 2.5M parameters, which depth 6n+8 would have; counted 2.6M"),
    *(ror(f"pre-ror{number}-164", 164) for number in (2, 4, 5)),
    ror("pre-ror3-164", 164, c10(5.02, "", T5, EPOCHS), c100(25.33, "", T5, EPOCHS)),
    ror("pre-ror3-164-stochastic", 164, c10(4.51, "", T5, UNSAID), c100(21.94, "", T5, UNSAID),
        note="quoted with 2.5M parameters, which depth 6n+8 would have; counted 2.6M"),
    ror("pre-ror3-1202", 1202),
    ror("pre-ror3-1202-stochastic", 1202,
        c10(4.49, "", T11, INFERRED), c100(20.64, "", T11, INFERRED)),
    *(wide_ror(f"ror{number}-wrn40-2", 40, 2) for number in (2, 4, 5)),
    wide_ror("ror3-wrn40-2", 40, 2, c10(5.01, "", T6), c100(25.19, "", T6),
             note="without stochastic depth it is worse than wrn40-2"),
    wide_ror("ror3-wrn40-2-stochastic", 40, 2, c10(4.59, "", T6, UNSAID),
             c100(22.48, "", T6, UNSAID), note=BASE.format("2.2M", "2.26M")),
    wide_ror("ror3-wrn40-4", 40, 4),
    wide_ror("ror3-wrn40-4-stochastic", 40, 4, c10(4.09, "", T11, INFERRED),
             c100(20.11, "", T11, INFERRED), note=BASE.format("8.9M", "9.0M")),
    wide_ror("ror3-wrn58-4", 58, 4),
    wide_ror("ror3-wrn58-4-stochastic", 58, 4, c10(3.77, "", T11, UNSAID),
             c100(19.73, "", T11, UNSAID), svhn(1.59, "", T11, "with stochastic depth"),
             note="quoted with 13.3M parameters; counted 13.65M, 13.60M without the levels"),
)  # fmt: skip


def _families():
    for number, suffix in ((2, ""), (3, ""), (3, "-stochastic"), (4, ""), (5, "")):
        for kind in MAKERS:
            yield Family(f"{kind}{number}-", 6, partial(ror, note=UNNAMED), suffix)
        for factor in (2, 4):
            member = partial(_wide_member, factor)
            yield Family(f"ror{number}-wrn", 6, member, f"-{factor}{suffix}", 4)


def _wide_member(factor: int, name: str, depth: int) -> Preset:
    return wide_ror(name, depth, factor, note=UNNAMED)


FAMILIES = tuple(_families())
