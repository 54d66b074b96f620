"""Where a pass may add a branch to its shortcut in a way that is not followed: what is said instead
of a unit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from .detect import Detector
from .kinds import words
from .operations import Operation

WRITING = words("index_add scatter_add scatter_reduce index_reduce index_put index_put_impl put")
CONTRACTING = words("mixing weight")  # of joined tensors, over whatever dimension
ADDING = words("sum mean")
JOINING = words("stack cat")


def not_followed(detector: Detector) -> list[str]:
    """In words, an operation each: writes that accumulate, and joined tensors that are contracted
    at once. A sum over a stack, or over single rows that are joined, is followed."""
    found = dict[str, None]()
    for operation in detector.operations:
        if operation.number not in detector.alive or not operation.floating:
            continue
        if any(
            _made_of(detector, h, f) for h, f in permutations(_operands(detector, operation), 2)
        ):
            name = str(operation.constants[0]).strip("_")
            where = operation.module or "the model itself"
            found[f"{where}: {name} may add a branch to its shortcut, which is not followed"] = None
    return list(found)


def _operands(detector: Detector, operation: Operation) -> list[int]:
    name = str(operation.constants[0]).strip("_") if operation.constants else ""
    if name in WRITING:
        return detector.floats(operation)[:2]
    if (operation.kind in CONTRACTING or name in ADDING) and not operation.parameters:
        return [piece for joined in _joined(detector, operation) for piece in joined]
    return []


def _joined(detector: Detector, operation: Operation) -> Iterator[list[int]]:
    """The pieces of what is contracted, which only order and scale lie between."""
    for number in detector.floats(operation):
        source = detector.operations[detector.origin(number, "layout", "scale")]
        if source.kind in JOINING:
            yield detector.floats(source)


def _made_of(detector: Detector, h: int, f: int) -> bool:
    """Whether f is made of what h is, h by order alone, f with weights."""
    source = detector.origin(h, "layout")
    return detector.above(source, f) and detector.branch(source, f)[0] > 0
