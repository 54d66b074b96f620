"""Resnet in Resnet. Rows only."""

from functools import partial

from ..networks.rir import generalised, rir
from ..parts.init import HE_FAN_IN
from .family import Preset
from .residual import c10, c100

TARG16 = "Targ et al. 2016, Resnet in Resnet"
OUTER = (
    "interpretation: each block's outer shortcut passes the residual stream, "
    "by option A where the shape changes"
)
WIDTHS = "the paper says 10.3M parameters; counted 9.49M at 96 channels, 10.30M at 100 (rir18-100)"


def _row(name: str, width: int, note: str) -> Preset:
    network, published = partial(rir, width=width), ()
    if width == 96:
        published = (c10(5.01, "", TARG16), c100(22.90, "", TARG16))
    return Preset(
        name, 18, TARG16, network, generalised, HE_FAN_IN, "rir-cifar", published,
        f"{OUTER}; {note}", options=("shortcut",),
    )  # fmt: skip


ROWS = (
    _row("rir18", 96, WIDTHS),
    _row("rir18-100", 100, "widths 100, 200, 400 give the 10.3M parameters that the paper says"),
)
FAMILIES = ()
