"""The view of a model that nobody prepared: units found by one pass, edited at their sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import UsageError
from ..units import ResidualNetwork
from .discovery import Units, discover
from .edits import Replacement, replace
from .own import MemoryView, NetworkView
from .sums import Call, Place, Sum, answered
from .unit import Unit
from .view import Delete, Edit, Put, Series, View, require_edits, require_unit

if TYPE_CHECKING:
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
        where both compute the same of them. UsageError: a place that is not there; units that
        compute different things; a sum that cannot be answered; a pass that does not reach it.
        """
        require_edits(edits, len(self.units))
        answers: dict[Place, Callable[[Call], Tensor]] = {}
        moved: list[Replacement] = []
        for number, edit in edits.items():
            unit = self.unit(number)
            if isinstance(edit, Delete):
                for each in self.sums(unit):
                    answers |= _deletion(each, edit.strict)
            elif isinstance(edit, Put):
                moved += self._moved(unit, self.unit(edit.number))
        with replace(moved), answered(self.model, answers):
            yield

    def unit(self, number: int) -> Unit:
        require_unit(number, len(self.units))
        return self.units[number]

    def sums(self, unit: Unit) -> tuple[Sum, ...]:
        if not unit.sums:
            raise UsageError(
                f"unit {unit.number} ({unit.name}) cannot be edited: its sum is part of an "
                "operation (torch._foreach_add, compiled code) that cannot be answered otherwise"
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

    def stages(self) -> None:
        """A foreign model is not cut: its code is its own."""
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
