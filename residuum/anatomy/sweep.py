"""Many altered copies of one network on the same pictures, at far less than one forward pass each.

A *variant* says for every place of the row which unit stands there and which of its leaves are deleted. Variants form
a tree: what two of them have in common from the start is computed once, and those alive at the same depth run together
in larger batches. Singles cost n(n-1)/2 branch evaluations instead of n*n, whole subsets share as far as they agree.

Convolutions take the batch normalisation behind them into their weights (in a copy), so logits agree with a plain
forward pass to float rounding, not to the bit; predictions are the same unless two classes tie to that rounding.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .. import progress
from ..errors import UsageError
from ..parts.shortcuts import Severed
from ..units import ResidualNetwork, ResidualUnit, Row, count_leaves, leaves
from .replace import at_rest, device_of, lesion, replace

MEMORY = 1 << 30
TILE = {"cpu": 32}  # pictures in one call: on a CPU as many as its cache holds; elsewhere as many as there are
LARGE_TILE = 8192


class Step(NamedTuple):
    """What happens at one place: the number of the unit that stands there, and its deleted leaves."""

    unit: int
    deleted: frozenset[int]


Variant = tuple[Step, ...]


def intact(network: ResidualNetwork) -> Variant:
    """The network as it is."""
    return without(network, ())


def without(network: ResidualNetwork, deleted: Iterable[int]) -> Variant:
    """The leaves of these numbers deleted. UsageError: a number that no leaf has, or one given twice."""
    deleted = list(deleted)
    groups = _leaf_numbers(network)
    n = sum(map(len, groups))
    for number in deleted:
        if not 0 <= number < n:
            raise UsageError(f"no unit {number}: this network has units 0 to {n - 1}")
    if len(set(deleted)) < len(deleted):
        raise UsageError(f"a unit is named twice among {deleted}")
    gone = frozenset(deleted)
    return tuple(Step(u, gone & group) for u, group in enumerate(groups))


def reordered(permutation: Sequence[int]) -> Variant:
    """Unit permutation[i] at place i."""
    return tuple(Step(int(unit), frozenset()) for unit in permutation)


def _leaf_numbers(network: ResidualNetwork) -> list[frozenset[int]]:
    """The numbers of the leaves of each unit of the row."""
    groups, start = [], 0
    for unit in network.units:
        size = count_leaves([unit])
        groups.append(frozenset(range(start, start + size)))
        start += size
    return groups


@contextmanager
def applied(network: ResidualNetwork, variant: Variant) -> Iterator[None]:
    """The variant on the network itself: the definition that `sweep` is a fast way to compute."""
    units, every_leaf = list(network.units), list(leaves(network.units))
    moved = [(network.units, str(place), units[step.unit]) for place, step in enumerate(variant)]
    gone = [every_leaf[number] for step in variant for number in step.deleted]
    with replace(moved), lesion(gone):
        yield


class Level(NamedTuple):
    """One depth of the tree: for each node alive behind it, its parent and the step that led there."""

    parents: list[int]
    steps: list[Step]


def tree(variants: Sequence[Variant]) -> tuple[list[Level], list[int]]:
    """The prefix tree of the variants, level by level, and the node of the last level that each variant ends in."""
    levels, nodes = [], [0] * len(variants)
    for depth in range(len(variants[0])):
        found: dict[tuple[int, Step], int] = {}
        nodes = [found.setdefault((node, v[depth]), len(found)) for node, v in zip(nodes, variants, strict=True)]
        levels.append(Level([parent for parent, _ in found], [step for _, step in found]))
    return levels, nodes


def cost(network: ResidualNetwork, variants: Sequence[Variant]) -> tuple[int, int]:
    """Branch evaluations per picture: with the tree, and one forward pass at a time."""

    def branches(step: Step) -> int:
        return len(groups[step.unit] - step.deleted)

    groups = _leaf_numbers(network)
    levels, _ = tree(variants)
    shared = sum(branches(step) for level in levels for step in level.steps)
    return shared, sum(branches(step) for variant in variants for step in variant)


@torch.no_grad()
def sweep(
    network: ResidualNetwork,
    images: Tensor,
    variants: Sequence[Variant],
    memory: int = MEMORY,
    title: str = "sweep",
    keep: Callable[[Tensor], Tensor] = lambda logits: logits,
) -> Tensor:
    """Logits (V, N, K) of every variant on images (N, 3, H, W), on the CPU; or what `keep` makes of each batch of them,
    (B, K) -> (B, ...): `lambda logits: logits.argmax(1)` keeps predictions alone.

    `memory` bounds the activations held, in bytes: pictures are taken in batches so small that all variants alive at
    one depth, of one batch, fit in it (at least one picture is taken). The network is left as it was.
    """
    if not variants:
        raise UsageError("no variants to sweep over")
    levels, ends = tree(variants)
    device = device_of(network)
    with at_rest(network):
        fast = Prepared(network)
        probe = images[:1].to(device)
        alive = [len(level.parents) for level in levels]
        batch = max(1, min(len(images), fast.tile, memory // _held(fast, probe, alive)))
        kept = torch.empty(0)
        with progress.bar(title, len(images)) as advance:
            for start in range(0, len(images), batch):
                part = images[start : start + batch].to(device)
                states = _walk(fast, part, levels)
                outs = [keep(logits.float().cpu()) for logits in fast.many(fast.head, states)]
                if not start:
                    kept = outs[0].new_empty((len(variants), len(images), *outs[0].shape[1:]))
                for v, end in enumerate(ends):
                    kept[v, start : start + batch] = outs[end]
                advance(len(part))
    return kept


def _held(fast: "Prepared", probe: Tensor, alive: list[int]) -> int:
    """Bytes that one picture's activations take at the depth where most are held: parents and children at once."""
    x, before, most = fast.stem(probe), 1, 0
    for place, after in enumerate(alive):
        x = fast.step(Step(place, frozenset()), x)
        most = max(most, (before + after) * x.nbytes)
        before = after
    return most


