"""The view of a model that nobody prepared: units found by one pass, edited at their sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .. import progress
from ..errors import UsageError
from ..units import ResidualNetwork
from .discovery import Units, discover
from .edits import Replacement, fitting, replace
from .inputs import Inputs, count
from .own import MemoryView, NetworkView
from .repeat import repeated
from .sums import Call, Place, Sum, answered
from .unit import Unit
from .view import (
    Delete,
    Edit,
    Observer,
    Put,
    Repeat,
    Scale,
    Series,
    Value,
    View,
    require_edits,
    require_unit,
)

if TYPE_CHECKING:
    from .cut import ForeignStages
    from .replay import Replay
    from .verify import Verification


def unravel(model: nn.Module | View, *inputs: Any, **keywords: Any) -> View:
    """The model as units, in signal order: what every tool of `anatomy` stands on.

    A view is given back as it is. One of our own networks needs no inputs; with an example batch it
    knows its units' shapes. Any other model is run once on the example inputs, which are what its
    forward takes (`discover`).

    UsageError: a model that does not run on these inputs, a nest without units.
    """
    if isinstance(model, ResidualNetwork):
        kind = MemoryView if hasattr(model, "memory") else NetworkView
        return kind(model, *inputs)
    if hasattr(model, "expression") and hasattr(model, "edited"):
        return model  # type: ignore[return-value]
    if not inputs and not keywords:
        raise UsageError(
            f"{type(model).__name__} cannot be unraveled without example inputs: "
            "unravel(model, *inputs, **keywords), with what its forward takes"
        )
    return ForeignView(discover(model, *inputs, **keywords))  # type: ignore[arg-type]


class ForeignView:
    """A discovered model as a view: no adapter, nothing registered, nothing changed."""

    def __init__(self, units: Units):
        self.units, self.model = units, units.model
        self.expression: Series = units.expression

    @contextmanager
    def edited(self, edits: Mapping[int, Edit]) -> Iterator[None]:
        """Passes of the model in which sums are answered otherwise; its code runs as it is.

        A deleted branch is computed and not used. Another unit is put in a place by its parameters,
        where both compute the same of them. A unit is repeated by further passes of the model.
        UsageError: a place that is not there; units that compute different things; a sum that
        cannot be answered; a pass that does not reach it; a unit that cannot be repeated.
        """
        require_edits(edits, len(self.units))
        answers: dict[Place, Callable[[Call], Tensor]] = {}
        moved: list[Replacement] = []
        loops: list[tuple[Place, Place, int]] = []
        for number, edit in sorted(edits.items()):
            unit = self.unit(number)
            match edit:
                case Delete(strict):
                    for each in self.sums(unit):
                        answers |= _deletion(each, strict)
                case Put(other):
                    moved += self._moved(unit, self.unit(other))
                case Scale(factor):
                    answers |= {s.place: _scaled(s, factor) for s in self.sums(unit)}
                case Value():
                    answers |= self._valued(unit, edit.tensor)
                case Repeat(times) if times > 1:
                    loops.append((self.units.ahead(number), self.sums(unit)[-1].place, times))
        with replace(moved):
            with repeated(self.model, answers, loops) if loops else answered(self.model, answers):
                yield

    def _valued(self, unit: Unit, tensor: Tensor) -> dict[Place, Callable[[Call], Tensor]]:
        """The last sum adds the tensor, those of further branches nothing."""
        self.require_rows(unit)

        def answer(each: Sum, last: bool) -> Callable[[Call], Tensor]:
            def total(call: Call) -> Tensor:
                left = each.around(call, strict=True)
                return call.put(left + fitting(tensor, left) if last else left)

            return total

        sums = self.sums(unit)
        return {each.place: answer(each, each is sums[-1]) for each in sums}

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """UsageError: a sum that cannot be seen, or whose first dimension holds no examples."""
        answers: dict[Place, Callable[[Call], Tensor]] = {}
        for unit in self.units:
            self.require_rows(unit)
            answers |= _shown(unit, observer)
        with answered(self.model, answers):
            yield

    def require_rows(self, unit: Unit) -> None:
        """UsageError: examples do not lie in the first dimension of the unit's stream."""
        examples = count((self.units.inputs, self.units.keywords))
        for each in self.sums(unit):
            if each.shape[:1] != (examples,):
                raise UsageError(
                    f"unit {unit.number} ({unit.name}): its sum is {each.shape} for {examples} "
                    "examples, which do not lie in its first dimension"
                )

    def unit(self, number: int) -> Unit:
        require_unit(number, len(self.units))
        return self.units[number]

    def sums(self, unit: Unit) -> tuple[Sum, ...]:
        if not unit.sums:
            raise UsageError(
                f"unit {unit.number} ({unit.name}) cannot be edited: its sum is made slice by "
                "slice, or within an operation that cannot be answered otherwise "
                "(torch._foreach_add, compiled code)"
            )
        return unit.sums

    def _moved(self, here: Unit, there: Unit) -> list[Replacement]:
        if here.number != there.number and here.form != there.form:
            raise UsageError(
                f"unit {there.number} ({there.name}) cannot stand in the place of unit "
                f"{here.number} ({here.name}): the two compute different things, or share "
                "parameters with others. Units of one `form` may"
            )
        pairs = zip(here.parameters, there.parameters, strict=True)
        moved: list[Replacement] = []
        for name, other in pairs:
            owner, _, leaf = name.rpartition(".")
            module = self.model.get_submodule(owner)
            moved.append((module, leaf, _named(self.model, other)))  # type: ignore[arg-type]
        return moved

    def stages(self, inputs: Inputs) -> ForeignStages | None:
        """The model cut at its units, where torch.export can follow it; else it is said why not."""
        from .cut import ForeignStages
        from .marks import NotCut

        try:
            return ForeignStages(self, inputs)
        except (NotCut, UsageError) as error:
            progress.say(f"the model cannot be cut at its units: {error}")
            return None

    def replay(self) -> Replay:
        from .replay import Replay

        return Replay(self)

    def tape(self, inputs: Any) -> None:
        """No unit can be run alone; `anatomy.gradient_by_length` shifts at the sums instead."""
        return None

    def verify(self) -> Verification:
        """`Units.verify`."""
        return self.units.verify()


