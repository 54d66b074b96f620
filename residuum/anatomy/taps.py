"""What meets at the sum of every unit, with a bound on the memory."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import UsageError
from ..views import unravel
from ..views.inputs import Inputs, call, count, take
from ..views.trace import undisturbed
from ..views.view import View
from .sweeps import MEMORY
from .variants import require_some


class Activation(NamedTuple):
    """At the sum of one unit, (N, ...) each, after = before + branch.

    `before`: m(h, 0; z), what the shortcut brings to the sum: the stream ahead of the unit itself
    where the shortcut is the identity; None in a plain unit. `branch`: m(0, F; z), what the branch
    adds; of a gate T F. `after`: the stream behind the unit, ahead of what follows its sum (f).
    """

    number: int
    before: Tensor | None
    branch: Tensor
    after: Tensor

    def only(self) -> Tensor:
        """`before`, which a plain unit has not. UsageError."""
        if self.before is None:
            raise UsageError(f"unit {self.number} is plain: nothing goes round its branch")
        return self.before


def activations(
    model: Any, inputs: Inputs, units: Sequence[int] | None = None, memory: int = MEMORY
) -> Iterator[tuple[slice, list[Activation]]]:
    """Batch by batch, which examples they are and the activations of these units (all), in signal
    order, on the model's device.

    When to use: for measures of your own. Batches are so small that what is given fits `memory`
    bytes (at least one example is taken); it is all that is held. Between two batches the model is
    as it was.

    UsageError: a unit that is not there; a unit of a foreign model whose sum cannot be seen.
    """
    view = unravel(model)
    require_some(inputs)
    chosen = set(range(len(view.units)) if units is None else units)
    for number in sorted(chosen - set(range(len(view.units)))):
        last = len(view.units) - 1
        raise UsageError(f"no unit {number}: this network has units 0 to {last}")
    n = count(inputs)
    one = _seen(view, take(inputs, slice(1)), chosen)
    held = sum(t.nbytes for found in one for t in found[1:] if isinstance(t, Tensor))
    size = max(1, min(n, memory // max(1, held)))
    for start in range(0, n, size):
        at = slice(start, min(start + size, n))
        yield at, _seen(view, take(inputs, at), chosen)


@torch.no_grad()
def _seen(view: View, inputs: Inputs, chosen: set[int]) -> list[Activation]:
    found: list[Activation] = []

    def see(number: int, before: Tensor | None, branch: Tensor, after: Tensor) -> None:
        if number in chosen:  # copies: what follows may write into them
            kept = None if before is None else before.clone()
            found.append(Activation(number, kept, branch.clone(), after.clone()))

    with undisturbed(view.model), view.observed(see):
        call(view.model, inputs)
    return found
