"""The gates of a model: T of (1 - T) h + T F, seen while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..parts.merges import Gate
from ..parts.wrappers import Gated
from .edits import Replacement, replace
from .foreign import ForeignView
from .own import NetworkView
from .sums import Call, Place, Sum, answered
from .view import View

GateObserver = Callable[[int, Tensor], None]


@contextmanager
def gates(view: View, observer: GateObserver) -> Iterator[tuple[int, ...]]:
    """Passes of the model in which the observer is given the number of each gated unit and its T,
    (N, ...). Gives the numbers of the units whose gates can be seen: of our own networks those with
    a `Gate` or a gated shortcut, of a foreign model those of two products or of a `lerp`."""
    if isinstance(view, NetworkView):
        taps = list(_own(view, observer))
        with replace([tap for _, tap in taps]):
            yield tuple(number for number, _ in taps)
    elif isinstance(view, ForeignView):
        answers: dict[Place, Callable[[Call], Tensor]] = {}
        seen: list[int] = []
        for unit in view.units:
            for each in unit.sums:
                found = _foreign(unit.number, each, observer)
                answers |= found
                seen += [unit.number] * bool(found)
        with answered(view.model, answers):
            yield tuple(seen)
    else:
        yield ()


class Tapped(nn.Module):
    """A gate's transform, shown."""

    def __init__(self, transform: nn.Module, number: int, observer: GateObserver):
        super().__init__()
        self.transform, self.number, self.observer = transform, number, observer

    def forward(self, x: Tensor) -> Tensor:
        y = self.transform(x)
        self.observer(self.number, torch.sigmoid(y))
        return y


def _own(view: NetworkView, observer: GateObserver) -> Iterator[tuple[int, Replacement]]:
    for number, slot in enumerate(view.slots):
        for part in (*slot.unit.merge.modules(), *slot.unit.shortcut.modules()):
            if isinstance(part, Gate | Gated):
                yield number, (part, "transform", Tapped(part.transform, number, observer))
                break


def _foreign(
    number: int, each: Sum, observer: GateObserver
) -> dict[Place, Callable[[Call], Tensor]]:
    if not each.gated:
        return {}

    def product(call: Call) -> Tensor:
        observer(number, 1 - call.tensors[1 - each.carried])
        return call.run()

    def lerp(call: Call) -> Tensor:
        weight = call.tensors[2]
        observer(number, 1 - weight if each.shortcut else weight)
        return call.run()

    if each.product is not None:
        return {each.product: product}
    return {each.place: lerp} if each.place.function.startswith("lerp") else {}
