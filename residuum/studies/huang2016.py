"""Huang, Sun, Liu, Sedra, Weinberger 2016: stochastic depth. The item of plain training."""

from ..experiments.probe import record
from ..results import Claim, Figure, Result, Series
from .he2015 import records
from .study import Item, Setting, Values


def first_layer_gradient(setting: Setting, values: Values) -> Result:
    """Mean absolute gradient of the first unit's first convolution, by epoch (fig. 7)."""
    series, ends = [], []
    for member in setting.members:
        rows = [r for r in values.of(member.role, record()).epochs if r.gradient]
        if rows:
            epochs, gradients = zip(*((r.epoch, r.gradient) for r in rows), strict=True)
            series.append(Series(member.preset, epochs, gradients))
            ends.append(f"{member.preset} {gradients[0]:.2e} to {gradients[-1]:.2e}")
    found = "; ".join(ends)
    return Result(
        "first-layer gradient",
        "Gradient that reaches the first unit during training",
        "Mean absolute gradient of the first unit's first convolution, first to last epoch: "
        f"{found}.",
        Claim(
            "How much gradient arrives at the far end of the network while it trains.",
            "Huang et al. 2016, fig. 7, for other networks: no common scale",
            found,
            "measured",
        ),
        Figure("epoch", "mean |gradient|", tuple(series), log_y=True),
        n="mean over the steps of each epoch, batches as trained",
    )


FIRST_LAYER_GRADIENT = Item("first-layer gradient", records, first_layer_gradient)
