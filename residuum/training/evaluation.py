"""The metrics of an epoch, and the error on the test part."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from ..data.augment import Pixels
from ..task import Task
from .distributed import Team

BATCH = 500  # fixed: logits may differ in the last bit between batch sizes


@dataclass(frozen=True)
class Row:
    """One epoch, without clock times: the same after a resume. Errors are fractions."""

    epoch: int
    step: int
    learning_rate: float  # of the epoch's last step
    train_loss: float  # mean over the epoch, each example at the step that saw it
    train_error: float | None  # None where the task knows no right and wrong
    test_loss: float
    test_error: float | None
    test_n: int
    watched_gradient: float | None = None  # mean |gradient| of the watched parameter
    validation_error: float | None = None  # None where nothing is held out


class Scores(NamedTuple):
    """Mean loss and error over `n` examples."""

    loss: float
    error: float | None
    n: int


@torch.no_grad()
def evaluate(network: nn.Module, pixels: Pixels, task: Task, team: Team) -> Scores:
    """In evaluation mode: sums over disjoint shares, reduced, divided."""
    team.align(network.buffers())  # what is evaluated is what is saved
    network.eval()
    sums, judged = torch.zeros(3, dtype=team.sums, device=team.device), True
    for part in torch.arange(len(pixels)).split(BATCH):
        inputs, targets = pixels.batch(team.share(part))
        if len(targets):
            output = network(inputs)
            right = task.right(output, targets)
            judged = right is not None
            sums[0] += task.loss(output, targets).sum(dtype=team.sums)
            sums[1] += 0 if right is None else right.sum()
            sums[2] += len(targets)
    loss, right, seen = team.total(sums).tolist()
    return Scores(loss / seen, 1 - right / seen if judged else None, int(seen))
