"""What "worse" means: the loss of each example, and whether its answer was right."""

from collections.abc import Callable, Mapping
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
    (Szegedy et al. 2016, sec. 7). `top`: an answer is right if the target is among that many of the
    largest logits. UsageError: an output of another shape, fewer classes than `top`.
    """

    label_smoothing: float = 0.0
    top: int = 1

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        smoothing = self.label_smoothing
        output = _wide(_classes(output))
        return F.cross_entropy(output, targets, reduction="none", label_smoothing=smoothing)

    def right(self, output: Any, targets: Tensor) -> Tensor:
        """Whether the target's logit is among the `top` largest."""
        output = _classes(output)
        if self.top == 1:
            return output.argmax(1) == targets
        if not 1 <= self.top <= output.shape[1]:
            raise UsageError(f"top {self.top} of {output.shape[1]} classes: give 1 to that many")
        return (output.topk(self.top).indices == targets[:, None]).any(1)


def _classes(output: Any) -> Tensor:
    output = logits(output)
    if output.ndim != 2:
        raise UsageError(
            f"classification needs an output (N, K), and this one is {tuple(output.shape)}. For "
            "one answer a token, (N, T, V), give NextToken(); else a Metric of yours"
        )
    return output


@dataclass(frozen=True)
class NextToken:
    """A token for each position: output (N, T, V) logits, targets (N, T) int64.

    `ahead`: 1 where the targets are the tokens that the model reads, so that the logits at position
    t are judged by token t + 1; 0 where the targets stand at the position that answers (masked
    tokens, an encoder-decoder). Targets equal to `ignored` (padding) do not count.
    The perplexity is the exponential of the mean loss (`statistics.exponential`).
    UsageError: other shapes; a sequence without a token that counts.
    """

    ahead: int = 1
    ignored: int = -100

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        """The mean cross-entropy over the tokens of each sequence, in nats."""
        output, targets = self._aligned(output, targets)
        output = output.to(torch.promote_types(output.dtype, torch.float32)).movedim(-1, 1)
        losses = F.cross_entropy(output, targets, reduction="none", ignore_index=self.ignored)
        return losses.sum(1) / (targets != self.ignored).sum(1)

    def right(self, output: Any, targets: Tensor) -> Tensor:
        """Whether the last token that counts has the largest logit (Paperno et al. 2016)."""
        output, targets = self._aligned(output, targets)
        places = torch.arange(targets.shape[1], device=targets.device)
        last = ((targets != self.ignored) * places).argmax(1)
        rows = torch.arange(len(targets), device=targets.device)
        return output[rows, last].argmax(-1) == targets[rows, last]

    def _aligned(self, output: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        output = logits(output)
        if output.ndim != 3 or targets.shape != output.shape[:2]:
            raise UsageError(
                "next tokens need an output (N, T, V) and targets (N, T), and these are "
                f"{tuple(output.shape)} and {tuple(targets.shape)}"
            )
        if not 0 <= self.ahead < targets.shape[1]:
            raise UsageError(f"{targets.shape[1]} tokens, none of them {self.ahead} ahead")
        output, targets = output[:, : targets.shape[1] - self.ahead], targets[:, self.ahead :]
        if not bool((targets != self.ignored).any(1).all()):
            raise UsageError(f"a sequence has no token that counts: all are {self.ignored}")
        return output, targets


@dataclass(frozen=True)
class Metric:
    """Any measure: `function(output, targets)` gives a number for every example, (N,), larger is
    worse. There is no right and wrong; deletions are compared by `anatomy.effects`.

    UsageError: a result of another shape, or not of floating type.
    """

    function: Callable[[Any, Tensor], Tensor]

    def loss(self, output: Any, targets: Tensor) -> Tensor:
        found = self.function(output, targets)
        if not isinstance(found, Tensor):
            raise UsageError(f"a metric gives a tensor (N,), not {type(found).__name__}")
        if found.shape == targets.shape[:1] and found.is_floating_point():
            return found
        got = f"{found.dtype} {tuple(found.shape)}"
        raise UsageError(f"a metric gives a floating number for each of N examples, not {got}")

    def right(self, output: Any, targets: Tensor) -> None:
        return None


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
