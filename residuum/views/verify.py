"""Numerical proof of what was discovered, on the example inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..errors import UsageError, held, several
from .edits import device_of, replace
from .inputs import to_device
from .second import second
from .sums import Call, Place, Sum, answered
from .trace import results, trace, undisturbed
from .view import DELETE

if TYPE_CHECKING:
    from .discovery import Units
    from .unit import Unit

TOLERANCE = 1e-5  # of the largest value


@dataclass(frozen=True)
class Proof:
    """Of one unit. None: not tried, since it cannot be or there is nothing to try.

    `adds_up`: the sum is shortcut plus branch, each computed without the other. `matters`: deleting
    the branch changes the output. `by_submodule`: the output is the same where the submodule that
    ends the branch gives zeros. `parameters_free`: it is the same bits where the removable
    parameters are not numbers; None where none is removable.
    """

    number: int
    name: str
    adds_up: bool | None
    matters: bool | None
    by_submodule: bool | None
    parameters_free: bool | None

    @property
    def contradicted(self) -> bool:
        return False in (self.adds_up, self.by_submodule, self.parameters_free)


@dataclass(frozen=True)
class Verification:
    """`units`: what was shown of each. `unproven`: in words, what could not be. `contradicted`: in
    words, what turned out false; empty on a right discovery."""

    units: tuple[Proof, ...]
    unproven: tuple[str, ...]
    contradicted: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.contradicted

    @property
    def proven(self) -> int:
        """Of how many units all that was tried holds, and at least this was: the sum is shortcut
        plus branch, and deleting the branch changes the output."""
        return sum(not p.contradicted and bool(p.adds_up and p.matters) for p in self.units)

    @property
    def untried(self) -> tuple[str, ...]:
        """In words, which further checks were not tried of how many units whose sum was."""
        tried = [p for p in self.units if p.adds_up is not None]
        counts = {
            "silencing a submodule": sum(p.by_submodule is None for p in tried),
            "removable parameters (there are none)": sum(p.parameters_free is None for p in tried),
        }
        return tuple(f"{what} of {several(n, 'unit')}" for what, n in counts.items() if n)

    def __str__(self) -> str:
        lines = [held(self.proven, len(self.units), self.untried)]
        lines += [f"CONTRADICTED {line}" for line in self.contradicted]
        return "\n".join([*lines, *(f"not proven: {line}" for line in self.unproven)])


def verify(units: Units) -> Verification:
    """Every unit's claim, by three passes each and one for all; the count, by another pass over the
    values themselves where the first was on fake tensors; count and parameters, by a second
    derivation (`second`).

    UsageError: a model without weights.
    """
    if device_of(units.model).type == "meta":
        raise UsageError("a model without weights (on the meta device) cannot be verified")
    with torch.no_grad(), undisturbed(units.model):
        checker = _Checker(units)
        proofs = tuple(checker.proof(unit) for unit in units)
    unproven, false = list(units.not_followed), []
    for proof in proofs:
        where = f"unit {proof.number} ({proof.name}):"
        if proof.adds_up is None:
            unproven.append(f"{where} its sum cannot be answered otherwise")
        elif not proof.matters:
            unproven.append(f"{where} deleting it changes nothing on these inputs")
        if proof.adds_up is not None and proof.by_submodule is None:
            unproven.append(f"{where} no submodule gives the branch alone")
        checks = {
            "the sum is not shortcut plus branch": proof.adds_up,
            "silencing its last submodule is not deleting it": proof.by_submodule,
            "its removable parameters reach the output": proof.parameters_free,
        }
        false += [f"{where} {text}" for text, held in checks.items() if held is False]
    false += checker.recount()
    with torch.no_grad(), undisturbed(units.model):
        told = second(units, *checker.given)
    false += [f"autograd's graph shows {text}" for text in told.contradicted]
    unproven += [f"the second derivation, from autograd's graph: {text}" for text in told.untold]
    return Verification(proofs, tuple(unproven), tuple(false))


class _Checker:
    def __init__(self, units: Units):
        self.units, self.model = units, units.model
        self.given = to_device((units.inputs, units.keywords), device_of(self.model))
        self.base, self.sound = self._added_up()

    def run(self, answers: dict[Place, Callable[[Call], Tensor]]) -> list[Tensor]:
        inputs, keywords = self.given
        torch.manual_seed(0)
        with answered(self.model, answers):
            return [t.clone() for t in results(self.model(*inputs, **keywords))]

    def _added_up(self) -> tuple[list[Tensor], dict[Place, bool]]:
        """One pass in which every sum is also computed by halves."""
        sound: dict[Place, bool] = {}

        def halves(each: Sum) -> Callable[[Call], Tensor]:
            def answer(call: Call) -> Tensor:
                halves = each.around(call, strict=True) + each.through(call)
                whole = call.run()
                sound[each.place] = halves.shape == whole.shape and close(halves, whole)
                return whole

            return answer

        sums = [each for unit in self.units for each in unit.sums]
        return self.run({each.place: halves(each) for each in sums}), sound

    def proof(self, unit: Unit) -> Proof:
        if not unit.sums:
            return Proof(unit.number, unit.name, None, None, None, None)
        from .foreign import ForeignView

        view, (inputs, keywords) = ForeignView(self.units), self.given

        def lesioned() -> list[Tensor]:
            torch.manual_seed(0)
            with view.edited({unit.number: DELETE}):
                return [t.clone() for t in results(self.model(*inputs, **keywords))]

        without = lesioned()
        hook = free = None
        if unit.removable:
            with not_numbers(self.model, unit.removable):
                free = all(map(torch.equal, without, lesioned()))
        if unit.tail is not None and unit.merge == "sum" and len(unit.sums) == 1:
            with silent(self.model, *unit.tail):
                hook = all(map(close, self.run({}), without))
        adds_up = all(self.sound[each.place] for each in unit.sums)
        matters = not all(map(torch.equal, without, self.base))
        return Proof(unit.number, unit.name, adds_up, matters, hook, free)

    def recount(self) -> list[str]:
        """What another pass finds, over values where the first was on fake tensors."""
        from .discovery import Units

        units = self.units
        kinds = (False,) if units.fake else (True, False)  # real ones again, where fake ones fail
        again = Units(
            trace(self.model, units.inputs, units.keywords, kinds), units.inputs, units.keywords
        )
        if [u.sums for u in again] == [u.sums for u in units]:
            return []
        return [f"on {'real' if units.fake else 'fake'} tensors {len(again)} units are found"]


def close(a: Tensor, b: Tensor) -> bool:
    """To rounding, relative to the largest value."""
    if not a.is_floating_point():
        return torch.equal(a, b)
    scale = max(float(a.abs().max()), float(b.abs().max()), 1e-30) if a.numel() else 1.0
    limit = max(TOLERANCE, 8 * torch.finfo(a.dtype).eps) * scale
    return bool(torch.isfinite(a).equal(torch.isfinite(b))) and bool(
        ((a - b).nan_to_num(0.0, 0.0, 0.0).abs() <= limit).all()
    )


@contextmanager
def not_numbers(model: nn.Module, names: tuple[str, ...]) -> Iterator[None]:
    """These parameters are NaN, wherever they stand."""
    named = dict(model.named_parameters())
    gone = {id(named[name]) for name in names}
    swaps = []
    for path, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in gone:
            owner, _, leaf = path.rpartition(".")
            nothing = nn.Parameter(torch.full_like(parameter, torch.nan), requires_grad=False)
            swaps.append((model.get_submodule(owner), leaf, nothing))
    with replace(swaps):
        yield


@contextmanager
def silent(model: nn.Module, frame: tuple[str, int], number: int) -> Iterator[None]:
    """The submodule gives zeros in place of one of its tensors, in this one of its calls."""
    calls = Counter[str]()

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        calls["all"] += 1
        if calls["all"] - 1 != frame[1]:
            return None
        flat, form = tree_flatten(output)
        at = [i for i, leaf in enumerate(flat) if isinstance(leaf, Tensor)][number]
        flat[at] = torch.zeros_like(flat[at])
        return tree_unflatten(flat, form)

    handle = model.get_submodule(frame[0]).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
