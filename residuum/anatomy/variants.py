"""Altered copies of a model, as data: for every place of the view, what is done to its unit."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import UsageError
from ..views import unravel
from ..views.inputs import Inputs, count
from ..views.view import DELETE, KEEP, Delete, Edit, Keep, Put, Value, require_unit

Variant = tuple[Edit, ...]


def require_some(inputs: Inputs) -> None:
    """UsageError where there is nothing to measure on, or tensors disagree on how many."""
    if not count(inputs):
        raise UsageError("no examples: a measurement needs at least one")


def intact(model: Any) -> Variant:
    """The model as it is."""
    return without(model, ())


def without(model: Any, numbers: Iterable[int], strict: bool = False) -> Variant:
    """The units of these numbers deleted.

    UsageError: a number that no unit has, or one given twice.
    """
    numbers, n = list(numbers), len(unravel(model).units)
    for number in numbers:
        require_unit(number, n)
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"a unit is named twice among {numbers}")
    deletion = Delete(strict) if strict else DELETE
    return tuple(deletion if number in numbers else KEEP for number in range(n))


def reordered(permutation: Sequence[int]) -> Variant:
    """Unit permutation[i] at place i."""
    return tuple(
        KEEP if unit == place else Put(int(unit)) for place, unit in enumerate(permutation)
    )


def edits_of(variant: Variant) -> dict[int, Edit]:
    """By place, what is not kept."""
    return {place: edit for place, edit in enumerate(variant) if not isinstance(edit, Keep)}


def rows_of(edit: Edit, at: slice, n: int) -> Edit:
    """The edit for some of n examples. UsageError: a `Value` of another number of rows."""
    if not isinstance(edit, Value) or len(edit.tensor) == 1:
        return edit
    if len(edit.tensor) != n:
        raise UsageError(
            f"a value of {len(edit.tensor)} rows for {n} examples: one row for all, or one for each"
        )
    return Value(edit.tensor[at])


@contextmanager
def applied(model: Any, variant: Variant) -> Iterator[None]:
    """The variant on the model itself: the definition that `sweep` is a fast way to compute."""
    with unravel(model).edited(edits_of(variant)):
        yield
