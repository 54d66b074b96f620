"""Residual units in a recorded forward pass.

Of every sum of two activations, one operand u is followed back through what a shortcut may do
(reorder, scale, resample, at most one layer with weights, earlier sums along the stream) to the
first tensor s that the other operand v was made from too: the split point. v = F(s) is a branch if
weights, or a mixing of places, lie on its way. Nearest common tensor along the shortcut, not the
dominator: cross-attention gives F a second source.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator

from .found import IDENTITY, PROJECTION, RESAMPLED, SCALED, Found, Road, assemble, join, nest
from .kinds import MIXING, RESAMPLING
from .operations import Operation, Trace

SHORTCUTS = ("identity", "scaled", "resampled", "projection")


class Detector:
    """The operations of a trace, with the ancestors of each as a bit set over floating tensors."""

    def __init__(self, trace: Trace):
        self.trace, self.operations = trace, trace.operations
        self.ancestors: list[int] = []
        for operation in self.operations:
            above = 0
            for number in self.floats(operation):
                above |= self.ancestors[number] | 1 << number
            self.ancestors.append(above)
        self.users: dict[int, list[int]] = defaultdict(list)
        for operation in self.operations:
            for number in operation.inputs:
                self.users[number].append(operation.number)
        self.stream: dict[int, int] = {}  # of a unit's sum, where its shortcut goes on
        self.alive = reachable(self.operations, trace.outputs)

    def floats(self, operation: Operation) -> list[int]:
        return [i for i in operation.inputs if self.operations[i].floating]

    def origin(self, number: int, *kinds: str) -> int:
        """Back over operations of these kinds that are made of one tensor."""
        operation = self.operations[number]
        while operation.kind in kinds and len(sources := self.floats(operation)) == 1:
            operation = self.operations[sources[0]]
        return operation.number

    def above(self, number: int, below: int) -> bool:
        return bool(self.ancestors[below] >> number & 1)

    def units(self) -> list[Found]:
        """All, in the order of their sums, nested ones and long skips among them."""
        found: dict[int, Found] = {}
        parts: dict[tuple[int, int], int] = {}
        for operation in self.operations:
            if operation.kind not in ("add", "sub") or operation.number not in self.alive:
                continue
            unit = operation.floating and self._unit(operation)
            if not unit:
                continue
            self.stream[unit.total] = unit.split if unit.kind == "gated" else unit.shortcut
            before = found.get(unit.road.passed[-1]) if unit.road.passed else None
            if before and len(unit.road.passed) == 1 and self._beside(before, unit):
                unit = join(found.pop(before.total), unit)
            elif (whole := self._whole(unit)) is not None:
                if (other := parts.get((unit.split, whole))) in found:
                    unit = assemble(found.pop(other), unit, whole)
                parts[unit.split, whole] = unit.total
            found[unit.total] = unit
        units = list(found.values())
        nest(units)
        return units

    def _beside(self, before: Found, unit: Found) -> bool:
        """Whether both branches read the same tensor, and only their sum is used: h + F1 + F2."""
        users = self.users[before.total]
        while len(users) == 1 and self.operations[users[0]].kind == "layout":
            users = self.users[users[0]]
        return before.split == unit.split and users == [unit.total]

    def _whole(self, unit: Found) -> int | None:
        """What the branch's tensor is a part of, where a part of the shortcut is added to it."""
        whole = self.origin(unit.branch, "slice", "layout")
        part = whole != self.origin(unit.branch, "layout")
        return whole if part and unit.road.sliced else None

    def _unit(self, operation: Operation) -> Found | None:
        """The best reading of a sum: the shortcut that leads over no other units (one layer beside
        several units is their projection), then the plainer, then the deeper branch."""
        operands = self.floats(operation)
        if len(operands) < 2 or operands[0] == operands[1]:
            return None
        readings = []
        for side in (0, 1):
            shortcut, branch = operands[side], operands[1 - side]
            if operation.kind == "sub" and side:
                continue  # F(x) - x
            road, kind = self._plain(shortcut, branch, operation.kind == "sub")
            if road is None or road.kind >= RESAMPLED:
                gate = self._gated(shortcut, branch)
                road, kind = (gate, "gated") if gate else (road, kind)
            if road is not None:
                depth, _, region = self.branch(road.end, branch)
                grade = SCALED if kind == "gated" else road.kind
                unit = Found(operation.number, shortcut, branch, road, kind, region)
                over = len(road.passed) > (road.kind == IDENTITY)
                readings.append((over, grade, -depth, side, unit))
        if not readings:
            return None
        unit = min(readings)[-1]
        unit.terms = len(self._terms(unit.branch, unit.region))
        return unit

    def _plain(self, shortcut: int, branch: int, minus: bool) -> tuple[Road | None, str]:
        road = self._meet(shortcut, branch)
        if road is None:
            return None, ""
        depth, mixing, region = self.branch(road.end, branch)
        if minus and not depth:
            return None, ""  # centring: x - mean
        if road.sliced and not self._reads_whole(road.end, region):
            return None, ""
        fits = {
            IDENTITY: depth >= 1 or mixing,
            SCALED: depth >= 1,
            RESAMPLED: depth >= 1,
            PROJECTION: depth >= 2 and depth > road.weighted,
        }[road.kind]
        if not fits:
            return None, ""
        return road, "sliced" if road.sliced and road.kind < PROJECTION else SHORTCUTS[road.kind]

    def _gated(self, shortcut: int, branch: int) -> Road | None:
        """x * g + F * t, the gate g made from x too (highway)."""
        both = [self.operations[number] for number in (shortcut, branch)]
        if any(o.kind != "product" or len(self.floats(o)) != 2 for o in both):
            return None
        factors = self.floats(both[0])
        for carried, gate in (factors, factors[::-1]):
            road = self._meet(carried, branch)
            if road and road.kind == IDENTITY and self.above(road.end, gate):
                depth, _, _ = self.branch(road.end, branch)
                return road if depth else None
        return None

    def _meet(self, shortcut: int, branch: int) -> Road | None:
        """The shortcut back to the first tensor that the branch was made from."""
        for road in self._roads(shortcut):
            if road.end == branch:
                return None
            if self.above(road.end, branch):
                return road
        return None

    def _roads(self, number: int) -> Iterator[Road]:
        road = Road(number)
        while True:
            yield road
            operation = self.operations[road.end]
            sources = self.floats(operation)
            kind, weighted, passed, sliced = road.kind, road.weighted, road.passed, road.sliced
            end = sources[0] if sources else None
            if operation.number in self.stream:
                end, passed = self.stream[operation.number], (*passed, operation.number)
            elif (
                operation.kind == "rewritten"
                # `x[a] += f` writes the sum, and then a copy of it
                and (written := self.origin(operation.inputs[-1], "layout")) in self.stream
            ):
                passed = tuple(dict.fromkeys((*passed, written)))
            elif len(sources) != 1:
                return
            elif operation.kind in ("bias", "scale"):
                kind = max(kind, SCALED)
            elif operation.kind == "slice":
                kind, sliced = max(kind, RESAMPLED), True
            elif operation.kind in RESAMPLING:
                kind = max(kind, RESAMPLED)
            elif self.weighted(operation) and not weighted:
                kind, weighted = PROJECTION, 1
            elif operation.kind != "layout":
                return
            if end is None:
                return
            parameters = road.parameters
            if operation.number not in self.stream:
                parameters |= operation.parameters
            road = Road(end, kind, weighted, parameters, passed, sliced)

    def weighted(self, operation: Operation) -> bool:
        """A layer; a convolution also with weights that were computed, and a linear layer whose
        weights were quantised and packed."""
        if operation.kind != "weight":
            return False
        name = operation.constants[0]
        return bool(operation.parameters) or "conv" in name or name.startswith("linear_")

    def branch(self, split: int, end: int) -> tuple[int, bool, frozenset[int]]:
        """Between the two: the most layers with weights on one way, whether places are mixed, and
        all operations."""
        region, todo = set[int](), [end]
        while todo:
            number = todo.pop()
            if number not in region and self.above(split, number):
                region.add(number)
                todo += self.operations[number].inputs
        depth: dict[int, int] = {}
        for number in sorted(region):
            operation = self.operations[number]
            before = max((depth.get(i, 0) for i in operation.inputs), default=0)
            depth[number] = before + self.weighted(operation)
        mixing = any(self.operations[number].kind in MIXING for number in region)
        return depth.get(end, 0), mixing, frozenset(region)

    def _reads_whole(self, split: int, region: Iterable[int]) -> bool:
        """Whether the branch reads more of the split tensor than parts of it: else it may be made
        of other parts than the shortcut is."""
        readers = [self.operations[n] for n in region if split in self.operations[n].inputs]
        return any(reader.kind != "slice" for reader in readers)

    def _terms(self, number: int, region: frozenset[int]) -> list[int]:
        """The branches that were added up before they met the shortcut."""
        operation = self.operations[self.origin(number, "layout", "scale")]
        parts = self.floats(operation)
        outside = operation.number in self.stream or not set(parts) <= region
        if operation.kind != "add" or outside or operation.number not in region:
            return [number]
        return [term for part in parts for term in self._terms(part, region)]


def reachable(
    operations: list[Operation],
    ends: Iterable[int],
    without: Iterable[tuple[int, int]] = (),
    among: Container[int] | None = None,
) -> set[int]:
    """What the ends are made of, leaving out these (operation, its input), among these alone."""
    cut, seen, todo = set(without), set[int](), list(ends)
    while todo:
        number = todo.pop()
        if number not in seen and (among is None or number in among):
            seen.add(number)
            todo += [i for i in operations[number].inputs if (number, i) not in cut]
    return seen
