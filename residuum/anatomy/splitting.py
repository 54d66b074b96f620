"""Norms of single paths by multilevel splitting, for every length and every example at once.

Norms of paths are heavy-tailed: a few paths carry the sum, and paths drawn with equal chances
rarely find them. Splitting goes backwards through the units with a population of particles, each
a gradient that has come through the end of some path, with a weight and the path's length so far.
At a unit every particle goes round the branch and through it. Where more than P of one length have
come together, P are kept, particle i with the chance

    p_i = min(1, c w_i |x_i|),   with c such that the chances add up to P,

by systematic sampling, and its weight w_i is divided by p_i (Kahn and Harris 1951; Glasserman et
al. 1999). Every path then stands for its expected number of copies: the sums of w |x| and w |x|^2
at the inputs are unbiased estimates of the sums of |g_p| and |g_p|^2 over the paths of a length.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import progress
from ..errors import UsageError
from ..task import CLASSIFICATION, Task
from ..views import View, unravel
from ..views.inputs import with_gradients
from ..views.tape import Crossing
from ..views.trace import undisturbed
from .gradients import MEMORY, count_signs, norms_by_length, sampled_paths
from .measures import PathGradients
from .paths import polynomial
from .recording import Recording, certain, recordings

TINY = 1e-300


class Population(NamedTuple):
    """Particles: gradients (S, N, ...), weights (S, N) in float64, lengths (S,).

    Each of the N examples has its own particles in the S slots; a slot's length is that of all.
    """

    gradients: Tensor
    weights: Tensor
    lengths: Tensor


def split(recording: Recording, particles: int, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Estimates of the sums of |g_p| and |g_p|^2 by length, each (lengths, N).

    `uniform` (units and nests, lengths, N): numbers in [0, 1), one for each choice among the
    particles of one length. They are used from the last unit to the first.
    """
    start = recording.gradient[None]
    weights = torch.ones(1, start.shape[1], dtype=torch.float64, device=start.device)
    population = Population(start, weights, torch.zeros(1, dtype=torch.long, device=start.device))
    draws = iter(uniform)
    for crossing in reversed(recording.tape.crossings):
        population = _cross(crossing, population, particles, draws)
    norms = recording.at_inputs(population.gradients).flatten(2).norm(dim=2)
    empty = norms.new_zeros(uniform.shape[1:])
    first = empty.index_add(0, population.lengths, population.weights * norms)
    return first, empty.index_add(0, population.lengths, population.weights * norms**2)


def _cross(
    crossing: Crossing, population: Population, particles: int, draws: Iterator[Tensor]
) -> Population:
    """Particles behind a unit to those ahead of it, twice as many at most."""
    gradients, weights, lengths = keep(population, particles, next(draws))
    behind = certain(crossing.after.pull(gradients))
    roads: list[Population] = []
    if (around := crossing.around(behind)) is not None:
        beside = Population(around, weights, lengths)
        for outer in reversed(crossing.outer or ()):
            beside = _cross(outer, beside, particles, draws)
        roads.append(beside)
    if (through := crossing.through(behind)) is not None:
        if crossing.inner is None:
            roads.append(Population(through, weights, lengths + 1))
        else:
            inside = Population(through, weights, lengths)
            for inner in reversed(crossing.inner):
                inside = _cross(inner, inside, particles, draws)
            roads.append(inside)
    if not roads:
        certain(None)
    gradients, weights, lengths = (torch.cat(parts) for parts in zip(*roads, strict=True))
    return Population(certain(crossing.before.pull(gradients)), weights, lengths)


def keep(population: Population, particles: int, uniform: Tensor) -> Population:
    """At most `particles` of every length, weights mended: expectations stay as they were.

    `uniform` (lengths, N): where systematic sampling starts. A slot may come out empty (weight
    zero), where fewer gradients than that are not zero.
    """
    gradients, weights, lengths = population
    counts = lengths.bincount()
    if counts.max() <= particles:
        return population
    # a table of lengths x particles: its rows are drawn from independently
    order = lengths.argsort(stable=True)
    start = counts.cumsum(0) - counts
    place = torch.arange(len(order), device=order.device) - start[lengths[order]]
    norms = torch.linalg.vector_norm(gradients.flatten(2), dim=2, dtype=torch.float64)
    scores = weights.new_zeros(len(counts), int(counts.max()), weights.shape[1])
    scores[lengths[order], place] = (weights * norms)[order]
    p = chances(scores, particles)
    passed = (p.cumsum(1) + uniform[: len(counts), None]).floor()
    drawn = passed.diff(dim=1, prepend=torch.zeros_like(passed[:, :1])) > 0
    # the drawn ones ahead, in their order
    chosen = (~drawn).byte().argsort(dim=1, stable=True)[:, :particles]
    factor = torch.where(drawn, 1 / p.clamp_min(TINY), 0.0).gather(1, chosen)
    filled = torch.arange(particles, device=counts.device) < counts[:, None]
    row, slot = filled.nonzero(as_tuple=True)
    source = order[start[row, None] + chosen[row, slot]]
    column = torch.arange(weights.shape[1], device=order.device)
    kept = weights[source, column] * factor[row, slot]
    return Population(gradients[source, column], kept, row)


