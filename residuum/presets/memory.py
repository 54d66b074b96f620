"""Residual networks with a memory beside them. Rows only."""

from ..networks.crmn import crmn
from ..parts.init import HE_FAN_OUT
from .family import Preset
from .residual import c10, c100, svhn

MONIZ16 = "Moniz and Pal 2016, Convolutional Residual Memory Networks"

ROWS = (
    Preset(
        "crmn28", 26, MONIZ16, crmn, None, HE_FAN_OUT, "wrn-cifar",
        (c10(4.65, "", MONIZ16), c100(20.35, "", MONIZ16), svhn(1.68, "", MONIZ16)),
        note="WRN-28-10 and an LSTM of 1000 units over the pooled output of every unit, "
        "interpretation of 'more than 40M' parameters; 28 counts three projections and no linear "
        "layer. Paths are those of the backbone",
        options=(),
    ),
)  # fmt: skip
FAMILIES = ()
