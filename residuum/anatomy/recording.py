"""A model linearised at some examples, ready to be followed backwards: `Recording`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import UsageError
from ..task import Task
from ..views import View
from ..views.foreign import ForeignView
from ..views.inputs import Inputs, count, take
from ..views.shift import Shifted
from ..views.tape import Crossing, Tape
from .sampling import Around, Choice
from .variants import require_some

Linear = TypeVar("Linear", "Recording", Shifted)


class Recording:
    """A tape and the gradient of the loss at the end of its last unit: its norm is `scale`, (N,)
    in float64, its direction `gradient`, in the type of the units."""

    def __init__(self, view: View, inputs: Tensor, targets: Tensor, task: Task):
        tape = view.tape(inputs)
        if tape is None:
            raise UsageError(
                "the units of this model cannot be run alone, so single paths cannot be followed; "
                "gradient_by_length and signed_sweep give all of one length together"
            )
        self.tape: Tape = tape
        here = tape.head.output.device
        gradient = tape.gradient(lambda output: task.loss(output, targets.to(here)))
        # examples differ by orders of magnitude: each is carried back at length one
        self.scale = gradient.flatten(1).norm(dim=1)
        unit = self.scale.clamp_min(torch.finfo(gradient.dtype).tiny)
        rows = (-1,) + (1,) * (gradient.ndim - 1)
        self.gradient = (gradient / unit.view(rows)).to(tape.stem.value.dtype)
        self.size = len(inputs)

    def bytes(self, depth: int) -> int:
        """Four times `depth` gradients of the largest activation, for one example."""
        return 4 * (depth + 1) * self.tape.widest() // self.size

    def polynomial(self, longest: int, signs: Tensor | None = None) -> Tensor:
        """G_0..G_longest at the inputs, (longest+1, N, ...).

        `signs` (units and nests, N): one row multiplies the branch of each leaf, or the way round
        each nest, so that no two paths carry the same set of signs. They are used from the last
        unit to the first.
        """
        sign = None if signs is None else iter(signs)
        stack = self.gradient[None]
        for crossing in reversed(self.tape.crossings):
            stack = _pull(crossing, stack, longest, sign)
        pulled = self.at_inputs(stack)
        missing = longest + 1 - len(pulled)
        if missing <= 0:
            return pulled
        return torch.cat([pulled, pulled.new_zeros(missing, *pulled.shape[1:])])

    def path(self, choices: tuple[Choice, ...]) -> Tensor | None:
        """The gradient through the one path of these choices; None where it is cut."""
        stack = _pull_path(self.tape.crossings, choices, self.gradient[None])
        return None if stack is None else self.at_inputs(stack)

    def at_inputs(self, stack: Tensor) -> Tensor:
        """From ahead of the first unit to the inputs, in float64."""
        pulled = certain(self.tape.stem.pull(stack))
        return pulled.double() * self.scale.view(-1, *[1] * (pulled.ndim - 2))


def _pull(crossing: Crossing, stack: Tensor, longest: int, sign: Iterator[Tensor] | None) -> Tensor:
    """One unit: G <- a^T (H^T G + t J^T G) f^T, coefficients above `longest` dropped."""
    stack = certain(crossing.after.pull(stack))
    around = crossing.around(stack)
    if crossing.inner is None:
        through = crossing.through(stack[:longest])
        if through is not None:
            through = _signed(through, sign)
            # a branch makes paths one longer: the coefficient of t^k moves to t^(k+1)
            through = torch.cat([through.new_zeros(1, *through.shape[1:]), through])
    else:
        # signs on leaves alone do not tell apart paths that go round at different levels: both
        # carry none
        around = None if around is None else _signed(around, sign)
        for outer in reversed(crossing.outer or ()):
            around = _pull(outer, certain(around), longest, sign)
        through = crossing.through(stack)
        for inner in reversed(crossing.inner):
            through = _pull(inner, certain(through), longest, sign)
    return certain(crossing.before.pull(_sum(around, through)))


def _pull_path(
    crossings: Sequence[Crossing], choices: Sequence[Choice], stack: Tensor | None
) -> Tensor | None:
    for crossing, choice in reversed(list(zip(crossings, choices, strict=True))):
        stack = None if stack is None else crossing.after.pull(stack)
        if stack is None:
            return None
        if isinstance(choice, Around):
            stack = crossing.around(stack)
            if crossing.outer is not None:
                stack = _pull_path(crossing.outer, choice.inside, stack)
        else:
            stack = crossing.through(stack)
            if crossing.inner is not None:
                stack = _pull_path(crossing.inner, choice, stack)
        stack = None if stack is None else crossing.before.pull(stack)
    return stack


def _signed(stack: Tensor, sign: Iterator[Tensor] | None) -> Tensor:
    """The stack (S, N, ...) with every example's next sign."""
    return stack if sign is None else stack * next(sign).view(1, -1, *[1] * (stack.ndim - 2))


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor:
    """Of two stacks of unequal length; None is zero."""
    if a is None or b is None:
        return certain(b if a is None else a)
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    total = long.clone()
    total[: len(short)] += short
    return total


def certain(stack: Tensor | None) -> Tensor:
    if stack is None:
        raise UsageError("no path leads through this unit: shortcut and branch are both cut")
    return stack


def recordings(
    view: View, inputs: Tensor, targets: Tensor, task: Task, depth: int, memory: int
) -> Iterator[Recording]:
    """Of batches so small that `depth` gradients of every example fit."""

    def record(at: slice) -> Recording:
        return Recording(view, take(inputs, at), targets[at], task)

    return _batches(record, inputs, depth, memory)


def linearised(
    view: View, inputs: Inputs, targets: Tensor, task: Task, depth: int, memory: int
) -> Iterator[Recording | Shifted]:
    """`recordings`, or of a foreign model what shifts at its sums."""
    if not isinstance(view, ForeignView):
        return recordings(view, inputs, targets, task, depth, memory)  # type: ignore[arg-type]
    return _batches(
        lambda at: Shifted(view, take(inputs, at), targets[at], task), inputs, depth, memory
    )


def _batches(
    make: Callable[[slice], Linear], inputs: Inputs, depth: int, memory: int
) -> Iterator[Linear]:
    require_some(inputs)
    size = max(1, memory // make(slice(1)).bytes(depth))
    for start in range(0, count(inputs), size):
        yield make(slice(start, start + size))