def chances(scores: Tensor, particles: int) -> Tensor:
    """p = min(1, c score) along dimension 1, c such that they add up to `particles`.

    Of scores in falling order, the first j are certain: the smallest j for which the next one,
    given its part of the P - j that are left, is not. All are, but zeros, where there are no more
    than P.
    """
    falling = scores.sort(dim=1, descending=True).values
    rest = falling.flip(1).cumsum(1).flip(1)
    left = (particles - torch.arange(scores.shape[1], device=scores.device)).clamp_min(1)
    left = left.to(scores)[:, None]
    certain_ones = (falling * left > rest).byte().argmin(dim=1, keepdim=True)
    rest, left = rest.gather(1, certain_ones), left.expand_as(rest).gather(1, certain_ones)
    return (scores * (left / rest.clamp_min(TINY))).clamp_max(1.0)


def split_paths(
    view: View, inputs: Tensor, targets: Tensor, task: Task, particles: int, uniform: Tensor
) -> tuple[Tensor, Tensor]:
    """`split` of all examples for every replicate: sums of |g_p| and |g_p|^2, each (R, N, lengths).

    `uniform`: (R, N, units and nests, lengths).
    """
    n, found, start = len(view.units), [], 0
    alive = particles * (n + 1) * 2
    with undisturbed(view.model), progress.bar("splitting", len(uniform) * len(inputs)) as advance:
        for recording in recordings(view, inputs, targets, task, alive, MEMORY):
            size = len(recording.gradient)
            here = uniform[:, start : start + size].to(recording.gradient.device)
            sums = []
            for replicate in here:
                one = split(recording, particles, replicate.permute(1, 2, 0))
                sums.append(torch.stack(one).transpose(1, 2).cpu())
                advance(size)
            found.append(torch.stack(sums, dim=1))  # (2, R, N, lengths)
            start += size
    norms, squares = torch.cat(found, dim=2)
    return norms, squares


@with_gradients
def path_gradients(
    model: Any,
    inputs: Tensor,
    targets: Tensor,
    particles: int = 8,
    replicates: int = 2,
    samples: int = 0,
    seed: int = 0,
    batch: int = 8,
    task: Task = CLASSIFICATION,
) -> PathGradients:
    """All measures of gradient by path length, of every example.

    Splitting with `particles` of each length, `replicates` times; the exact polynomial once; with
    `samples`, as many paths of each length drawn with equal chances (`sampled_paths`, on batches of
    `batch` examples in turn), the paper's procedure. Splitting costs about particles x n(n+1)
    branch products an example and replicate. Random numbers are a function of seed, replicate and
    example. UsageError: fewer than one particle or replicate, a merge that is not linear.
    """
    if particles < 1 or replicates < 1 or samples < 0:
        given = f"particles={particles}, replicates={replicates}, samples={samples}"
        raise UsageError(f"{given}: at least one particle, one replicate and no negative samples")
    view = unravel(model)
    n = len(view.units)
    counts = polynomial(view.expression)
    counts += (0,) * (n + 1 - len(counts))
    exact = norms_by_length(view, inputs, targets, task)
    steps = count_signs(view)
    uniform = [
        [np.random.default_rng([seed, r, i]).random((steps, n + 1)) for i in range(len(inputs))]
        for r in range(replicates)
    ]
    drawn = torch.from_numpy(np.array(uniform))
    norms, squares = split_paths(view, inputs, targets, task, particles, drawn)
    paths = sampled_paths(view, inputs, targets, range(n + 1), samples, seed, batch, task)
    means = paths.mean(2)
    spread = means.std(1) if samples > 1 else torch.full((n + 1,), torch.nan)
    return PathGradients(
        counts=counts,
        norms=_tuples(norms),
        squares=_tuples(squares),
        exact=_tuples(exact.T),
        uniform=_known(means.mean(1), counts),
        uniform_error=_known(spread / max(samples, 1) ** 0.5, counts),
        particles=particles,
        samples=samples,
        n=len(inputs),
    )


def _known(values: Tensor, counts: tuple[int, ...]) -> tuple[float | None, ...]:
    """By length; None for what nothing was drawn for (NaN), or where there is no path."""
    pairs = zip(values.tolist(), counts, strict=True)
    return tuple(value if count and value == value else None for value, count in pairs)


def _tuples(values: Tensor) -> tuple[Any, ...]:
    return tuple(map(_tuples, values)) if values.ndim > 1 else tuple(values.tolist())
