"""Weighted residual networks. Rows only."""

from dataclasses import replace
from functools import partial

from ..networks.weighted import weighted, weighted_resnet
from ..parts.arrangements import RELU_BEFORE_ADD
from ..parts.init import HE_FAN_IN
from .family import Family, Preset
from .published import Published
from .residual import UNNAMED, c10

SHEN16 = "Shen and Zeng 2016, Weighted Residuals for Very Deep Networks"
WIDENING = "interpretation: the two widening convolutions have normalisation and ReLU, as the stem"
DROPOUT = "the d of WRResNet-d is dropout, at 0.3 between the convolutions; no recipe was found"
DROPPING = replace(RELU_BEFORE_ADD, name="weighted_dropout", layer="conv bn relu dropout:0.3")


def wrresnet(depth: int, *published: Published, dropout: bool = False, note: str = "") -> Preset:
    name = f"wrresnet{depth}" + ("-dropout" if dropout else "")
    maker = partial(weighted, DROPPING) if dropout else weighted
    network, said = partial(weighted_resnet, depth), f"{WIDENING}; {note}".removesuffix("; ")
    return Preset(
        name, depth, SHEN16, network, maker, HE_FAN_IN, "he-cifar", published, said, options=()
    )


ROWS = (
    wrresnet(1192),
    wrresnet(1192, c10(4.70, "", SHEN16, "an accuracy of 95.3 % in the abstract"),
             dropout=True, note=DROPOUT),
)  # fmt: skip


def _member(name: str, depth: int) -> Preset:
    return wrresnet(depth, note=UNNAMED)


FAMILIES = (Family("wrresnet", 6, _member, offset=4),)
