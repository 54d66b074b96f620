"""Huang, Sun, Liu, Sedra, Weinberger 2016: stochastic depth. The item of plain training."""

import numpy as np

from ..experiments.probe import record
from ..results import Claim, Figure, Result, Series
from .he2015 import records
from .study import Item, Setting, Values


def first_layer_gradient(setting: Setting, values: Values) -> Result:
    """Mean absolute gradient of the first unit's first convolution, by epoch (fig. 7)."""
    series, ends = [], []
    for member in setting.trained:
        runs = [found.epochs for found in values.each(member.role, record())]
        epochs = [row.epoch for row in runs[0] if row.gradient]
        gradients = [[row.gradient for row in rows if row.gradient] for rows in runs]
        if epochs:
            means = np.exp(np.mean(np.log(gradients), axis=0)).tolist()
            series.append(Series(member.preset, tuple(epochs), tuple(means)))
            ends.append(f"{member.preset} {means[0]:.2e} to {means[-1]:.2e}")
    found = "; ".join(ends)
    return Result(
        "first-layer gradient",
        "Gradient that reaches the first unit during training",
        "Mean absolute gradient of the first unit's first convolution, first to last epoch "
        f"({setting.seed_words}, geometric mean): {found}.",
        Claim(
            "How much gradient arrives at the far end of the network while it trains.",
            "Huang et al. 2016, fig. 7, for other networks: no common scale",
            found,
            "measured",
        ),
        Figure("epoch", "mean |gradient|", tuple(series), log_y=True),
        n=f"mean over the steps of each epoch, batches as trained; {setting.seed_words}",
    )


FIRST_LAYER_GRADIENT = Item("first-layer gradient", records, first_layer_gradient)
