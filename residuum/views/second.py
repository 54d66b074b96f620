"""A second derivation of the units, from autograd's graph of a pass.

It shares nothing with the recorder and with `detect`: what one of them gets wrong, the other
contradicts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import first_line, several
from .gradient_graph import Graph, Node, graph, has_gradients

if TYPE_CHECKING:
    from .discovery import Units

MIXES = re.compile(r"Fft|Softmax|Cumsum|Pool|^Mean|Attention|MultiHead")
GRADES = {"same": 0, "bias": 1, "scale": 1, "part": 2, "cheap": 2, "layer": 3}


class Way(NamedTuple):
    """From a sum back to `start` along what may be a shortcut."""

    start: int
    grade: int = 0
    layers: int = 0
    parameters: frozenset[str] = frozenset()
    parts: bool = False
    passed: tuple[int, ...] = ()


@dataclass
class Second:
    """A unit: its sum, the start of its shortcut, what lies on the branch, its parameters."""

    total: int
    start: int
    region: frozenset[int]
    parameters: frozenset[str]


class Comparison(NamedTuple):
    """In words: what autograd's graph shows and was not found, and what it cannot tell."""

    contradicted: tuple[str, ...]
    untold: tuple[str, ...]


def second(units: Units, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Comparison:
    """`compare` by another pass of the model, with gradients."""
    try:
        return compare(units, graph(units.model, inputs, keywords))
    except RuntimeError as error:
        return Comparison((), (f"the pass with gradients fails: {first_line(error)}",))


def compare(units: Units, found: Graph) -> Comparison:
    """How many units there are, and of which parameters each.

    Tables that integers choose from are left out: autograd does not know what was chosen.
    """
    if not found.nodes:
        return Comparison((), ("no output leads back to a floating input or parameter",))
    floating = (n for n, p in units.model.named_parameters() if has_gradients(p))
    known = frozenset(floating) - found.tables
    unseen = (units.used & known) - found.parameters
    hidden = set(found.hidden)
    if unseen:
        hidden.add(f"{min(unseen)} is used and has no gradient (detach, no_grad)")
    seconds = residual_units(found)
    said: list[str] = []
    if len(seconds) != len(units):
        said.append(f"{several(len(seconds), 'unit')} where {len(units)} were found")
    left = Counter(second.parameters - found.tables for second in seconds)
    for unit in units:
        own = known.intersection(unit.parameters)
        if left[own]:
            left[own] -= 1
        else:
            said.append(f"no unit of the parameters of unit {unit.number} ({unit.name})")
    said += [f"a unit of {_some(own)}, which none of those found has" for own in left.elements()]
    if said and hidden:
        return Comparison((), tuple(sorted(hidden)))
    return Comparison(tuple(said), () if known else ("no parameters, so only the count",))


def _some(names: frozenset[str]) -> str:
    first = ", ".join(sorted(names)[:3]) or "no parameters"
    return f"{first}, ..." if len(names) > 3 else first


def residual_units(found: Graph) -> list[Second]:
    """Those that are neither nested nor long skips, in the order of their sums."""
    every = _Finder(found.nodes).found()
    inside = {u.total: [o for o in every if o is not u and o.total in u.region] for u in every}
    long = set[int]()
    for unit in every:
        inner = inside[unit.total]
        apart = [a for a in inner if not any(a is not b and a.total in b.region for b in inner)]
        if len(apart) > 1 or any(other.total in long for other in inner):
            long.add(unit.total)
    nested = {o.total for total, inner in inside.items() if total not in long for o in inner}
    return [unit for unit in every if unit.total not in long | nested]


class _Finder:
    """A unit is a sum of two nodes: from one of them a way of little work leads back to a node that
    the other was made from by more."""

    def __init__(self, nodes: list[Node]):
        self.nodes = nodes
        self.above: list[int] = []  # as bits
        self.readers: dict[int, set[int]] = defaultdict(set)
        for number, node in enumerate(nodes):
            bits = 0
            for source in node.inputs:
                bits |= self.above[source] | 1 << source
                self.readers[source].add(number)
            self.above.append(bits)
        self.through: dict[int, int] = {}  # of a unit's sum, where its stream comes from

    def found(self) -> list[Second]:
        units: dict[int, Second] = {}
        parts: dict[tuple[int, int], int] = {}
        for total, node in enumerate(self.nodes):
            if node.kind not in ("add", "sub") or len(set(node.inputs)) < 2:
                continue
            left, right = node.inputs
            sides = [(left, right)] if node.kind == "sub" else [(left, right), (right, left)]
            readings = [r for side in sides if (r := self._reading(*side, node.kind == "sub"))]
            if not readings:
                continue
            _, way, stream, region = min(readings, key=lambda reading: reading[0])
            self.through[total] = stream
            names = frozenset[str]().union(
                way.parameters, *(self.nodes[n].parameters for n in region)
            )
            unit = Second(total, way.start, region, names)
            if len(way.passed) == 1 and way.passed[0] in units:
                first = units[way.passed[0]]
                if first.start == unit.start and self._only_reader(first.total) == total:
                    del units[first.total]  # a further branch of the same unit
                    unit.region |= first.region
                    unit.parameters |= first.parameters
            branch = right if stream == left else left
            if way.parts and (whole := self._whole(branch)) != branch:
                if (other := parts.get((way.start, whole))) in units:
                    first = units.pop(other)  # another part of the same sum
                    unit.region |= first.region
                    unit.parameters |= first.parameters
                parts[way.start, whole] = total
            units[total] = unit
        return list(units.values())

    def _whole(self, number: int) -> int:
        """What it is a part of; itself, where it is not one."""
        node, source, part = self.nodes[number], number, False
        while node.kind in ("part", "same") and len(set(node.inputs)) == 1:
            part = part or node.kind == "part"
            source = node.inputs[0]
            node = self.nodes[source]
        return source if part else number

    def _only_reader(self, number: int) -> int | None:
        while len(self.readers[number]) == 1:
            (number,) = self.readers[number]
            if self.nodes[number].kind != "same":
                return number
        return None

    def _reading(
        self, around: int, branch: int, minus: bool
    ) -> tuple[tuple[bool, int, int], Way, int, frozenset[int]] | None:
        """How plain it is, the shortcut, the stream, the branch."""
        way = self._meeting(around, branch)
        if way and not self._fits(way, branch, minus):
            way = None
        if way is None or way.grade > 1:
            gated = self._gate(around, branch)
            if gated:
                depth, _, region = self._between(gated.start, branch)
                return (len(gated.passed) > 1, 1, -depth), gated, gated.start, region
        if way is None:
            return None
        depth, _, region = self._between(way.start, branch)
        return (len(way.passed) > (way.grade == 0), way.grade, -depth), way, around, region

    def _fits(self, way: Way, branch: int, minus: bool) -> bool:
        depth, mixes, region = self._between(way.start, branch)
        if way.parts:
            readers = self.readers[way.start] & region
            if all(self.nodes[n].kind == "part" for n in readers):
                return False
        if way.grade == 3:
            return depth > max(1, way.layers)
        return depth > 0 or (mixes and way.grade == 0 and not minus)

    def _gate(self, around: int, branch: int) -> Way | None:
        """h g + F t, where g is made of h."""
        products = [self.nodes[n] for n in (around, branch)]
        if any(n.kind != "product" or len(set(n.inputs)) != 2 for n in products):
            return None
        for carried, gate in (products[0].inputs, products[0].inputs[::-1]):
            way = self._meeting(carried, branch)
            if way and way.grade == 0 and self.above[gate] >> way.start & 1:
                return way if self._between(way.start, branch)[0] else None
        return None

    def _meeting(self, around: int, branch: int) -> Way | None:
        for way in self._ways(around):
            if way.start == branch:
                return None
            if self.above[branch] >> way.start & 1:
                return way
        return None

    def _ways(self, number: int) -> Iterator[Way]:
        way: Way | None = Way(number)
        while way is not None:
            yield way
            way = self._back(way)

    def _back(self, way: Way) -> Way | None:
        """One operation further; None where it is more than a shortcut does."""
        node = self.nodes[way.start]
        if way.start in self.through:
            passed = (*way.passed, way.start)
            return way._replace(start=self.through[way.start], passed=passed)
        layer = node.kind == "layer" and (node.parameters or "Conv" in node.word)
        grade = GRADES.get(node.kind)
        if grade is None or len(set(node.inputs)) != 1 or (node.kind == "layer" and not layer):
            return None
        if layer and way.layers:
            return None
        return Way(
            node.inputs[0],
            max(way.grade, grade),
            way.layers + bool(layer),
            way.parameters | node.parameters,
            way.parts or node.kind == "part",
            way.passed,
        )

    def _between(self, start: int, end: int) -> tuple[int, bool, frozenset[int]]:
        """The most layers on one way from the one to the other, whether places are mixed, and all
        that lies there."""
        among = {n for n in range(start + 1, end) if self.above[end] >> n & 1} | {end}
        among = {n for n in among if self.above[n] >> start & 1}
        layers = dict[int, int]()
        for number in sorted(among):
            node = self.nodes[number]
            before = max((layers.get(i, 0) for i in node.inputs), default=0)
            counts = node.kind == "layer" and (node.parameters or "Conv" in node.word)
            layers[number] = before + bool(counts)
        mixes = any(MIXES.search(self.nodes[n].word) for n in among)
        return layers.get(end, 0), mixes, frozenset(among)
