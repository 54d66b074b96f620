"""The tree of variants, and how it is walked through the stages of a model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ..views.inputs import Inputs, to_device
from ..views.view import Delete, Edit, Repeat, Signal, Stages, Value
from .variants import Variant, rows_of

TILE = {"cpu": 32}  # examples in one call: on a CPU as many as its cache holds
LARGE_TILE = 8192
JOINED = {"cpu": 2 << 20}  # bytes of the signal up to which variants are joined, likewise
LARGE_JOINED = 1 << 30


class Level(NamedTuple):
    """One depth of the tree: for each node alive behind it, its parent and the edit between."""

    parents: list[int]
    edits: list[Edit]


def tree(variants: Sequence[Variant]) -> tuple[list[Level], list[int]]:
    """The prefix tree of the variants, level by level, and the node of the last level that each
    variant ends in."""
    levels, nodes = [], [0] * len(variants)
    for depth in range(len(variants[0])):
        found: dict[tuple[int, Edit], int] = {}
        nodes = [
            found.setdefault((node, v[depth]), len(found))
            for node, v in zip(nodes, variants, strict=True)
        ]
        levels.append(Level([parent for parent, _ in found], [edit for _, edit in found]))
    return levels, nodes


def cost(variants: Sequence[Variant]) -> tuple[int, int]:
    """Branch evaluations per example: with the tree, and one forward pass at a time."""

    def branches(edits: Sequence[Edit]) -> int:
        run = [edit for edit in edits if not isinstance(edit, Delete | Value)]
        return sum(edit.times if isinstance(edit, Repeat) else 1 for edit in run)

    levels, _ = tree(variants)
    return sum(branches(level.edits) for level in levels), sum(map(branches, variants))


@dataclass(frozen=True)
class Walk:
    """The outputs of many variants on one batch of inputs, each node of their tree once."""

    stages: Stages
    device: torch.device
    joins = True

    @property
    def most(self) -> int:
        """Examples in one batch."""
        return TILE.get(self.device.type, LARGE_TILE)

    def held(self, example: Inputs, variants: Sequence[Variant]) -> int:
        """Bytes that one example takes at the depth where most is held: parents and children at
        once."""
        signal = self.stages.begin(to_device(example, self.device))
        before, most = 1, 1
        for place, level in enumerate(tree(variants)[0]):
            signal = self.stages.step(place, signal)
            after = len(level.parents)
            most = max(most, (before + after) * sum(t.nbytes for t in signal))
            before = after
        return most

    def outputs(
        self, inputs: Inputs, variants: Sequence[Variant], at: slice, n: int
    ) -> Iterator[Any]:
        """Of each variant; the inputs are those of the examples `at`, of n. One at a time: a
        language model's outputs are larger than all its signals."""
        levels, ends = tree(variants)
        signals = self._signals(to_device(inputs, self.device), levels, at, n)
        for end in ends:
            yield self.stages.finish(signals[end])

    def _signals(self, inputs: Inputs, levels: Sequence[Level], at: slice, n: int) -> list[Signal]:
        """The signals behind the last unit, one a node of the last level."""
        signals = [self.stages.begin(inputs)]
        for place, level in enumerate(levels):
            by_edit: dict[Edit, list[int]] = {}
            for child, edit in enumerate(level.edits):
                by_edit.setdefault(edit, []).append(child)
            following: dict[int, Signal] = {}
            for edit, children in by_edit.items():
                parents = [signals[level.parents[c]] for c in children]
                some = rows_of(edit, at, n)
                found = self._many(lambda s, p=place, e=some: self.stages.step(p, s, e), parents)
                following.update(zip(children, found, strict=True))
            signals = [following[child] for child in range(len(level.edits))]
        return signals

    def _many(self, function: Callable[[Signal], Signal], signals: list[Signal]) -> list[Signal]:
        """The function of each signal; signals smaller than a tile are joined to one."""
        size = len(signals[0][0])
        held = max(1, sum(tensor.nbytes for tensor in signals[0]))
        most = JOINED.get(self.device.type, LARGE_JOINED)
        together, found = max(1, min(self.most // size, most // held)), []
        for start in range(0, len(signals), together):
            some = signals[start : start + together]
            if len(some) == 1:
                found.append(function(some[0]))
                continue
            joined = function(tuple(torch.cat(tensors) for tensors in zip(*some, strict=True)))
            found += list(zip(*(tensor.split(size) for tensor in joined), strict=True))
        return found
