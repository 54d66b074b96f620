"""Gradient by path length: sampled single paths, the exact gradient polynomial, the signed sweep.

Linearise the network at its activations: J_i is the Jacobian of branch i, H_i of shortcut i, g the gradient of the loss
behind the last unit. What arrives through all paths of length k is the coefficient G_k of

    G(t) = (H_1 + t J_1)^T ... (H_n + t J_n)^T g.

All three carry stacks of cotangents backwards, unit by unit, through graphs that are built once. The loss is the
cross-entropy of every example on its own, and gradients are taken with respect to the (normalised) pictures.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import progress
from ..errors import UsageError
from ..parts.shortcuts import Severed
from ..units import ResidualNetwork, ResidualUnit, Row, count_leaves
from .measures import PathGradients, shortest_interval
from .paths import polynomial
from .replace import Silent, at_rest, device_of

MEMORY = 1 << 30


class Part:
    """One module at one point, ready to pull cotangents back: v -> J^T v for a stack (S, N, ...)."""

    def __init__(self, module: nn.Module, x: Tensor):
        self.passes = isinstance(module, nn.Identity)
        self.silent = isinstance(module, Silent | Severed)
        self.input = x.detach()
        if self.passes:
            self.value = self.input
            return
        with torch.enable_grad():
            self.input.requires_grad_(not self.silent)
            self.output = module(self.input)
        self.value = self.output.detach()

    def pull(self, stack: Tensor) -> Tensor | None:
        if self.passes:
            return stack
        if self.silent:
            return None
        if not len(stack):
            return stack.new_zeros(0, *self.input.shape)
        (pulled,) = torch.autograd.grad(self.output, self.input, stack, retain_graph=True, is_grads_batched=True)
        return pulled


class Tape:
    """A unit at one point: its parts, the branch being a row of tapes where the unit is nested."""

    def __init__(self, unit: ResidualUnit, x: Tensor):
        self.before = Part(unit.before, x)
        x = self.before.value
        self.shortcut = Part(unit.shortcut, x)
        if isinstance(unit.branch, Row):
            self.branch: Part | list[Tape] = []
            y = x
            for inner in unit.branch:
                tape = Tape(inner, y)
                self.branch.append(tape)
                y = tape.value
        else:
            self.branch = Part(unit.branch, x)
            y = self.branch.value
        self.after = Part(unit.after, self.shortcut.value + y)
        self.value = self.after.value


class Recording:
    """The network at a batch: stem, tapes, and the gradient of the loss behind the last unit."""

    def __init__(self, network: ResidualNetwork, images: Tensor, labels: Tensor):
        device = device_of(network)
        self.stem = Part(network.stem, images.to(device))
        self.tapes, x = [], self.stem.value
        for unit in network.units:
            self.tapes.append(Tape(unit, x))
            x = self.tapes[-1].value
        head = Part(network.head, x)
        loss = F.cross_entropy(head.output, labels.to(device), reduction="sum")
        (self.gradient,) = torch.autograd.grad(loss, head.input)

    def polynomial(self, longest: int, signs: Tensor | None = None) -> Tensor:
        """G_0..G_longest at the pictures, (longest+1, N, 3, H, W). `signs` (units, N): one row multiplies the branch
        of each leaf, or the shortcut of each nested unit, so that no two paths carry the same set of signs."""
        sign = None if signs is None else iter(signs)
        stack = self.gradient[None]
        for tape in reversed(self.tapes):
            stack = _pull_tape(tape, stack, longest, sign)
        pulled = self.stem.pull(stack)
        assert pulled is not None
        missing = longest + 1 - len(pulled)
        return torch.cat([pulled, pulled.new_zeros(missing, *pulled.shape[1:])]) if missing > 0 else pulled

    def path(self, taken: set[int]) -> Tensor | None:
        """The gradient through the one path that takes these branches of a flat row; None where it is cut."""
        stack: Tensor | None = self.gradient[None]
        for i, tape in reversed(list(enumerate(self.tapes))):
            part = tape.branch if i in taken else tape.shortcut
            assert isinstance(part, Part)
            for stage in (tape.after, part, tape.before):
                stack = None if stack is None else stage.pull(stack)
        return None if stack is None else self.stem.pull(stack)


def _pull_tape(tape: Tape, stack: Tensor, longest: int, sign: Iterator[Tensor] | None) -> Tensor:
    """One unit: G <- a^T (H^T G + t J^T G) f^T, coefficients above `longest` dropped."""
    stack = _certain(tape.after.pull(stack))
    around = tape.shortcut.pull(stack)
    if isinstance(tape.branch, Part):
        through = tape.branch.pull(stack[:longest])
        if through is not None:
            through = _signed(through, sign)
            through = torch.cat([through.new_zeros(1, *through.shape[1:]), through])
    else:
        around = None if around is None else _signed(around, sign)
        through = stack
        for inner in reversed(tape.branch):
            through = _pull_tape(inner, through, longest, sign)
    return _certain(tape.before.pull(_sum(around, through)))


def _signed(stack: Tensor, sign: Iterator[Tensor] | None) -> Tensor:
    """The stack (S, N, ...) with every example's next sign."""
    return stack if sign is None else stack * next(sign).view(1, -1, *[1] * (stack.ndim - 2))


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor:
    """Of two stacks of unequal length; None is zero."""
    if a is None or b is None:
        return _certain(b if a is None else a)
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    total = long.clone()
    total[: len(short)] += short
    return total


