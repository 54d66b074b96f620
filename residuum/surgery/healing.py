"""A short fine-tune of a smaller model by what the intact one answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .. import progress
from ..anatomy.deletions import Examples
from ..data.augment import order
from ..errors import NumericError, UsageError
from ..parts.merges import Probability
from ..parts.modes import evaluating
from ..parts.wrappers import Settled
from ..reader import Count, NotNegative, Positive, Seed, check
from ..task import logits
from ..training.optimisers import AdamW
from ..training.randomness import drawing
from ..training.schedules import Cosine
from ..views.edits import device_of
from ..views.export import without_cache
from ..views.inputs import call, take
from .running import resting


@dataclass(frozen=True)
class Healing:
    """(1 - `share`) L(y) + `share` t^2 KL(intact's softmax(z / t) | softmax(z / t)), t the
    `temperature` (Hinton et al. 2015, sec. 2), over `epochs` of batches by AdamW, whose rate falls
    from `learning_rate` to 0 by half a cosine.

    The last dimension of logits is the classes'. UsageError: an impossible number.
    """

    epochs: Count = 1
    batch_size: Count = 64
    learning_rate: Positive = 1e-4
    weight_decay: NotNegative = 0.0
    temperature: Positive = 2.0
    share: Probability = 0.9
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self, "healing", UsageError)


def heal(
    small: nn.Module, intact: nn.Module, examples: Examples, healing: Healing | None = None
) -> list[float]:
    """Train the smaller model, in place, to answer as the intact one; gives the mean loss of every
    epoch. It is left in evaluation mode; the intact one is not changed.

    Examples are taken as they are, without augmentation, in an order that follows from seed and
    epoch. Noise rests (dropout, stochastic depth): the intact model answers without it. Batch
    normalisation is by each batch, of a graph (`without_branches`) by its running statistics.
    NumericError: a loss that is not finite.
    """
    healing = healing or Healing()
    n, rate = len(examples), healing.learning_rate
    per_epoch = len(_batches(torch.arange(n), healing.batch_size))
    steps, done, found = healing.epochs * per_epoch, 0, list[float]()
    group = {"params": list(small.parameters()), "weight_decay": healing.weight_decay}
    optimiser = AdamW().build([group], rate)
    _without_noise(small, several=min(n, healing.batch_size) > 1)
    # a loop of its own: training's takes images with labels and a recipe, and keeps checkpoints;
    # here are any inputs, any task, two models and a few minutes
    try:
        with progress.bar("healing", steps) as advance:
            for epoch in range(healing.epochs):
                total = 0.0
                for at in _batches(order(healing.seed, epoch, n), healing.batch_size):
                    optimiser.param_groups[0]["lr"] = rate * Cosine().factor_at(done, 1, steps)
                    with drawing(str(device_of(small)), healing.seed, "heal", done):
                        loss = _loss(small, intact, examples, at, healing)
                    _require_finite(loss, done)
                    _step(small, optimiser, loss)
                    total += float(loss.detach()) * len(at)
                    done += 1
                    advance(1)
                found.append(total / n)
    finally:
        optimiser.zero_grad()
        small.eval()
    return found


def _batches(rows: Tensor, size: int) -> list[Tensor]:
    """A last example alone joins the batch before: of one, batch normalisation knows nothing."""
    parts = list(rows.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1 < size:
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])
    return parts


def _without_noise(model: nn.Module, several: bool) -> None:
    """In training, but for what draws: a model that imitates with noise one that answers without it
    answers too surely once the noise rests (docs/log.md). Batch normalisation is by batches of
    `several` examples."""
    for part in evaluating(model).modules():
        if isinstance(part, _BatchNorm) and several:
            part.train()


def _step(model: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    for part in model.modules():
        if isinstance(part, Settled):
            part.settle()


def _loss(
    small: nn.Module, intact: nn.Module, examples: Examples, at: Tensor, healing: Healing
) -> Tensor:
    inputs, warm, share = take(examples.inputs, at), healing.temperature, healing.share
    with resting(intact):
        theirs = logits(call(intact, inputs)).float()
    with without_cache(small):
        output: Any = call(small, inputs)
    ours = logits(output).float()
    soft = F.kl_div(
        (ours / warm).log_softmax(-1).flatten(0, -2),
        (theirs / warm).log_softmax(-1).flatten(0, -2),
        reduction="batchmean",
        log_target=True,
    )
    hard = examples.task.loss(output, examples.targets[at].to(ours.device)).mean()
    return (1 - share) * hard + share * warm**2 * soft


def _require_finite(loss: Tensor, step: int) -> None:
    if not bool(torch.isfinite(loss)):
        value = float(loss.detach())
        raise NumericError(
            f"healing: the loss is {value} in step {step}: take a smaller learning rate"
        )
