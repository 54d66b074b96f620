"""Units of a foreign model, passed several times.

A unit cannot be run alone, but its sum may stand in the place of the sum ahead of it: where the
stream goes from one unit to the next in the same way on both sides, the next pass of the whole
model is then one in which the unit reads its own output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import UsageError
from .detect import Detector
from .found import Found
from .sums import Call, Place, answered

if TYPE_CHECKING:
    from .discovery import Units
    from .unit import Reader

Answers = Mapping[Place, Callable[[Call], Tensor]]
Step = tuple[str, tuple[str, ...]]


def ahead(units: Units, reader: Reader, entries: Sequence[Found], number: int) -> Place:
    """The place of the sum ahead of the unit.

    UsageError: there is none; the shape changes; something with parameters, or another thing than
    behind the unit, lies between; others read the stream there.
    """
    detector, unit = reader.detector, units[number]

    def refused(why: str) -> UsageError:
        return UsageError(
            f"unit {number} ({unit.name}) of a foreign model cannot be repeated: {why}"
        )

    if number == 0 or not units[number - 1].sums or not unit.sums:
        raise refused("no sum is ahead of it that could be answered otherwise")
    before, here = entries[number - 1], entries[number]
    if detector.operations[before.total].shape != detector.operations[here.total].shape:
        raise refused("it changes the shape of the stream")
    chain = _chain(detector, before.total, here.split)
    if chain is None:
        raise refused("the stream does not come straight from the unit ahead of it")
    if any(detector.operations[link].parameters for link in chain):
        raise refused("a layer with parameters lies between it and the unit ahead of it")
    if not _follows(detector, here.total, [_step(detector, link) for link in chain]):
        raise refused("what is behind it differs from what is ahead of it")
    allowed = {here.total, *chain, *here.region, *detector.branch(here.split, here.shortcut)[2]}
    for link in (before.total, *chain):
        if {user for user in detector.users[link] if user in detector.alive} - allowed:
            raise refused("others read the stream ahead of it")
    return units[number - 1].sums[-1].place


def _chain(detector: Detector, start: int, end: int) -> list[int] | None:
    """The operations from one tensor to another, each made of the one before alone."""
    links: list[int] = []
    while end != start:
        sources = detector.floats(detector.operations[end])
        if len(sources) != 1:
            return None
        links.insert(0, end)
        end = sources[0]
    return links


def _step(detector: Detector, number: int) -> Step:
    operation = detector.operations[number]
    return operation.kind, tuple(map(str, operation.constants))


def _follows(detector: Detector, number: int, steps: Sequence[Step]) -> bool:
    """Whether these steps lead on from the tensor."""
    if not steps:
        return True
    fits = [user for user in detector.users[number] if _step(detector, user) == steps[0]]
    return any(_follows(detector, user, steps[1:]) for user in fits)


@contextmanager
def repeated(
    model: nn.Module, answers: Answers, loops: Sequence[tuple[Place, Place, int]]
) -> Iterator[None]:
    """Calls of the model in which these units, in signal order, are passed so many times: (the sum
    ahead, the unit's own sum, times). Each further time is a further pass of the whole model."""
    original, own = model.forward, model.__dict__.get("forward")

    def restore() -> None:
        model.__dict__.pop("forward", None)
        if own is not None:
            model.__dict__["forward"] = own

    def forward(*args: Any, **keywords: Any) -> Any:
        given: dict[Place, Callable[[Call], Tensor]] = dict(answers)
        restore()
        try:
            for before, here, times in loops:
                for _ in range(times - 1):
                    kept: list[Tensor] = []
                    with answered(model, {**given, here: _noted(kept)}):
                        model(*args, **keywords)
                    given[before] = _given(kept[0])
            with answered(model, given):
                return original(*args, **keywords)
        finally:
            model.__dict__["forward"] = forward

    model.__dict__["forward"] = forward
    try:
        yield
    finally:
        restore()


def _noted(kept: list[Tensor]) -> Callable[[Call], Tensor]:
    def answer(call: Call) -> Tensor:
        value = call.run()
        kept.append(value.clone())  # which the model may write into
        return value

    return answer


def _given(value: Tensor) -> Callable[[Call], Tensor]:
    return lambda call: call.put(value.clone())
