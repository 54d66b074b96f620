"""FitResNet: FitNet-4 with shortcuts. Rows only."""

from ..networks.fitresnet import fitresnet, fitted
from ..parts.init import HE_FAN_IN
from .family import Preset
from .residual import c10, c100
from .stacks import MISHKIN16

QUOTED = "He et al. 2016, Identity Mappings, table 5"

ROWS = (
    Preset(
        "fitresnet19", 19, MISHKIN16, fitresnet, fitted, HE_FAN_IN, "lsuv-fitnet4",
        (c10(5.84, "", QUOTED, "with LSUV"),
         c100(27.66, "", QUOTED, "of FitNet-4 with LSUV, another network: the row mixes two")),
        "interpretation: its structure was not found; the widths are those of FitNet-4, "
        "shortcuts go round pairs of convolutions", options=("shortcut",),
    ),
)  # fmt: skip
FAMILIES = ()
