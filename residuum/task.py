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


@dataclass(frozen=True)
class Classification:
    """One class for each example: output (N, K) logits, targets (N,) int64.

    `label_smoothing` moves that share of the target's probability evenly to all K classes
    (Szegedy et al. 2016, sec. 7).
    """

    label_smoothing: float = 0.0

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        """Cross-entropy, at least in float32 whatever autocast gave."""
        output = logits(output)
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        smoothing = self.label_smoothing
        return F.cross_entropy(output, targets, reduction="none", label_smoothing=smoothing)

    def right(self, output: Any, targets: Tensor) -> Tensor:
        """Whether the largest logit is the target's."""
        return logits(output).argmax(1) == targets


CLASSIFICATION = Classification()
