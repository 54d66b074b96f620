"""How far the gates of a highway network are open (Srivastava et al. 2015, fig. 2)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..views import unravel
from ..views.gates import gates
from ..views.inputs import Inputs, call, count, take
from ..views.trace import undisturbed
from .statistics import Estimate, student_mean
from .variants import require_some

BINS = 20
BATCH = 64


@dataclass(frozen=True)
class GateStatistics:
    """Of the unit `number`, T of (1 - T) h + T F (of a gated shortcut (1 - T) h + F). `mean`: over
    examples, each by its mean over places. `histogram`: how many values lie in each of 20 equal
    bins of [0, 1]. `by_channel`: means along the first dimension of an example. `spread`: the
    standard deviation over examples of one place, averaged over places: 0 where the gate does not
    depend on what it reads."""

    number: int
    mean: Estimate
    histogram: tuple[int, ...]
    by_channel: tuple[float, ...]
    spread: float

    @property
    def shut(self) -> float:
        """The share of values below 0.1."""
        return sum(self.histogram[: BINS // 10]) / sum(self.histogram)

    @property
    def open(self) -> float:
        """The share of values from 0.9 on."""
        return sum(self.histogram[-BINS // 10 :]) / sum(self.histogram)


def gate_statistics(model: Any, inputs: Inputs, batch: int = BATCH) -> list[GateStatistics]:
    """Of every gated unit, in signal order, from one pass over the inputs.

    UsageError: a model in which no gate can be seen.
    """
    view = unravel(model)
    require_some(inputs)
    found: dict[int, _Gate] = {}

    def see(number: int, gate: Tensor) -> None:
        found.setdefault(number, _Gate()).see(gate)

    n = count(inputs)
    for start in range(0, n, batch):
        some = take(inputs, slice(start, start + batch))
        with torch.no_grad(), undisturbed(view.model), gates(view, see) as numbers:
            if not numbers:
                raise UsageError(
                    "no unit of this model has a gate that can be seen: (1 - T) h + T F as two "
                    "products or a lerp, or a residuum.parts.merges.Gate"
                )
            call(view.model, some)
    return [gate.statistics(number) for number, gate in sorted(found.items())]


class _Gate:
    """What is summed up of one gate."""

    def __init__(self) -> None:
        self.means: list[np.ndarray] = []
        self.histogram = np.zeros(BINS, np.int64)
        self.sum: Tensor | None = None
        self.squares: Tensor | None = None

    def see(self, gate: Tensor) -> None:
        wide = gate.detach().double().cpu()
        self.means.append(wide.flatten(1).mean(1).numpy())
        self.histogram += np.histogram(wide.numpy(), BINS, (0, 1))[0]
        sums, squares = wide.sum(0), wide.square().sum(0)
        self.sum = sums if self.sum is None else self.sum + sums
        self.squares = squares if self.squares is None else self.squares + squares

    def statistics(self, number: int) -> GateStatistics:
        assert self.sum is not None
        assert self.squares is not None
        means = np.concatenate(self.means)
        place = self.sum / len(means)
        variance = (self.squares / len(means) - place.square()).clamp_min(0)
        return GateStatistics(
            number,
            student_mean(means),
            tuple(self.histogram.tolist()),
            tuple(place.flatten(1).mean(1).tolist() if place.ndim > 1 else place.tolist()),
            float(variance.sqrt().mean()),
        )
