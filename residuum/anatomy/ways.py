"""How a sweep gets its numbers: through stages, by suffix replay, or by whole passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from .. import progress
from ..views.edits import device_of
from ..views.inputs import Inputs, call, changed, count, take, tensors
from ..views.view import Stages, View
from .variants import Variant, applied, edits_of, intact, rows_of, without
from .walk import Walk

MOST = 500  # examples in one pass
WORTH = 1e12  # floating-point operations of a sweep from which tracing a foreign model, which
# takes seconds, is worth it; those of matrix products count a tenth, since a cut does not make them
# faster than replay has them
PRODUCTS = 0.1
CLOSE = 1e-4  # relative difference of outputs that float rounding explains


class Way(Protocol):
    """How the outputs of variants are computed."""

    @property
    def most(self) -> int:
        """Examples in one batch."""
        ...

    @property
    def joins(self) -> bool:
        """Whether variants run together, so that rounding depends on which they are."""
        ...

    def held(self, example: Inputs, variants: Sequence[Variant]) -> int:
        """Bytes that one example takes."""
        ...

    def outputs(
        self, inputs: Inputs, variants: Sequence[Variant], at: slice, n: int
    ) -> Iterator[Any]:
        """Of each variant, in order, on the inputs of the examples `at`, of n."""
        ...


class Whole:
    """One forward pass of the edited model a variant."""

    most, joins = MOST, False

    def __init__(self, view: View):
        self.view = view

    def held(self, example: Inputs, variants: Sequence[Variant]) -> int:
        return 1

    def outputs(
        self, inputs: Inputs, variants: Sequence[Variant], at: slice, n: int
    ) -> Iterator[Any]:
        for variant in variants:
            with applied(self.view, rows(variant, at, n)):
                output = call(self.view.model, inputs)
            yield output


class Replayed:
    """By suffix replay: every batch is recorded once and each variant begins at its first edit."""

    most, joins = MOST, False

    def __init__(self, view: View):
        self.replay = view.replay()

    def held(self, example: Inputs, variants: Sequence[Variant]) -> int:
        assert self.replay is not None
        return self.replay.held(example)

    def outputs(
        self, inputs: Inputs, variants: Sequence[Variant], at: slice, n: int
    ) -> Iterator[Any]:
        assert self.replay is not None
        return self.replay.outputs(inputs, [edits_of(rows(v, at, n)) for v in variants])


class Ways:
    """Chooses among them for one model, and says so.

    Our own networks are cut at once, a foreign model when the passes asked for are worth it, and
    only if the pieces give the numbers of plain passes.
    """

    def __init__(self, view: View, inputs: Inputs):
        self.view, self.inputs = view, inputs
        self.replay = view.replay() is not None
        self.stages = None if self.replay else view.stages(inputs)
        self.cut = not self.replay
        self.work = self.each = 0.0
        self.said = set[str]()

    def best(self, inputs: Inputs, variants: Sequence[Variant]) -> Way:
        if not self.cut:
            self.each = self.each or weighed(self.view, take(self.inputs, slice(1)))
            self.work += self.each * count(inputs) * len(variants)
            if self.work >= WORTH:
                self.cut, self.stages = True, trusted(self.view, self.inputs)
        edits = {edit for variant in variants for edit in variant}
        if self.stages is not None and all(map(self.stages.allows, edits)):
            return Walk(self.stages, device_of(self.view.model))
        if self.replay:
            self.say("the model is not cut at its units; each pass begins at its first edit")
            return Replayed(self.view)
        self.say("the model cannot be cut at its units; one forward pass a variant")
        return Whole(self.view)

    def say(self, words: str) -> None:
        """Once, however many sweeps there are."""
        if words not in self.said:
            progress.say(words)
        self.said.add(words)


def weighed(view: View, example: Inputs) -> float:
    """Floating-point operations of one pass, in convolutions and, at their discount, in matrix
    products."""
    with FlopCounterMode(display=False) as counter:
        call(view.model, example)
    counts = counter.get_flop_counts().get("Global", {})
    return sum(n * (1 if "conv" in str(name) else PRODUCTS) for name, n in counts.items())


def trusted(view: View, inputs: Inputs) -> Stages | None:
    """The model cut at its units, if on two examples the outputs are those of plain passes: intact,
    without every other unit, and without the others, which are joined to larger batches. One would
    not show that examples depend on each other."""
    few, n = take(inputs, slice(2)), len(view.units)
    stages = view.stages(few)
    if stages is None:
        return None
    variants = [intact(view), without(view, range(0, n, 2)), without(view, range(1, n, 2))]
    at = slice(0, count(few))
    walk = Walk(stages, device_of(view.model))
    pairs = zip(
        walk.outputs(few, variants, at, at.stop),
        Whole(view).outputs(few, variants, at, at.stop),
        strict=True,
    )
    most = max(_difference(found, expected) for found, expected in pairs)
    if not most <= CLOSE:
        progress.say(f"cut at its units, the model gives other numbers ({most:.1e}), so it is not")
        return None
    progress.say(f"the model is cut at its units; plain passes differ by {most:.1e} (relative)")
    return stages


def _difference(found: Any, expected: Any) -> float:
    """Relative; infinite where the two are of another form."""
    one, other = _flat(found), _flat(expected)
    if one.shape != other.shape:
        return float("inf")
    return ((one - other).norm() / other.norm().clamp_min(1e-30)).item()


def _flat(output: Any) -> Tensor:
    """All numbers; of a mapping, those of the tensors that stand in it directly."""
    values = list(output.values()) if isinstance(output, Mapping) else output
    if isinstance(output, Mapping):
        values = [value for value in values if isinstance(value, Tensor)]
    return torch.cat([tensor.double().flatten() for tensor in tensors(values)])


def rows(variant: Variant, at: slice, n: int) -> Variant:
    return tuple(rows_of(edit, at, n) for edit in variant)


def plain(output: Any) -> Any:
    """On the CPU, in at least float32."""

    def one(tensor: Tensor) -> Tensor:
        narrow = tensor.is_floating_point() and tensor.dtype != torch.float64
        return tensor.cpu().float() if narrow else tensor.cpu()

    return changed(output, one)
