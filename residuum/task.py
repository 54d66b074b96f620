"""What a model is for: the loss of every example, and which answers are right."""

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class Task(Protocol):
    """What "worse" means, for training and for dissection alike."""

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        """Of every example, (N,)."""
        ...

    def right(self, output: Tensor, targets: Tensor) -> Tensor | None:
        """Of every example whether its answer is right, (N,) bool; None where there is no such thing."""
        ...


@dataclass(frozen=True)
class Classification:
    """Cross-entropy of logits (N, K) with classes (N,), in float32 at least; right is the largest logit."""

    label_smoothing: float = 0.0

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        wide = output if output.dtype.itemsize >= 4 else output.float()
        return F.cross_entropy(wide, targets, reduction="none", label_smoothing=self.label_smoothing)

    def right(self, output: Tensor, targets: Tensor) -> Tensor:
        return output.argmax(1) == targets


CLASSIFICATION = Classification()
