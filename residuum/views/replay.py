"""Lesioned passes of a model that cannot be cut, each at the price of what comes behind the lesion.

One pass is recorded as a row of operations, below autograd. For a lesion whose first sum stands at
operation c, the model's own forward runs again, and every operation ahead of c returns at once:
what is needed behind c comes from the record, integers and scalars as they were, the rest as empty
tensors of the recorded form. Python runs whole, arithmetic only from c on, so the numbers are those
of a whole pass, to the bit.
"""

from __future__ import annotations

import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from .. import progress
from .inputs import Inputs, call, tensors
from .sums import Call, Place, Running, Sums, eager
from .view import Delete, Edit, Value

if TYPE_CHECKING:
    from .foreign import ForeignView

Made = tuple[int, int]  # an operation and which of its outputs
# the same value under another name: these come and go with how a tensor was made
SILENT = {
    torch.ops.aten.detach.default,
    torch.ops.aten.alias.default,
    torch.ops.aten.lift_fresh.default,
}
KEPT_WHOLE = 1 << 16  # elements up to which integers and truth values are recorded


class NotRepeated(Exception):
    """A pass whose operations are not the recorded ones."""


class Form(NamedTuple):
    """Of an output that is not needed: how it lies in memory, its value where Python may ask."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    value: Tensor | None

    def empty(self) -> Tensor:
        if self.value is not None:
            return self.value.clone()
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)


@dataclass
class Plan:
    """The operations of a pass, and for each unit its `cuts`: the operation that its first edited
    call begins at, and what must be known there (None: two names of one memory would part)."""

    functions: list[Any] = field(default_factory=list)
    cuts: dict[int, tuple[int, frozenset[Made] | None]] = field(default_factory=dict)
    held: int = 1  # bytes, for one example


class _Planning(TorchDispatchMode):
    """First pass: who uses what, and who writes into which memory."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[Any] = []
        self.known: dict[int, tuple[weakref.ref[Tensor], Made]] = {}
        self.uses: dict[Made, list[int]] = defaultdict(list)
        self.storages: dict[Made, StorageWeakRef] = {}
        self.bytes: dict[Made, int] = {}
        self.writes: list[tuple[int, StorageWeakRef]] = []
        self.kept = False  # a tensor from before the pass was written into

    def made(self, tensor: Tensor) -> Made | None:
        known = self.known.get(id(tensor))
        return known[1] if known and known[0]() is tensor else None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = tensors((args, kwargs or {}))
        sources = [self.made(tensor) for tensor in given]
        output = func(*args, **(kwargs or {}))
        if func in SILENT and sources[0]:
            self.known[id(output)] = (weakref.ref(output), sources[0])
        if func in SILENT:
            return output
        number = len(self.functions)
        self.functions.append(func)
        for source in sources:
            if source is not None:
                self.uses[source].append(number)
        for index, tensor in enumerate(tree_flatten(output)[0]):
            if isinstance(tensor, Tensor):
                self.known[id(tensor)] = (weakref.ref(tensor), (number, index))
                self.storages[number, index] = StorageWeakRef(tensor.untyped_storage())
                self.bytes[number, index] = tensor.nbytes
        if func._schema.is_mutable:
            self.kept |= sources[0] is None
            self.writes.append((number, StorageWeakRef(given[0].untyped_storage())))
        return output

    def needed(self, cut: int, branch: Made | None) -> frozenset[Made] | None:
        """Made ahead of the cut and used from it on, but for the branch that is deleted there."""
        found = {made for made, uses in self.uses.items() if made[0] < cut <= uses[-1]}
        names: dict[int, int] = defaultdict(int)
        for made in found:
            names[self.storages[made].cdata] += 1
        if any(number >= cut and names[memory.cdata] > 1 for number, memory in self.writes):
            return None
        return frozenset(found - {branch} if branch and self.uses[branch] == [cut] else found)


