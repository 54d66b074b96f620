"""Gradient by path length: the exact gradient polynomial, the signed sweep, sampled single paths.

Linearise the model at its activations: J_i is the Jacobian of the half of unit i that goes through
its branch, H_i of the half that goes round, g the gradient of the loss behind the last unit. What
arrives through all paths of length k is the coefficient G_k of

    G(t) = (H_1 + t J_1)^T ... (H_n + t J_n)^T g.

All three carry stacks of gradients backwards, unit by unit, through graphs that are built once. The
loss is that of every example on its own, and gradients are taken with respect to the (normalised)
inputs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import progress
from ..errors import UsageError
from ..task import CLASSIFICATION, Task
from ..views import View, unravel
from ..views.edits import device_of
from ..views.inputs import Inputs, with_gradients
from ..views.trace import undisturbed
from ..views.view import Series, single
from .recording import Recording, linearised
from .sampling import PathSampler
from .variants import require_some

MEMORY = 1 << 30


@with_gradients
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
    with undisturbed(view.model):
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


@with_gradients
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

    When to use: for norms of single paths, where `gradient_by_length` gives the norm of their sum;
    `path_gradients` has smaller errors, on our own networks. Each example multiplies each branch by
    a random sign of its own; E |S_k|^2 is that sum, for every k at once, since different paths
    carry different sets of independent signs. Inputs (N, ...), targets (N,).
    UsageError: a model whose units cannot be signed one by one (nests, several terms).
    """
    view = unravel(model)
    n, estimates = len(view.units), []
    source = torch.Generator().manual_seed(seed)
    examples = len(targets)
    signs = torch.randint(0, 2, (draws, count_signs(view), examples), generator=source) * 2.0 - 1
    with undisturbed(view.model), progress.bar("signed sweep", draws * examples) as advance:
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


@with_gradients
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
    with undisturbed(view.model), progress.bar("sampling paths", len(lengths) * samples) as advance:
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


@with_gradients
def norms_by_length(view: View, inputs: Inputs, targets: Tensor, task: Task) -> Tensor:
    """|G_k| of every example, (n+1, N) float64."""
    parts: list[Tensor] = []
    n = len(view.units)
    with undisturbed(view.model), progress.bar("gradient polynomial", len(targets)) as advance:
        for recording in linearised(view, inputs, targets, task, n, MEMORY):
            parts.append(recording.polynomial(n).flatten(2).norm(dim=2).cpu())
            advance(recording.size)
    return torch.cat(parts, dim=1)