def _certain(stack: Tensor | None) -> Tensor:
    if stack is None:
        raise UsageError("no path leads through this unit: shortcut and branch are both cut")
    return stack


def _chunks(network: ResidualNetwork, images: Tensor, labels: Tensor, depth: int, memory: int) -> Iterator[Recording]:
    """Recordings of batches so small that `depth` cotangents of the largest activation fit in `memory`, four times."""
    with torch.no_grad():
        x = network.stem(images[:1].to(device_of(network)))
        most = x.nbytes
        for unit in network.units:
            x = unit(x)
            most = max(most, x.nbytes)
    size = max(1, memory // (4 * (depth + 1) * most))
    for start in range(0, len(images), size):
        yield Recording(network, images[start : start + size], labels[start : start + size])


def gradient_by_length(
    network: ResidualNetwork, images: Tensor, labels: Tensor, longest: int | None = None, memory: int = MEMORY
) -> Tensor:
    """The exact gradient polynomial, (longest+1, N, 3, H, W): G_k is the gradient through all paths of length k.

    With `longest` left out, all of them: their sum is the ordinary gradient. n(n+1)/2 branch products an example.
    """
    longest = count_leaves(network.units) if longest is None else longest
    if longest < 0:
        raise UsageError(f"longest must be at least 0, not {longest}")
    with at_rest(network):
        recordings = _chunks(network, images, labels, longest, memory)
        return torch.cat([r.polynomial(longest)[: longest + 1] for r in recordings], dim=1)


def signed_sweep(
    network: ResidualNetwork, images: Tensor, labels: Tensor, draws: int = 4, seed: int = 0, memory: int = MEMORY
) -> Tensor:
    """Estimates of sum over paths of length k of |g_path|^2, (draws, n+1, N): independent over draws and examples.

    Each example multiplies each branch by a random sign of its own; E |S_k|^2 is that sum, for every k at once, since
    different paths carry different sets of independent signs.
    """
    n, estimates = count_leaves(network.units), []
    source = torch.Generator().manual_seed(seed)
    every_unit = sum(isinstance(m, ResidualUnit) for m in network.modules())
    signs = torch.randint(0, 2, (draws, every_unit, len(images)), generator=source) * 2.0 - 1
    with at_rest(network), progress.bar("signed sweep", draws * len(images)) as advance:
        start = 0
        for recording in _chunks(network, images, labels, n, memory):
            size = len(recording.gradient)
            here = signs[:, :, start : start + size].to(recording.gradient)
            rows = []
            for draw in here:
                rows.append(recording.polynomial(n, draw).flatten(2).double().square().sum(2).cpu())
                advance(size)
            estimates.append(torch.stack(rows))
            start += size
    return torch.cat(estimates, dim=2)


def sampled_paths(
    network: ResidualNetwork,
    images: Tensor,
    labels: Tensor,
    lengths: Sequence[int],
    samples: int,
    seed: int = 0,
    batch: int | None = None,
) -> Tensor:
    """Norms of single paths, (len(lengths), samples, batch), as Veit et al. 2016 sample them (sec. 5, fig. 6b).

    Each sample draws k of the n units: through them only the branch's gradient passes, through the others only the
    shortcut's; a batch shares the path, and samples take the batches of the pictures in turn (None: all in one; a last
    batch that is not full is left out). UsageError: nested units, or a length outside 0..n.
    """
    n = len(network.units)
    if any(isinstance(unit.branch, Row) for unit in network.units):
        raise UsageError("single paths are sampled on a flat row of units; use signed_sweep on nested ones")
    if any(not 0 <= k <= n for k in lengths):
        raise UsageError(f"lengths must lie in 0..{n}, not {list(lengths)}")
    batch = len(images) if batch is None else min(batch, len(images))
    batches = len(images) // batch
    norms = torch.zeros(len(lengths), samples, batch)
    with at_rest(network), progress.bar("sampling paths", len(lengths) * samples) as advance:
        for b in range(min(batches, samples)):
            here = slice(b, batches * batch, batches)  # a batch from all over: pictures may come sorted by class
            recording = Recording(network, images[here], labels[here])
            for row, k in enumerate(lengths):
                for s in range(b, samples, batches):
                    taken = np.random.default_rng([seed, k, s]).choice(n, k, replace=False)
                    gradient = recording.path(set(taken.tolist()))
                    if gradient is not None:
                        norms[row, s] = gradient[0].flatten(1).norm(dim=1).cpu()
                    advance()
    return norms


def path_gradients(
    network: ResidualNetwork,
    images: Tensor,
    labels: Tensor,
    samples: int = 100,
    batch: int = 8,
    draws: int = 4,
    seed: int = 0,
) -> PathGradients:
    """All measures on the same examples; single paths on batches of them in turn."""
    n = count_leaves(network.units)
    counts = polynomial(network.units)
    norms = _norms(network, images, labels)
    squares = signed_sweep(network, images, labels, draws, seed)
    counted = torch.tensor([float(c) for c in counts], dtype=torch.float64)
    per_draw = squares.mean(2) / counted  # (draws, n+1) of r_k^2
    rms = per_draw.mean(0).sqrt()
    spread = per_draw.std(0) / draws**0.5 if draws > 1 else torch.zeros(n + 1)
    sampled = sampled_paths(network, images, labels, range(n + 1), samples, seed, batch).double().mean(2)
    return PathGradients(
        counts=counts,
        mean=tuple(sampled.mean(1).tolist()),
        mean_error=tuple((sampled.std(1) / samples**0.5).tolist()) if samples > 1 else (0.0,) * (n + 1),
        rms=tuple(rms.tolist()),
        rms_error=tuple((spread / (2 * rms).clamp_min(1e-300)).tolist()),
        exact=tuple(norms.mean(1).tolist()),
        exact_rms=tuple(norms.square().mean(1).sqrt().tolist()),
        samples=samples,
        draws=draws,
        n=len(images),
    )


def _norms(network: ResidualNetwork, images: Tensor, labels: Tensor) -> Tensor:
    """|G_k| of every example, (n+1, N) float64."""
    parts: list[Tensor] = []
    n = count_leaves(network.units)
    with at_rest(network), progress.bar("gradient polynomial", len(images)) as advance:
        for recording in _chunks(network, images, labels, n, MEMORY):
            parts.append(recording.polynomial(n).flatten(2).double().norm(dim=2).cpu())
            advance(len(recording.gradient))
    return torch.cat(parts, dim=1)


__all__ = [
    "PathGradients",
    "Recording",
    "gradient_by_length",
    "path_gradients",
    "sampled_paths",
    "shortest_interval",
    "signed_sweep",
]
