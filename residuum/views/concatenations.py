"""Where a model joins tensors to what was made of them: dense layers, and long skips like a
U-Net's."""

from __future__ import annotations

from typing import NamedTuple

from .detect import Detector


class Concatenation(NamedTuple):
    """[h, F(h)]. `where`: the submodule that joins. `tensors`: how many are joined. `dense`: it is
    one of a chain, each of which joins all that the one before did and more (Huang et al. 2017);
    else it joins once (a U-Net's long skip, Ronneberger et al. 2015)."""

    where: str
    tensors: int
    dense: bool


def concatenations(detector: Detector) -> tuple[Concatenation, ...]:
    """In the order of the pass."""
    found = []
    pieces = {o.number: _pieces(detector, o.number) for o in detector.operations if o.kind == "cat"}
    sets = {frozenset(parts) for parts in pieces.values()}
    for number, parts in pieces.items():
        if number in detector.alive and _made_of_another(detector, parts):
            own = frozenset(parts)
            dense = any(own < other or other < own for other in sets)
            found.append(Concatenation(detector.operations[number].module, len(parts), dense))
    return tuple(found)


def _made_of_another(detector: Detector, parts: list[int]) -> bool:
    """Whether one of them is a layer with weights of another."""
    pairs = [(h, other) for h in parts for other in parts if detector.above(h, other)]
    return any(detector.branch(h, other)[0] for h, other in pairs)


def _pieces(detector: Detector, number: int) -> list[int]:
    """What is joined; a concatenation in it counts as its own pieces."""
    operation = detector.operations[number]
    if operation.kind == "layout" and len(operation.inputs) == 1:
        return _pieces(detector, operation.inputs[0])
    if operation.kind != "cat":
        return [number]
    return [p for i in detector.floats(operation) for p in _pieces(detector, i)]
