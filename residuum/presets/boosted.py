"""BoostResNet: networks that are trained unit by unit. Rows only."""

from functools import partial

from ..networks.mlp import mlp_resnet
from ..networks.resnet import cifar_resnet
from ..parts.init import HE_FAN_IN, HE_FAN_OUT
from .family import Preset
from .residual import BASIC

HUANG18 = "Huang et al. 2018, Learning Deep ResNet Blocks Sequentially"
CURVES = "about as good as end-to-end training on SVHN, a little worse on CIFAR-10; curves only"
FILTERS = "interpretation: widths 16, 32, 64 as its code has them; the paper says 15 filters"

ROWS = (
    Preset(
        "boost-resnet50", 50, HUANG18, partial(cifar_resnet, 50), BASIC,
        HE_FAN_OUT, "boost-cifar", note=f"{FILTERS}; {CURVES}",
    ),
    Preset(
        "mlp-resnet", 21, "Huang et al. 2018, BoostResNet, sec. 5", mlp_resnet, None,
        HE_FAN_IN, "boost-cifar",
        note="units with one hidden layer of 1024 on the pixels of grey images, by default 28x28 "
        "as MNIST. Ten units are an interpretation; the paper shows curves only",
        size=28, options=("size",),
    ),
)  # fmt: skip
FAMILIES = ()
