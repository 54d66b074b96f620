"""Many variants of one model on the same inputs, at far less than one forward pass each.

Variants form a tree: what two of them have in common from the start is computed once, and those
alive at the same depth run together in larger batches. Singles cost n(n-1)/2 branch evaluations
instead of n*n, whole subsets share as far as they agree.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from .. import progress
from ..errors import UsageError
from ..task import logits
from ..views import unravel
from ..views.inputs import Inputs, count, require_weights, take
from ..views.trace import undisturbed
from .resume import LOGITS, Known, SweepLog, content
from .variants import Variant, edits_of, require_some
from .ways import MOST, Way, Ways, Whole, plain, rows

MEMORY = 1 << 30
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


def sweep(
    model: Any,
    inputs: Inputs,
    variants: Sequence[Variant],
    memory: int = MEMORY,
    title: str = "sweep",
    keep: Keeping = answers,
    log: SweepLog | None = None,
) -> Tensor:
    """Outputs (V, N, ...) of every variant on inputs (N, ...), on the CPU; or what `keep` makes of
    each batch of them. Several inputs stand in a tuple, or by keyword in a mapping.

    `keep(output, at)` gets the output of one variant on inputs[at], on the CPU and in float32 where
    it was narrower: `lambda output, at: output.argmax(1)` keeps predictions alone. Of an output
    that is no tensor, its logits are kept (`task.logits`). `memory` bounds
    the activations held, in bytes: inputs are taken in batches so small that all variants alive at
    one depth, of one batch, fit in it (at least one example is taken). A model that cannot be cut
    is run once a variant, from behind what the variant leaves unchanged (`views.replay`), or whole
    where that cannot be done; it is said which. With a `log`, a sweep that was killed goes on where
    it was. The model is left as it was.

    UsageError: no variants, a variant of another length, a merge that is not linear.
    """
    n = len(unravel(model).units)
    if not variants:
        raise UsageError("no variants to sweep over")
    if any(len(variant) != n for variant in variants):
        raise UsageError(
            f"a variant says what happens at each of the {n} units; one of these has another length"
        )
    if log is not None and log.kept == LOGITS and keep is not answers:
        raise UsageError(
            "a log of what another `keep` than the logits makes needs a word for it: "
            'SweepLog(folder, kept="predictions")'
        )
    with sweeping(model, inputs, memory) as part:
        return part(inputs, variants, title, keep, log)


@contextmanager
def sweeping(model: Any, inputs: Inputs, memory: int = MEMORY) -> Iterator[Callable[..., Tensor]]:
    """For several sweeps over one model, cut only once: gives `part(inputs, variants, title, keep,
    log=None)` as `sweep` has them. `inputs` are like those to come."""
    view = unravel(model)
    require_some(inputs)
    require_weights(view.model)
    with torch.no_grad(), undisturbed(view.model):
        view.tape(take(inputs, slice(1)))  # refuses a merge that is not linear
        ways = Ways(view, inputs)
        model = cache(partial(content, view))  # every weight is read, so once for all sweeps

        def part(
            inputs: Any,
            variants: Sequence[Variant],
            title: str,
            keep: Keeping,
            log: SweepLog | None = None,
        ) -> Tensor:
            way, n = ways.best(inputs, variants), count(inputs)
            held = way.held(take(inputs, slice(1)), variants)
            size = max(1, min(n, way.most, memory // held))
            known = None if log is None else log.of(model())
            kept: list[list[Tensor]] = [[] for _ in variants]
            with progress.bar(title, n * len(variants)) as advance:
                for start in range(0, n, size):
                    at = slice(start, min(start + size, n))
                    batch = _Batch(take(inputs, at), at, n, keep)
                    measured = batch.measured(way, variants, advance, known)
                    for row, found in zip(kept, measured, strict=True):
                        row.append(found)
            return torch.stack([torch.cat(row) for row in kept])

        yield part


@dataclass(frozen=True)
class _Batch:
    """Some of the examples, `at` of n."""

    inputs: Any
    at: slice
    n: int
    keep: Keeping

    def measured(
        self,
        way: Way,
        variants: Sequence[Variant],
        advance: Callable[[int], None],
        known: Known | None,
    ) -> list[Tensor]:
        """What is kept of every variant; what a log knows is not measured again."""
        size = self.at.stop - self.at.start
        if known is None:
            outputs = way.outputs(self.inputs, variants, self.at, self.n)
            return [self._kept(output, size, advance) for output in outputs]
        edited = [edits_of(rows(variant, self.at, self.n)) for variant in variants]
        with known.batch(self.inputs, self.at, edited) as found:
            todo = [number for number in range(len(variants)) if number not in found]
            advance(size * (len(variants) - len(todo)))
            some = range(len(variants)) if way.joins and todo else todo
            chosen = [variants[number] for number in some]
            outputs = way.outputs(self.inputs, chosen, self.at, self.n) if chosen else ()
            for number, output in zip(some, outputs, strict=True):
                if number not in found:
                    found[number] = self._kept(output, size, advance)
            return [found[number] for number in range(len(variants))]

    def _kept(self, output: Any, size: int, advance: Callable[[int], None]) -> Tensor:
        advance(size)
        return self.keep(plain(output), self.at)


@torch.no_grad()
def naive(
    model: Any,
    inputs: Inputs,
    variants: Sequence[Variant],
    batch: int = MOST,
    keep: Keeping = answers,
) -> Tensor:
    """What `sweep` computes, by one forward pass of the edited model a variant."""
    require_some(inputs)
    view, n = unravel(model), count(inputs)
    found: list[list[Tensor]] = [[] for _ in variants]
    with undisturbed(view.model):
        for start in range(0, n, batch):
            at = slice(start, min(start + batch, n))
            outputs = Whole(view).outputs(take(inputs, at), variants, at, n)
            for row, output in zip(found, outputs, strict=True):
                row.append(keep(plain(output), at))
    return torch.stack([torch.cat(row) for row in found])
