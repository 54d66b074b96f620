"""What removal brings on this machine: parameters, FLOPs, latency, memory, loss and error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..anatomy.deletions import Examples
from ..anatomy.statistics import Rate, geometric_mean, student_mean
from ..errors import NumericError
from ..views.edits import device_of
from ..views.inputs import call, count, take, tensors
from .measures import Comparison, Size
from .running import resting

BATCH = 500  # examples in one pass


def compare_sizes(
    before: nn.Module,
    after: nn.Module,
    units: tuple[int, int],
    examples: Examples,
    inputs: Any,
    rounds: int = 20,
) -> Comparison:
    """Both models measured in evaluation mode, where they are; in turn round by round, so that
    other work on the machine slows both.

    `units`: how many each has. `examples`: for loss and error; take others than those that chose
    what to remove. `inputs`: one batch, for time, FLOPs and memory. NumericError: a loss that is
    not finite.
    """
    models = (before, after)
    times = pass_seconds(models, inputs, rounds)
    losses, sizes = [], []
    for model, n, column in zip(models, units, times.T, strict=True):
        loss, error = _judged(model, examples)
        losses.append(loss)
        weights = {id(t): t.nbytes for t in (*model.parameters(), *model.buffers())}
        sizes.append(
            Size(
                n,
                sum(p.numel() for p in model.parameters()),
                _flops(model, inputs),
                geometric_mean(column),
                sum(weights.values()),
                _peak(model, inputs),
                student_mean(loss),
                error,
            )
        )
    speedup = geometric_mean(times[:, 0] / times[:, 1])
    return Comparison(sizes[0], sizes[1], speedup, student_mean(losses[1] - losses[0]))


def pass_seconds(models: Sequence[nn.Module], inputs: Any, rounds: int) -> np.ndarray:
    """Of a pass over the inputs in evaluation mode, (rounds, models), in turn round by round."""
    found: list[list[float]] = []
    with ExitStack() as around:
        for model in models:  # once for all rounds: what it costs is no time of the model's
            around.enter_context(resting(model))
        for number in range(rounds + 2):  # the first two are not counted
            row = []
            for model in models:
                start = perf_counter()
                call(model, inputs)
                if device_of(model).type == "cuda":
                    torch.cuda.synchronize()
                row.append(perf_counter() - start)
            if number > 1:
                found.append(row)
    return np.array(found)


def _flops(model: nn.Module, inputs: Any) -> int:
    with resting(model), FlopCounterMode(display=False) as counter:
        call(model, inputs)
    return counter.get_total_flops() // count(inputs)


def _judged(model: nn.Module, examples: Examples) -> tuple[np.ndarray, Rate | None]:
    losses, wrong = [], []
    for start in range(0, len(examples), BATCH):
        at = slice(start, start + BATCH)
        targets = examples.targets[at].to(device_of(model))
        with resting(model):
            output = call(model, take(examples.inputs, at))
            losses.append(examples.task.loss(output, targets).cpu().double())
            right = examples.task.right(output, targets)
        wrong += [] if right is None else [int((~right).sum())]
    found = torch.cat(losses)
    if not bool(found.isfinite().all()):
        what = f"{type(model).__name__}: the loss is not finite"
        raise NumericError(f"{what}. Where it was healed, take a smaller learning rate")
    error = Rate(sum(wrong), len(examples)) if wrong else None
    return found.numpy(), error


class _Alive(TorchDispatchMode):
    """The most bytes of tensors that operations have made and that are still there."""

    def __init__(self, weights: Iterable[torch.Tensor]):
        super().__init__()
        self.weights = {tensor.untyped_storage()._cdata for tensor in weights}
        self.found: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tensors(made):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.weights:
                self.found[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.found = {key: held for key, held in self.found.items() if not held[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.found.values()))
        return made


def _peak(model: nn.Module, inputs: Any) -> int:
    alive = _Alive((*model.parameters(), *model.buffers(), *tensors(inputs)))
    with resting(model), alive:
        call(model, inputs)
    return alive.peak
