"""Wide residual networks (Zagoruyko and Komodakis 2016): few units, many channels."""

from functools import partial

from ..errors import UsageError
from ..parts.arrangements import PREACT, Arrangement
from ..parts.branches import basic
from ..parts.shortcuts import option_b_bare
from ..units import ResidualNetwork
from .resnet import cifar_network, three_stages
from .stages import Rows, UnitMaker, flat, residual, share_projections, units_of_stage

# the paper's units: pre-activation, projections of the activated signal, nothing else shared
wide = partial(
    residual, block=basic, shortcut=option_b_bare, arrangement=PREACT, opening=share_projections
)


def dropping_out(rate: float) -> Arrangement:
    """Pre-activation with dropout between the convolutions (their sec. 2.4)."""
    last = f"bn relu dropout:{rate:g} conv"
    return Arrangement("preact_dropout", "-", PREACT.layer, last, stem="conv", head=PREACT.head)


def wide_resnet(
    depth: int, factor: int, classes: int, maker: UnitMaker | None = None, rows: Rows = flat
) -> ResidualNetwork:
    """WRN-depth-factor: a stem of 16 channels, stages of 16, 32, 64 times the factor.

    (N, 3, 32, 32) -> (N, K). Depth 6n+4: the authors count the three projections, not the linear
    layer, so 6n+2 layers lie on the way.

    `maker`: of its units; `wide()` by default, `wide(arrangement=dropping_out(0.3))` drops out.
    UsageError: a depth that has no whole number of units, a factor below 1.
    """
    n = units_of_stage(depth, 2, 4, "a wide ResNet", (16, 22, 28, 40, 58))
    if factor < 1:
        raise UsageError(f"a wide ResNet is at least 1 time as wide, not {factor}")
    return cifar_network(16, three_stages(n, 16 * factor), classes, maker or wide(), rows)
