"""Networks that are trained unit by unit, by boosting. Rows only."""

from ..networks.mlp import mlp_resnet
from ..parts.init import HE_FAN_IN
from .family import Preset

ROWS = (
    Preset(
        "mlp-resnet", 21, "Huang et al. 2018, BoostResNet, sec. 5", mlp_resnet, None,
        HE_FAN_IN, "boost-cifar",
        note="units with one hidden layer of 1024 on the pixels of grey images, by default 28x28 "
        "as MNIST. Ten units are an interpretation; the paper shows curves only",
        size=28, options=("size",),
    ),
)  # fmt: skip
FAMILIES = ()
