"""How much a unit changes the stream, without deleting it: cheap scores of redundancy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import NumericError, UsageError
from ..views import unravel
from ..views.inputs import Inputs, call, count, take
from ..views.trace import undisturbed
from ..views.view import Observer, View
from .kernels import LEAST, MinibatchCKA
from .statistics import Estimate, student_mean
from .variants import require_some

BATCH = 64  # examples whose kernels are compared at a time
Vectors = Callable[[Tensor], Tensor]


def whole(stream: Tensor) -> Tensor:
    """One vector an example, (N, 1, D)."""
    return stream.flatten(1)[:, None]


def tokens(stream: Tensor) -> Tensor:
    """One vector a token: (N, ..., D) -> (N, T, D)."""
    return stream.flatten(1, -2) if stream.ndim > 2 else stream[:, None]


def pixels(stream: Tensor) -> Tensor:
    """One vector a pixel: (N, C, H, W) -> (N, H W, C)."""
    return stream.flatten(2).transpose(1, 2) if stream.ndim > 2 else stream[:, None]


@dataclass(frozen=True)
class Redundancy:
    """Of one unit, x the stream that its shortcut brings to the sum and y = x + F behind the sum;
    means over examples. Small: it changes little. None in a plain unit, which has no x.

    `influence`: 1 - cos(x, y), the block influence (Men et al. 2024, eq. 1). `angle`:
    arccos(cos(x, y)) / pi (Gromov et al. 2024). `ratio`: |F| / |x|. `distance`: 1 - CKA(x, y), None
    where there are fewer than four examples or they do not vary. `response`: the standard deviation
    of F over examples and places (He et al. 2015, fig. 7).
    """

    number: int
    influence: Estimate | None
    angle: Estimate | None
    ratio: Estimate | None
    distance: float | None
    response: float


SCORES = tuple(field.name for field in fields(Redundancy)[1:])


def redundancy(
    model: Any, inputs: Inputs, vectors: Vectors = whole, batch: int = BATCH
) -> list[Redundancy]:
    """Every unit's scores, from one pass over the inputs (N, ...), in signal order.

    When to use: to rank units at the price of one pass; `agreement` says how far such a ranking is
    that of real deletions. `vectors`: what is compared by angle, `whole` examples, `tokens` or
    `pixels`, whose mean counts for the example. Nothing is held but one batch's kernels.

    NumericError: a stream that is zero or not finite.
    """
    view = unravel(model)
    units = [_Unit() for _ in view.units]

    def see(number: int, before: Tensor | None, branch: Tensor, after: Tensor) -> None:
        units[number].see(before, branch, after, vectors)

    for _ in passes(view, inputs, batch, see):
        pass
    return [unit.score(number) for number, unit in enumerate(units)]


class _Unit:
    """What is summed up of one unit."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.moments, self.n = np.zeros(2), 0
        self.kernels = MinibatchCKA(2, [(0, 1)])
        self.short = False

    def see(self, before: Tensor | None, branch: Tensor, after: Tensor, vectors: Vectors) -> None:
        wide = branch.double()
        self.moments += [float(wide.sum()), float(wide.square().sum())]
        self.n += wide.numel()
        if before is None:
            return
        x, y, f = (vectors(t.double()) for t in (before, after, branch))
        # 1 - cos as half of the squared distance of the directions: exact where it is small
        a, b = (t / t.norm(dim=-1, keepdim=True) for t in (x, y))
        distance = (a - b).norm(dim=-1)
        influence = distance.square() / 2
        angle = 2 / np.pi * torch.asin((distance / 2).clamp(max=1))
        ratio = f.norm(dim=-1) / x.norm(dim=-1)
        rows = torch.stack([t.mean(1) for t in (influence, angle, ratio)])
        self.rows.append(rows.cpu().numpy())
        if len(before) < LEAST:
            self.short = True
        else:
            self.kernels.add([kernel(before), kernel(after)])

    def score(self, number: int) -> Redundancy:
        mean, square = self.moments / self.n
        response = float(max(0.0, square - mean**2)) ** 0.5
        if not self.rows:
            return Redundancy(number, None, None, None, None, response)
        rows = np.concatenate(self.rows, 1)
        if not np.isfinite(rows).all():
            raise NumericError(f"the stream at unit {number} is zero or not finite")
        alike = np.nan if self.short else self.kernels.values[0, 1]
        distance = None if np.isnan(alike) else float(1 - alike)
        influence, angle, ratio = map(student_mean, rows)
        return Redundancy(number, influence, angle, ratio, distance, response)


def kernel(features: Tensor) -> np.ndarray:
    """The linear kernel of features (N, ...), (N, N) in float64."""
    rows = features.double().flatten(1)
    return (rows @ rows.T).cpu().numpy()


def cka(model: Any, inputs: Inputs, batch: int = BATCH) -> np.ndarray:
    """CKA of the streams behind all pairs of units, (units, units), unbiased, with the linear
    kernel of whole examples, over minibatches.

    UsageError: fewer than four examples.
    """
    view = unravel(model)
    if count(inputs) < LEAST:
        raise UsageError(f"CKA needs {LEAST} examples, and there are {count(inputs)}")
    found, kernels = MinibatchCKA(len(view.units)), dict[int, np.ndarray]()

    def see(number: int, before: Tensor | None, branch: Tensor, after: Tensor) -> None:
        kernels[number] = kernel(after)

    for _ in passes(view, inputs, batch, see):
        found.add([kernels[number] for number in range(len(view.units))])
    return found.values


def passes(view: View, inputs: Inputs, batch: int, see: Observer) -> Iterator[None]:
    """Passes over batches of nearly equal size, so that none is too short for a kernel."""
    require_some(inputs)
    if batch < LEAST:
        raise UsageError(f"a batch holds {LEAST} examples or more, not {batch}")
    n = count(inputs)
    edges = np.linspace(0, n, max(1, n // batch) + 1).round().astype(int).tolist()
    for start, stop in pairwise(edges):
        with torch.no_grad(), undisturbed(view.model), view.observed(see):
            call(view.model, take(inputs, slice(start, stop)))
        yield
