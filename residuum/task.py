"""What "worse" means: the loss of each example, and whether its answer was right."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Task(Protocol):
    """How an output is judged. Training, evaluation and lesions know nothing else about it."""

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        """The loss of every example, (N,)."""
        ...

    def right(self, output: Tensor, targets: Tensor) -> Tensor | None:
        """Whether each answer is right, (N,) bool; None where there is no such thing."""
        ...


@dataclass(frozen=True)
class Classification:
    """One class for each example: output (N, K) logits, targets (N,) int64.

    `label_smoothing` moves that share of the target's probability evenly to all K classes
    (Szegedy et al. 2016, sec. 7).
    """

    label_smoothing: float = 0.0

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, at least in float32 whatever autocast gave."""
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        smoothing = self.label_smoothing
        return F.cross_entropy(output, targets, reduction="none", label_smoothing=smoothing)

    def right(self, output: Tensor, targets: Tensor) -> Tensor:
        """Whether the largest logit is the target's."""
        return output.argmax(1) == targets


@dataclass(frozen=True)
class SquaredHinge:
    """sum_k max(0, 1 - t_k f_k)^2, t 1 at the target and -1 elsewhere: one L2-SVM for each class.

    Tang 2013; Lee et al. 2015, eq. 2. Output (N, K), targets (N,) int64.
    """

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        signs = 2 * F.one_hot(targets, output.shape[1]) - 1
        return (1 - signs * output).clamp_min(0).square().sum(1)

    def right(self, output: Tensor, targets: Tensor) -> Tensor:
        return output.argmax(1) == targets


@dataclass(frozen=True)
class Exponential:
    """1 + sum over wrong classes of exp(f_l - f_y), the exponential of the cross-entropy.

    Boosting's loss (Huang et al. 2018, alg. 2; with two classes 1 + exp(-y f)).
    """

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        return CLASSIFICATION.loss(output, targets).exp()

    def right(self, output: Tensor, targets: Tensor) -> Tensor:
        return output.argmax(1) == targets


CLASSIFICATION = Classification()
