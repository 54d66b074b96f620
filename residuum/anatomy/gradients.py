"""Gradient by path length: the exact gradient polynomial, the signed sweep, sampled single paths.

Linearise the model at its activations: J_i is the Jacobian of the half of unit i that goes through
its branch, H_i of the half that goes round, g the gradient of the loss behind the last unit. What
arrives through all paths of length k is the coefficient G_k of

    G(t) = (H_1 + t J_1)^T ... (H_n + t J_n)^T g.

All three carry stacks of gradients backwards, unit by unit, through graphs that are built once. The
loss is that of every example on its own, and gradients are taken with respect to the (normalised)
inputs.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from .. import progress
from ..errors import UsageError
from ..task import CLASSIFICATION, Task
from ..views import View, unravel
from ..views.edits import at_rest, device_of
from ..views.foreign import ForeignView
from ..views.inputs import Inputs, count, take
from ..views.shift import Shifted
from ..views.tape import Crossing, Tape
from ..views.view import Series, single
from .sampling import Choice, PathSampler
from .variants import require_some

MEMORY = 1 << 30
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
        if choice is None:
            stack = crossing.around(stack)
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


def gradient_by_length(
    model: Any,
    inputs: Inputs,
    targets: Tensor,
    longest: int | None = None,
    memory: int = MEMORY,
    task: Task = CLASSIFICATION,
) -> Tensor:
    """The exact gradient polynomial, (longest+1, N, ...): G_k arrives by all paths of length k.

    With `longest` left out, all of them: their sum is the ordinary gradient. n(n+1)/2 branch
    products an example. Of a foreign model at its floating input, or behind its first embedding.
    `memory` bounds the stacks held, in bytes. UsageError: a negative length, a merge that is not
    linear.
    """
    view = unravel(model)
    longest = len(view.units) if longest is None else longest
    if longest < 0:
        raise UsageError(f"longest must be at least 0, not {longest}")
    with at_rest(view.model):
        found = linearised(view, inputs, targets, task, longest, memory)
        whole = torch.cat([r.polynomial(longest)[: longest + 1] for r in found], dim=1)
        if isinstance(inputs, Tensor) and inputs.is_floating_point():
            return whole.to(inputs.dtype)
        return whole


def count_signs(view: View) -> int:
    """One for every unit and every nest."""

    def nests(series: Series) -> int:
        count = 0
        for part in series.parts:
            if not single(part):
                inner = [part] if isinstance(part, Series) else getattr(part, "parts", ())
                rows = [row for row in inner if isinstance(row, Series) and row.parts]
                count += 1 + sum(map(nests, rows))
        return count

    return len(view.units) + nests(view.expression)


def signed_sweep(
    model: Any,
    inputs: Inputs,
    targets: Tensor,
    draws: int = 4,
    seed: int = 0,
    memory: int = MEMORY,
    task: Task = CLASSIFICATION,
) -> Tensor:
    """Estimates of the sum of |g|^2 over the paths of length k, (draws, n+1, N), all independent.

    Each example multiplies each branch by a random sign of its own; E |S_k|^2 is that sum, for
    every k at once, since different paths carry different sets of independent signs.
    """
    view = unravel(model)
    n, estimates = len(view.units), []
    source = torch.Generator().manual_seed(seed)
    examples = len(targets)
    signs = torch.randint(0, 2, (draws, count_signs(view), examples), generator=source) * 2.0 - 1
    with at_rest(view.model), progress.bar("signed sweep", draws * examples) as advance:
        start = 0
        for recording in linearised(view, inputs, targets, task, n, memory):
            size = recording.size
            here = signs[:, :, start : start + size].to(device_of(view.model))
            squares = []
            for draw in here:
                squares.append(recording.polynomial(n, draw).flatten(2).square().sum(2).cpu())
                advance(size)
            estimates.append(torch.stack(squares))
            start += size
    return torch.cat(estimates, dim=2)


def sampled_paths(
    model: Any,
    inputs: Tensor,
    targets: Tensor,
    lengths: Sequence[int],
    samples: int,
    seed: int = 0,
    batch: int | None = None,
    task: Task = CLASSIFICATION,
) -> Tensor:
    """Norms of single paths, (len(lengths), samples, batch), as Veit et al. 2016, sec. 5, fig. 6b.

    Each sample draws one path of length k, all of them equally likely; a batch shares the path, and
    samples take the batches of the inputs in turn (None: all in one; a last batch that is not full
    is left out). Zero where no path has that length. UsageError: a length outside 0..n.
    """
    view = unravel(model)
    n = len(view.units)
    if any(not 0 <= k <= n for k in lengths):
        raise UsageError(f"lengths must lie in 0..{n}, not {list(lengths)}")
    require_some(inputs)
    batch = len(inputs) if batch is None else min(batch, len(inputs))
    batches = len(inputs) // batch
    norms = torch.zeros(len(lengths), samples, batch, dtype=torch.float64)
    paths = PathSampler(view.expression)
    with at_rest(view.model), progress.bar("sampling paths", len(lengths) * samples) as advance:
        for b in range(min(batches, samples)):
            # a batch from all over: examples may come sorted by class
            here = slice(b, batches * batch, batches)
            recording = Recording(view, inputs[here], targets[here], task)
            for row, k in enumerate(lengths):
                for s in range(b, samples, batches):
                    choices = paths.draw(k, np.random.default_rng([seed, k, s]))
                    gradient = None if choices is None else recording.path(choices)
                    if gradient is not None:
                        norms[row, s] = gradient[0].flatten(1).norm(dim=1).cpu()
                    advance()
    return norms


def norms_by_length(view: View, inputs: Tensor, targets: Tensor, task: Task) -> Tensor:
    """|G_k| of every example, (n+1, N) float64."""
    parts: list[Tensor] = []
    n = len(view.units)
    with at_rest(view.model), progress.bar("gradient polynomial", len(inputs)) as advance:
        for recording in linearised(view, inputs, targets, task, n, MEMORY):
            parts.append(recording.polynomial(n).flatten(2).norm(dim=2).cpu())
            advance(recording.size)
    return torch.cat(parts, dim=1)