def _named(model: nn.Module, name: str) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    return getattr(model.get_submodule(owner), leaf)


def _deletion(each: Sum, strict: bool) -> dict[Place, Callable[[Call], Tensor]]:
    """The answers that leave the shortcut alone; of a gate h, or (1 - T) h if strict."""
    if each.product is None or strict:
        return {each.place: lambda call: call.put(each.around(call, strict))}
    carried: list[Tensor] = []

    def product(call: Call) -> Tensor:
        value = call.tensors[each.carried]
        carried[:] = [value.clone() if call.in_place else value]
        return call.run()

    def total(call: Call) -> Tensor:
        return call.put(call.alike(carried.pop()))

    return {each.product: product, each.place: total}


def _scaled(each: Sum, factor: float) -> Callable[[Call], Tensor]:
    if factor == 1:
        return lambda call: call.run()
    if factor == 0:
        return lambda call: call.put(each.around(call, strict=True))
    return lambda call: call.put(each.around(call, strict=True) + factor * each.through(call))


def _shown(unit: Unit, observer: Observer) -> dict[Place, Callable[[Call], Tensor]]:
    """Of several sums, the shortcut is that of the first, the branch all that they add."""
    halves: list[Tensor] = []

    def show(each: Sum, call: Call) -> Tensor:
        if each is unit.sums[0]:
            halves[:] = [each.around(call, strict=True)]
        halves.append(each.through(call))
        after = call.run()
        if each is not unit.sums[-1]:
            return after
        before, *branches = halves
        halves.clear()
        other = observer(unit.number, before, sum(branches[1:], branches[0]), after)
        return after if other is None else call.put(other)

    return {each.place: partial(show, each) for each in unit.sums}