class _Recording(TorchDispatchMode):
    """Second pass: the form of every output, and what is needed at each cut, as it is there."""

    def __init__(self, plan: Plan):
        super().__init__()
        self.plan, self.number = plan, 0
        self.forms: list[tuple[list[Any], TreeSpec]] = []
        self.saved: dict[int, dict[Made, Tensor]] = {}
        self.now: dict[Made, Tensor] = {}
        self.copies: dict[tuple[Made, int], Tensor] = {}
        self.writes = Counter[int]()  # by memory: inference mode counts none
        self.at: dict[int, frozenset[Made]] = {c: n for c, n in plan.cuts.values() if n is not None}
        self.wanted: set[Made] = set().union(*self.at.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in SILENT:
            return func(*args, **(kwargs or {}))
        number = self.number
        self.number += 1
        if number >= len(self.plan.functions) or self.plan.functions[number] is not func:
            raise NotRepeated
        if number in self.at:
            self.saved[number] = {made: self._copy(made) for made in self.at[number]}
        output = func(*args, **(kwargs or {}))
        if func._schema.is_mutable:
            self.writes[tensors((args, kwargs or {}))[0].untyped_storage()._cdata] += 1
        flat, form = tree_flatten(output)
        for index, tensor in enumerate(flat):
            if isinstance(tensor, Tensor) and (number, index) in self.wanted:
                self.now[number, index] = tensor
        self.forms.append(([_form(leaf) for leaf in flat], form))
        return output

    def _copy(self, made: Made) -> Tensor:
        """One for all cuts, unless it was written into between them."""
        tensor = self.now[made]
        key = (made, self.writes[tensor.untyped_storage()._cdata])
        if key not in self.copies:
            self.copies[key] = tensor.clone()
        return self.copies[key]


def _form(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    asked = not leaf.is_floating_point() and leaf.numel() <= KEPT_WHOLE
    value = leaf.clone() if asked else None
    return Form(leaf.shape, leaf.stride(), leaf.dtype, leaf.device, value)


class _Replaying(TorchDispatchMode):
    """A later pass: ahead of the cut nothing is computed."""

    def __init__(self, record: _Recording, cut: int):
        super().__init__()
        self.record, self.cut, self.number = record, cut, 0
        self.live = record.saved[cut]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in SILENT or self.number >= self.cut:
            return func(*args, **(kwargs or {}))
        number = self.number
        self.number += 1
        if self.record.plan.functions[number] is not func:
            raise NotRepeated
        forms, form = self.record.forms[number]
        if func._schema.is_mutable:  # others hold this very tensor
            first = tensors((args, kwargs or {}))[0]
            if torch.Tag.inplace_view in func.tags:  # turns it, values apart
                func(*args, **(kwargs or {}))
            return first.copy_(self.live[number, 0]) if (number, 0) in self.live else first
        output = [
            self.live[number, index].clone()
            if (number, index) in self.live
            else (leaf.empty() if isinstance(leaf, Form) else leaf)
            for index, leaf in enumerate(forms)
        ]
        return tree_unflatten(output, form)


class Replay:
    """Outputs of edited passes, each from behind what its edits leave unchanged."""

    def __init__(self, view: ForeignView):
        self.view = view
        self.plan: Plan | None = None

    def held(self, example: Inputs) -> int:
        """Bytes that one example takes."""
        self.plan = self._plan(example)
        return self.plan.held

    def outputs(self, inputs: Inputs, variants: Sequence[Mapping[int, Edit]]) -> Iterator[Any]:
        """The model's outputs on these inputs under each of the edits, in evaluation mode without
        gradients.

        Where a pass does not repeat the recorded one, an edit needs its branch or two names of one
        memory would part, a whole pass, and it is said.
        """
        record, whole = self._record(inputs)
        reasons = set[str]()
        for edits in variants:
            cut, needed = self._cut(edits)
            if not edits and whole is not None:
                yield whole[0]
                continue
            if record is None or needed is None:
                reasons.add("not every pass can begin in its middle; some run whole")
            elif cut is not None:
                try:
                    with self.view.edited(edits), _Replaying(record, cut):
                        output = call(self.view.model, inputs)
                    yield output
                    continue
                except NotRepeated:
                    reasons.add("the model does not repeat its operations; passes run whole")
            with self.view.edited(edits):
                yield call(self.view.model, inputs)
        for reason in sorted(reasons):
            progress.say(reason)

    def _cut(self, edits: Mapping[int, Edit]) -> tuple[int | None, frozenset[Made] | None]:
        """The first of the edits' cuts."""
        if self.plan is None or not edits:
            return None, frozenset()
        for unit, edit in edits.items():
            if not isinstance(edit, Delete | Value) or unit not in self.plan.cuts:
                return None, None
        return min((self.plan.cuts[unit] for unit in edits), key=lambda cut: cut[0])

    def _record(self, inputs: Inputs) -> tuple[_Recording | None, tuple[Any] | None]:
        """One pass, with what it gave; planned anew where another batch runs other operations."""
        for planned in (self.plan, None):
            self.plan = planned or self._plan(inputs)
            record = _Recording(self.plan)
            try:
                with eager(), record:
                    output = call(self.view.model, inputs)
            except NotRepeated:
                continue
            if record.number == len(self.plan.functions):
                return record, (output,)
        return None, None

    def _plan(self, inputs: Inputs) -> Plan:
        """Finds where each unit's first edited call begins."""
        units: dict[Place, int] = {}
        for unit in self.view.units:
            for each in unit.sums:
                units |= {p: unit.number for p in (each.product, each.place) if p is not None}
        running, planning = Running(self.view.model), _Planning()
        begins: dict[int, tuple[int, Made | None]] = {}

        def answer(place: Place, made: Call) -> Tensor:
            unit = units.get(place)
            if unit is not None and unit not in begins:
                sums = self.view.units[unit].sums
                plain = sums[0].place == place and made.name.strip("_") in ("add", "iadd", "sub")
                branch = planning.made(made.tensors[1 - sums[0].shortcut]) if plain else None
                begins[unit] = len(planning.functions), branch
            return made.run()

        with eager(), running.watched(), Sums(running, answer), planning:
            call(self.view.model, inputs)
        plan = Plan(planning.functions)
        if not planning.kept:
            plan.cuts = {u: (c, planning.needed(c, b)) for u, (c, b) in begins.items()}
        sizes = [planning.bytes[made] for _, needed in plan.cuts.values() for made in needed or ()]
        plan.held = max(1, sum(sizes))
        return plan
