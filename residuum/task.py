"""What "worse" means: the loss of each example, and whether its answer was right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import UsageError


class Task(Protocol):
    """How an output is judged. Training, evaluation and lesions know nothing else about it.

    The output is the model's own, a tensor or not (`logits`).
    """

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        """The loss of every example, (N,)."""
        ...

    def right(self, output: Any, targets: Tensor) -> Tensor | None:
        """Whether each answer is right, (N,) bool; None where there is no such thing."""
        ...


def logits(output: Any) -> Tensor:
    """The tensor that a model answers with: the output itself, what it calls "logits" or "out" (a
    mapping's, a dataclass's), or its only floating tensor.

    UsageError: none of these; compute it yourself.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        named = dict(output)
    elif isinstance(output, tuple | list):
        named = {str(number): value for number, value in enumerate(output)}
    else:
        named = dict(getattr(output, "__dict__", {}))
    for name in ("logits", "out"):
        if isinstance(named.get(name), Tensor):
            return named[name]
    floating = [v for v in named.values() if isinstance(v, Tensor) and v.is_floating_point()]
    if len(floating) == 1:
        return floating[0]
    raise UsageError(
        f"which tensor of this output ({type(output).__name__}: {', '.join(named) or 'empty'}) is "
        "the answer? Give a task, or a `keep`, that takes it out"
    )


def _wide(output: Any) -> Tensor:
    """The answer at least in float32, whatever autocast gave."""
    answer = logits(output)
    return answer.to(torch.promote_types(answer.dtype, torch.float32))


@dataclass(frozen=True)
class Classification:
    """One class for each example: output (N, K) logits, targets (N,) int64.

    `label_smoothing` moves that share of the target's probability evenly to all K classes
    (Szegedy et al. 2016, sec. 7).
    """

    label_smoothing: float = 0.0

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        smoothing = self.label_smoothing
        return F.cross_entropy(_wide(output), targets, reduction="none", label_smoothing=smoothing)

    def right(self, output: Any, targets: Tensor) -> Tensor:
        """Whether the largest logit is the target's."""
        return logits(output).argmax(1) == targets


@dataclass(frozen=True)
class SquaredHinge:
    """sum_k max(0, 1 - t_k f_k)^2, t 1 at the target and -1 elsewhere: one L2-SVM for each class.

    Tang 2013; Lee et al. 2015, eq. 2. Output (N, K), targets (N,) int64.
    """

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        output = _wide(output)
        signs = 2 * F.one_hot(targets, output.shape[1]) - 1
        return (1 - signs * output).clamp_min(0).square().sum(1)

    def right(self, output: Any, targets: Tensor) -> Tensor:
        return CLASSIFICATION.right(output, targets)


@dataclass(frozen=True)
class Exponential:
    """1 + sum over wrong classes of exp(f_l - f_y), the exponential of the cross-entropy.

    Boosting's loss (Huang et al. 2018, alg. 2; with two classes 1 + exp(-y f)).
    """

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        return CLASSIFICATION.loss(output, targets).exp()

    def right(self, output: Any, targets: Tensor) -> Tensor:
        return CLASSIFICATION.right(output, targets)


CLASSIFICATION = Classification()
