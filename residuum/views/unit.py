"""What is told of each unit of a foreign model, read from a recorded pass."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from .detect import Detector, reachable
from .found import Found
from .kinds import words
from .operations import Frame, Operation, Trace
from .sums import Sum
from .view import UnitInfo

KEEP_ZERO = words("relu relu_ gelu silu silu_ tanh tanh_")


@dataclass(frozen=True)
class Unit(UnitInfo):
    """A unit of a foreign model.

    `modules`: the largest submodules that the branch is made of. `where`: the submodule whose
    forward makes the sum. `removable`: the parameters that no output depends on once the branch is
    deleted. `parameters`: those of branch and shortcut, in the order in which they are used.
    `sums`: how the sum is found again in a pass; empty where it cannot be answered otherwise.
    `nested`: units inside the branch. `tail`: the call of the submodule that gives the branch's
    output, with which of its tensors.
    """

    modules: tuple[str, ...] = ()
    where: str = ""
    removable: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    sums: tuple[Sum, ...] = ()
    nested: tuple[Unit, ...] = ()
    tail: tuple[Frame, int] | None = field(default=None, repr=False)


class Reader:
    """Reads units from a trace."""

    def __init__(self, trace: Trace):
        self.trace, self.operations = trace, trace.operations
        self.detector = Detector(trace)
        self.found = self.detector.units()
        self.sizes = dict(trace.model.named_parameters())
        self._known: dict[int, tuple[str, ...]] = {}
        self.uses: dict[str, set[int]] = defaultdict(set)
        for number in self.detector.alive:
            for name in self.operations[number].parameters:
                self.uses[name].add(number)
        self.used = self._parameters(self.detector.alive)

    def _parameters(self, numbers: Iterable[int]) -> frozenset[str]:
        return frozenset[str]().union(*(self.operations[n].parameters for n in numbers))

    def unit(self, found: Found, number: int, name: str) -> Unit:
        removable = self.removable([found])
        inner = [u for u in self.found if u.parent == found.total]
        split, total = self.operations[found.split], self.operations[found.total]
        sums = [self._sum(each) for each in (*found.parallel, found)]
        if found.whole is not None:  # what observes or moves a sum knows it whole
            total, sums = self.operations[found.whole], [None]
        return Unit(
            *(number, name, found.kind, self._merge(found), found.terms),
            *(split.shape[1:], total.shape[1:]),
            sum(self.sizes[p].numel() for p in removable),
            self._form(found),
            modules=self.modules(found),
            where=total.module,
            removable=removable,
            parameters=self._ordered(found),
            sums=() if None in sums else tuple(sums),  # type: ignore[arg-type]
            nested=tuple(
                self.unit(u, -1, title) for u, title in zip(inner, self.names(inner), strict=True)
            ),
            tail=self._tail(found),
        )

    def removable(self, units: Iterable[Found]) -> tuple[str, ...]:
        """The parameters that no output depends on once all of these are deleted."""
        every = [each for found in units for each in (found, *found.parallel)]
        cut = [edge for each in every for edge in self._edges(each)]
        left = self._parameters(reachable(self.operations, self.trace.outputs, cut))
        return tuple(sorted((self.used - left) & self.sizes.keys()))

    def _edges(self, found: Found) -> list[tuple[int, int]]:
        """What a deletion cuts: the branch, and of a gate what closes the shortcut."""
        edges = [(found.total, found.branch)]
        if found.kind == "gated":
            gates = self.operations[found.shortcut].inputs
            edges += [(found.shortcut, i) for i in gates if not self._carries(found, i)]
        return edges

    def _carries(self, found: Found, number: int) -> bool:
        """Whether it is the shortcut, or leads there through layout alone."""
        while number != found.split and self.operations[number].kind == "layout":
            number = self.operations[number].inputs[0]
        return number == found.split

    def _merge(self, found: Found) -> str:
        """ "gate"; "scaled" where the sum is divided behind, so that a deletion leaves a share of
        the shortcut, (x + F) / 2; else "sum"."""
        if found.kind == "gated":
            return "gate"
        total = self.operations[found.total]
        users = [self.operations[n] for n in self.detector.users[found.total]]
        alone = len(users) == 1 and users[0].kind == "scale" and not users[0].parameters
        averaged = total.constants and str(total.constants[0]) in ("mean", "lerp", "lerp_")
        return "scaled" if alone or averaged else "sum"

    # ---- where the sum is ----

    def _sum(self, found: Found) -> Sum | None:
        total = self.operations[found.total]
        place, shape = total.place, total.shape
        if place is None:
            return None
        index = self._index(found.shortcut, total.operands)
        if place.function in ("sum", "mean"):
            stacked = self.trace.stacks.get(total.operands[0] or 0)
            if stacked is None:
                return None
            index = self._index(found.shortcut, stacked[1])
            return None if index is None else Sum(place, index, shape, stacked[0])
        if index is None or len(total.operands) < 2:
            return None
        if found.kind != "gated" or place.function.startswith("lerp"):
            return Sum(place, index, shape, gated=found.kind == "gated")
        product = self.operations[found.shortcut]
        carried = [
            i for i, n in enumerate(product.operands) if n is not None and self._carries(found, n)
        ]
        if product.place is None or not carried:
            return None
        return Sum(place, index, shape, None, True, product.place, carried[0])

    def _index(self, number: int, operands: tuple[int | None, ...]) -> int | None:
        """Which of a call's tensors it came from: casts and views may lie between."""
        while number not in operands:
            inputs = self.operations[number].inputs
            if number in self.detector.stream:
                number = self.detector.stream[number]
            elif self.operations[number].kind in ("layout", "scale", "product") and inputs:
                number = inputs[0]
            else:
                return None
        return operands.index(number)

    # ---- submodules ----

    def modules(self, found: Found) -> tuple[str, ...]:
        """The largest that lie in the branch whole."""
        if found.total not in self._known:
            self._known[found.total] = self._modules(found)
        return self._known[found.total]

    def _modules(self, found: Found) -> tuple[str, ...]:
        def relevant(o: Operation) -> bool:
            return o.floating and o.kind != "layout" and o.number in self.detector.alive

        region = self._wide(found)
        inside = [relevant(o) and o.number in region for o in self.operations]
        outside = [relevant(o) and o.number not in region for o in self.operations]
        ins, outs = [0, *accumulate(inside)], [0, *accumulate(outside)]
        spans = sorted(
            (start, -end, frame[0])
            for frame, (start, end) in self.trace.spans.items()
            if frame[0] and ins[end] > ins[start] and outs[end] == outs[start]
        )
        names, last = [], -1
        for start, end, name in spans:
            if start >= last:
                names.append(name)
                last = -end
        return tuple(dict.fromkeys(names))

    def _wide(self, found: Found) -> set[int]:
        """The branch with what leads through integers (a router's choice of experts)."""
        made, inside = {found.split}, self.operations[found.split + 1 : found.branch + 1]
        for operation in inside:
            if not made.isdisjoint(operation.inputs):
                made.add(operation.number)
        needed = reachable(self.operations, [found.branch], (), made)
        return needed - {found.split}

    def _tail(self, found: Found) -> tuple[Frame, int] | None:
        number = found.branch
        while number in found.region:
            calls = [
                (self.trace.spans[frame][1], frame, index)
                for frame, index in self.trace.results.get(number, [])
                if self.trace.spans[frame][1] <= found.total
            ]
            if calls:
                _, frame, index = max(calls)
                return frame, index
            operation = self.operations[number]
            keeps = operation.kind in ("layout", "scale") or operation.constants[0] in KEEP_ZERO
            if not keeps or len(operation.inputs) != 1:
                return None
            number = operation.inputs[0]
        return None

    def names(self, found: list[Found]) -> list[str]:
        """The submodule that makes the sum; where it makes several, the largest of the branch; the
        number of the call where the submodule is called again."""
        places = [self.operations[u.total].module for u in found]
        several = Counter(places)
        names = []
        for unit, place in zip(found, places, strict=True):
            inside = self.modules(unit) if several[place] > 1 else ()
            sized = [(self._size(name), name) for name in inside]
            names.append(max(sized)[1] if sized else place or "sum")
        again, seen = Counter(names), Counter[str]()
        for number, name in enumerate(names):
            if again[name] > 1:
                seen[name] += 1
                names[number] = f"{name}#{seen[name] - 1}"
        return names

    def _size(self, name: str) -> int:
        return sum(p.numel() for p in self.trace.model.get_submodule(name).parameters())

    # ---- which units may stand in for each other ----

    def _region(self, found: Found) -> frozenset[int]:
        """Of the branches, with the parameters that integers made in them choose from (the biases
        of experts)."""
        wide = set[int]().union(*(self._wide(each) for each in (found, *found.parallel)))
        chosen = {n for n in wide if not self.detector.above(found.split, n)}
        every = ((n, self.operations[n]) for n in chosen)
        return found.region | {n for n, each in every if each.floating and each.parameters}

    def _ordered(self, found: Found) -> tuple[str, ...]:
        region = sorted(self._region(found))
        names = [n for o in region for n in sorted(self.operations[o].parameters)]
        return tuple(dict.fromkeys([*names, *sorted(found.road.parameters)]))

    def _form(self, found: Found) -> str:
        """The same for two units that compute the same of parameters of their own."""
        region = self._region(found)
        for name in self._ordered(found):
            elsewhere = self.uses[name] - region
            if len(elsewhere) > (name in found.road.parameters):
                return f"shares {name} ({found.total})"
        order = {number: i for i, number in enumerate(sorted(region))}
        order[found.split] = -1
        lines = [found.kind, found.road.kind]
        for number in sorted(region):
            operation = self.operations[number]
            inputs = [order.get(i, -2) for i in operation.inputs]
            constants = [str(c) for c in operation.constants]
            lines.append((operation.kind, inputs, constants, operation.shape))
        return hashlib.sha256(repr(lines).encode()).hexdigest()[:12]