def _walk(fast: "Prepared", images: Tensor, levels: list[Level]) -> list[Tensor]:
    """The activations behind the last unit, one a node of the last level."""
    states = [fast.stem(images)]
    for level in levels:
        by_step: dict[Step, list[int]] = {}
        for child, step in enumerate(level.steps):
            by_step.setdefault(step, []).append(child)
        following: dict[int, Tensor] = {}
        for step, children in by_step.items():
            outs = fast.many(lambda x, s=step: fast.step(s, x), [states[level.parents[c]] for c in children])
            following.update(zip(children, outs, strict=True))
        states = [following[child] for child in range(len(level.steps))]
    return states


class Prepared:
    """A copy of the network made for many evaluations: normalisation folded into convolutions, channels last.

    No operation changes a tensor that it was given, so states can be kept and shared.
    """

    def __init__(self, network: ResidualNetwork):
        twin = copy.deepcopy(network)
        fold(twin)
        twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stem, self.head = _channels_last(twin.stem), twin.head
        self.units: list[ResidualUnit] = list(twin.units)
        self.numbers = [
            dict(zip(sorted(g), leaves([u]), strict=True)) for g, u in zip(_leaf_numbers(twin), self.units, strict=True)
        ]
        self.tile = TILE.get(device_of(network).type, LARGE_TILE)

    def step(self, step: Step, x: Tensor) -> Tensor:
        """One unit, whole or with leaves deleted. A deleted identity unit costs nothing: x itself comes back."""
        unit = self.units[step.unit]
        if not step.deleted:
            return _forward(unit, x)
        if not isinstance(unit.branch, Row):
            road = unit.shortcut.road if isinstance(unit.shortcut, Severed) else unit.shortcut
            return unit.after(road(unit.before(x)))
        with lesion(self.numbers[step.unit][number] for number in step.deleted):
            return unit(x)

    def many(self, function: Callable[[Tensor], Tensor], inputs: list[Tensor]) -> list[Tensor]:
        """The function of each input; inputs smaller than a tile are joined to one."""
        size = len(inputs[0])
        together, outs = max(1, self.tile // size), []
        for start in range(0, len(inputs), together):
            some = inputs[start : start + together]
            outs += function(torch.cat(some) if len(some) > 1 else some[0]).split(size)
        return outs


def _forward(unit: ResidualUnit, x: Tensor) -> Tensor:
    """The unit's forward pass, the sum taken in place where the branch ends in a tensor of its own."""
    if isinstance(unit.branch, Row):
        return unit(x)
    x = unit.before(x)
    out = unit.branch(x)
    if not isinstance(unit.shortcut, Severed):
        own = isinstance(unit.branch[-1], nn.Conv2d) if isinstance(unit.branch, nn.Sequential) else False
        out = out.add_(unit.shortcut(x)) if own else unit.shortcut(x) + out
    return unit.after(out)


def _channels_last(stem: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda images: stem(images.contiguous(memory_format=torch.channels_last))


def fold(network: nn.Module) -> None:
    """In place: each convolution takes the batch normalisation directly behind it in its Sequential into its weights,

    W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta, and ReLUs behind another module work in place.
    """
    for sequence in [m for m in network.modules() if isinstance(m, nn.Sequential) and not isinstance(m, Row)]:
        kept: list[nn.Module] = []
        for module in sequence:
            if isinstance(module, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d):
                kept[-1] = fuse_conv_bn_eval(kept[-1], module)
            elif isinstance(module, nn.ReLU) and kept and isinstance(kept[-1], nn.Conv2d | nn.BatchNorm2d):
                kept.append(nn.ReLU(inplace=True))
            else:
                kept.append(module)
        for name in list(sequence._modules):
            del sequence._modules[name]
        for module in kept:
            sequence.append(module)
