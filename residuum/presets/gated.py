"""The shortcut types of He et al. 2016, table 1, all on ResNet-110. Rows only.

The network of constant scaling 0/1 is plain110, the original resnet110.
"""

from collections.abc import Callable
from functools import partial

from ..networks.gated import exclusive_gate, noisy_shortcut, scaled, shortcut_gate
from ..networks.resnet import cifar_resnet
from ..networks.stages import UnitMaker
from ..parts.init import HE_FAN_IN
from ..parts.shortcuts import option_c
from .family import Preset
from .published import Published
from .residual import BASIC, MEDIAN, T1, c10, changed

FAIL = "an error above 20 % is a failure there"
STRIDED = (
    "interpretation: where the shape changes, what is done to the shortcut is done to option A, "
    "and the gate has the unit's stride"
)
NORMALISED = "interpretation: normalisation behind the 1x1, which the paper's figure leaves out"
DROPOUT = "interpretation: nothing is dropped and nothing scaled at test"


def of(kind: str, maker: Callable[..., UnitMaker], error: float | str, note: str = STRIDED):
    remark = FAIL if error == "fail" else ""
    published = (Published("CIFAR-10", "fail", MEDIAN, T1, remark),)
    if isinstance(error, float):
        published = (c10(error, MEDIAN, T1),)
    network, name = partial(cifar_resnet, 110), f"resnet110-{kind}"
    return Preset(name, 110, T1, network, maker, HE_FAN_IN, "preact-cifar", published, note)


def gates(kind: str, gate: Callable[..., UnitMaker], errors: dict[int, float | str]):
    """Rows by the bias that the gate starts with: b6 stands for -6."""
    for bias, error in errors.items():
        yield of(f"{kind}-gate-b{bias}", changed(BASIC, partial(gate, start=-bias)), error)


ROWS = (
    of("scaled-0.5-1", changed(BASIC, partial(scaled, around=0.5, through=1)), "fail"),
    of("scaled-0.5-0.5", changed(BASIC, partial(scaled, around=0.5, through=0.5)), 12.35),
    *gates("exclusive", exclusive_gate, dict.fromkeys(range(6), "fail") | {6: 8.70, 7: 9.81}),
    *gates("shortcut", shortcut_gate, {0: 12.86, 6: 6.91}),
    of("projected", partial(BASIC, shortcut=option_c), 12.22, NORMALISED),
    of("dropped-shortcut", changed(BASIC, noisy_shortcut), "fail", f"{STRIDED}; {DROPOUT}"),
)
FAMILIES = ()
