"""Many variants of one model on the same inputs, at far less than one forward pass each.

Variants form a tree: what two of them have in common from the start is computed once, and those
alive at the same depth run together in larger batches. Singles cost n(n-1)/2 branch evaluations
instead of n*n, whole subsets share as far as they agree.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import progress
from ..errors import UsageError
from ..task import logits
from ..views import unravel
from ..views.edits import at_rest, device_of
from ..views.inputs import Inputs, call, changed, count, require_weights, take
from ..views.replay import Replay
from ..views.view import Delete, Edit, Repeat, Signal, Stages, Value
from .variants import Variant, applied, edits_of, require_some, rows_of

MEMORY = 1 << 30
TILE = {"cpu": 32}  # examples in one call: on a CPU as many as its cache holds
LARGE_TILE = 8192
NAIVE = 500  # examples in one pass of `naive`
Keeping = Callable[[Any, slice], Tensor]


def answers(output: Any, at: slice) -> Tensor:
    """What a sweep keeps unless told otherwise. UsageError: one number for all examples."""
    answer = logits(output)
    if not answer.ndim:
        raise UsageError(
            "the model gives one number for all examples, its loss say, where a sweep needs an "
            "answer to each: call it without targets, or give a `keep`"
        )
    return answer


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


def sweep(
    model: Any,
    inputs: Inputs,
    variants: Sequence[Variant],
    memory: int = MEMORY,
    title: str = "sweep",
    keep: Keeping = answers,
) -> Tensor:
    """Outputs (V, N, ...) of every variant on inputs (N, ...), on the CPU; or what `keep` makes of
    each batch of them. Several inputs stand in a tuple, or by keyword in a mapping.

    `keep(output, at)` gets the output of one variant on inputs[at], on the CPU and in float32 where
    it was narrower: `lambda output, at: output.argmax(1)` keeps predictions alone. Of an output
    that is no tensor, its logits are kept (`task.logits`). `memory` bounds
    the activations held, in bytes: inputs are taken in batches so small that all variants alive at
    one depth, of one batch, fit in it (at least one example is taken). A model that cannot be cut
    is run once a variant, from behind what the variant leaves unchanged (`views.replay`), or whole
    where that cannot be done; it is said which. The model is left as it was.

    UsageError: no variants, a variant of another length, a merge that is not linear.
    """
    n = len(unravel(model).units)
    if not variants:
        raise UsageError("no variants to sweep over")
    if any(len(variant) != n for variant in variants):
        raise UsageError(
            f"a variant says what happens at each of the {n} units; one of these has another length"
        )
    with sweeping(model, inputs, memory) as part:
        return part(inputs, variants, title, keep)


@contextmanager
def sweeping(model: Any, inputs: Inputs, memory: int = MEMORY) -> Iterator[Callable[..., Tensor]]:
    """For several sweeps over one model, cut only once: gives `part(inputs, variants, title, keep)`
    as `sweep` has them. `inputs` are like those to come."""
    view = unravel(model)
    require_some(inputs)
    require_weights(view.model)
    with torch.no_grad(), at_rest(view.model):
        view.tape(take(inputs, slice(1)))  # refuses a merge that is not linear
        stages, device = view.stages(), device_of(view.model)
        replay = view.replay() if stages is None else None

        def part(inputs: Any, variants: Sequence[Variant], title: str, keep: Keeping) -> Tensor:
            if stages is not None:
                return _Walk(stages, *tree(variants), device, memory).over(inputs, title, keep)
            if replay is not None:
                return replayed(replay, inputs, variants, memory, title, keep)
            progress.say("the model cannot be cut at its units; one forward pass a variant")
            return naive(view, inputs, variants, keep=keep)

        yield part


def replayed(
    replay: Replay,
    inputs: Inputs,
    variants: Sequence[Variant],
    memory: int,
    title: str,
    keep: Keeping,
) -> Tensor:
    """By suffix replay: every batch is recorded once and each variant begins at its first edit."""
    progress.say("the model cannot be cut at its units; each pass begins at its first edit")
    n, rows = count(inputs), [[] for _ in variants]
    size = max(1, min(n, NAIVE, memory // replay.held(take(inputs, slice(1)))))
    with progress.bar(title, n * len(variants)) as advance:
        for start in range(0, n, size):
            at = slice(start, min(start + size, n))
            edits = [edits_of(_rows(variant, at, n)) for variant in variants]
            outputs = replay.outputs(take(inputs, at), edits)
            for row, output in zip(rows, outputs, strict=True):
                row.append(keep(_plain(output), at))
                advance(at.stop - at.start)
    return torch.stack([torch.cat(row) for row in rows])


@torch.no_grad()
def naive(
    model: Any,
    inputs: Inputs,
    variants: Sequence[Variant],
    batch: int = NAIVE,
    keep: Keeping = answers,
) -> Tensor:
    """What `sweep` computes, by one forward pass of the edited model a variant."""
    require_some(inputs)
    view, n, found = unravel(model), count(inputs), []
    with at_rest(view.model):
        for variant in variants:
            parts = []
            for start in range(0, n, batch):
                at = slice(start, start + batch)
                with applied(view, _rows(variant, at, n)):
                    parts.append(keep(_plain(call(view.model, take(inputs, at))), at))
            found.append(torch.cat(parts))
    return torch.stack(found)


def _rows(variant: Variant, at: slice, n: int) -> Variant:
    return tuple(rows_of(edit, at, n) for edit in variant)


def _plain(output: Any) -> Any:
    """On the CPU, in at least float32."""

    def plain(tensor: Tensor) -> Tensor:
        narrow = tensor.is_floating_point() and tensor.dtype != torch.float64
        return tensor.cpu().float() if narrow else tensor.cpu()

    return changed(output, plain)


@dataclass(frozen=True)
class _Walk:
    """The tree of variants, walked for one batch of inputs after the other."""

    stages: Stages
    levels: list[Level]
    ends: list[int]
    device: torch.device
    memory: int

    @property
    def tile(self) -> int:
        return TILE.get(self.device.type, LARGE_TILE)

    def over(self, inputs: Tensor, title: str, keep: Keeping) -> Tensor:
        kept = torch.empty(0)
        batch = max(1, min(len(inputs), self.tile, self.memory // self._held(inputs[:1])))
        with progress.bar(title, len(inputs)) as advance:
            for start in range(0, len(inputs), batch):
                at = slice(start, min(start + batch, len(inputs)))
                signals = self._signals(inputs[at].to(self.device), at, len(inputs))
                outputs = self._many(lambda s: (self.stages.finish(s),), signals)
                found = [keep(_plain(output), at) for (output,) in outputs]
                if not start:
                    kept = found[0].new_empty((len(self.ends), len(inputs), *found[0].shape[1:]))
                for variant, end in enumerate(self.ends):
                    kept[variant, at] = found[end]
                advance(at.stop - at.start)
        return kept

    def _held(self, example: Tensor) -> int:
        """Bytes that one example takes at the depth where most is held: parents and children at
        once."""
        signal, before, most = self.stages.begin(example.to(self.device)), 1, 1
        for place, level in enumerate(self.levels):
            signal = self.stages.step(place, signal)
            after = len(level.parents)
            most = max(most, (before + after) * sum(t.nbytes for t in signal))
            before = after
        return most

    def _signals(self, inputs: Tensor, at: slice, n: int) -> list[Signal]:
        """The signals behind the last unit, one a node of the last level."""
        signals = [self.stages.begin(inputs)]
        for place, level in enumerate(self.levels):
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
        together, found = max(1, self.tile // size), []
        for start in range(0, len(signals), together):
            some = signals[start : start + together]
            if len(some) == 1:
                found.append(function(some[0]))
                continue
            joined = function(tuple(torch.cat(tensors) for tensors in zip(*some, strict=True)))
            found += list(zip(*(tensor.split(size) for tensor in joined), strict=True))
        return found
