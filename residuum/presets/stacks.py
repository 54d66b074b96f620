"""Stacks of layers without shortcuts. Rows only."""

from ..networks.stacks import vgg
from ..parts.init import HE_FAN_IN
from .family import Preset

ROWS = (
    Preset(
        "vgg15", 15, "Veit et al. 2016, Residual Networks Behave Like Ensembles, sec. 4.1",
        vgg, None, HE_FAN_IN, "fb-cifar", options=("size",),
        note="15 layers, 128 channels everywhere; "
        "groups 2-2-3-3-3 and two linear layers are this project's reading",
    ),
)  # fmt: skip
FAMILIES = ()
