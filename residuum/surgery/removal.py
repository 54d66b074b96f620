"""Networks that really lack the units which a lesion deletes."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING

from torch import nn

from ..errors import ExportError, UsageError, out_of_memory
from ..units import ResidualNetwork
from ..views.edits import device_of
from ..views.foreign import ForeignView, unravel
from ..views.verify import close
from ..views.view import DELETE, View
from .elements import without_elements
from .graph import exported, pruned
from .own import without_units
from .running import outputs

if TYPE_CHECKING:
    from torch import Tensor, fx


def removed(model: nn.Module | View, units: Collection[int]) -> nn.Module:
    """A smaller model: these units' branches and their parameters are gone, and what it gives is
    what `view.edited` with these deletions gives. The model itself is not changed; without any unit
    to remove it is copied.

    Of one of our own networks, a `ResidualNetwork` with a shorter row. Of any other, given as its
    view: a model of the same class, where whole elements of its lists of layers go; else a graph of
    operations (`without_branches`).

    UsageError: a unit that is not there, a sum that cannot be edited, a model that cannot be
    followed, and wherever what comes out is not what it should be.
    """
    view = unravel(model)
    numbers = chosen(view, units)
    if isinstance(view.model, ResidualNetwork):
        return without_units(view.model, numbers)
    assert isinstance(view, ForeignView)
    if not numbers:
        return copy.deepcopy(view.model)
    return without_layers(view, numbers) or without_branches(view, numbers)


def without_layers(view: ForeignView, units: Collection[int]) -> nn.Module | None:
    """The model, of its own class, without the elements of its lists of layers that these units
    fill; None where they fill none, or where the rest does not compute what it should: a layer
    behind reads more of them than the stream, or a normalisation of theirs would have stayed."""
    numbers = chosen(_foreign(view), units)
    shorter = without_elements(view, numbers)
    if shorter is None:
        return None
    try:
        wrong = _wrong(view, numbers, shorter)
    except Exception as error:  # any: the model's code does not expect a shorter list
        if out_of_memory(error):
            raise
        return None
    return None if wrong else shorter


def _foreign(view: View) -> ForeignView:
    if isinstance(view, ForeignView):
        return view
    raise UsageError("the view is of one of our own networks, which `removed` makes shorter itself")


def without_branches(view: ForeignView, units: Collection[int]) -> fx.GraphModule:
    """The model as a graph of operations in which these branches do not stand.

    Always as in evaluation: no dropout, batch normalisation by its running statistics, also while
    it is trained on. The batch may have another size; other shapes stay those of the view's inputs
    (a text's length too). Models of transformers give no `past_key_values`.

    UsageError: see `removed`.
    """
    numbers, units_ = chosen(_foreign(view), units), view.units
    if device_of(view.model).type == "meta":
        raise UsageError("a model without weights (on the meta device) has nothing to remove")
    with view.edited(dict.fromkeys(numbers, DELETE)):
        try:
            small = pruned(exported(view.model, units_.inputs, units_.keywords))
        except ExportError as error:
            said = "Its units can be deleted by `view.edited`, but not removed"
            raise UsageError(f"{error}. {said}") from error
    if wrong := _wrong(view, numbers, small):
        raise UsageError(f"units {numbers} of {type(view.model).__name__}: {wrong}")
    asked = {name: p.requires_grad for name, p in view.model.named_parameters()}
    for name, parameter in small.named_parameters():
        parameter.requires_grad_(asked.get(name, True))  # what is frozen stays so while it heals
    return small


def chosen(view: View, units: Collection[int]) -> list[int]:
    """In order. UsageError: a number that no unit has, or one given twice."""
    n, numbers = len(view.units), sorted(units)
    for number in numbers:
        if not 0 <= number < n:
            raise UsageError(f"no unit {number}: this model has units 0 to {n - 1}")
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"a unit is named twice among {numbers}")
    return numbers


def _wrong(view: ForeignView, numbers: list[int], small: nn.Module) -> str:
    """In words, where the smaller model is not the lesioned one; empty where it is."""
    named, used = dict(view.model.named_parameters()), view.units.used
    gone = set(view.units.removable(numbers))
    counted = sum(p.numel() for p in small.parameters())
    expected = {
        sum(named[name].numel() for name in names - gone)  # what nothing reads may stay or go
        for names in (set(named), set(used))
    }
    if counted not in expected:
        said = " or ".join(f"{each:,}" for each in sorted(expected))
        return f"{counted:,} parameters are left where it should be {said}"
    before, after = lesioned(view, numbers), on_inputs(view, small)
    if len(before) != len(after) or not all(map(close, before, after)):
        return "without these branches it does not give what the lesioned model gives"
    return ""


def lesioned(view: ForeignView, numbers: Collection[int]) -> list[Tensor]:
    """What the model gives on the view's inputs with these units deleted."""
    with view.edited(dict.fromkeys(numbers, DELETE)):
        return on_inputs(view, view.model)


def on_inputs(view: ForeignView, model: nn.Module) -> list[Tensor]:
    """What a model gives on the view's inputs, where the view's model is."""
    return outputs(model, view.units.inputs, view.units.keywords, device_of(view.model))
