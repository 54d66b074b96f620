"""Parts that are measured once: kept in the log of finished jobs, found again by their content."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from .. import progress
from ..anatomy.deletions import Examples
from ..anatomy.resume import SweepLog
from ..errors import (
    CheckpointError,
    NumericError,
    ResiduumError,
    ResourceError,
    UsageError,
    out_of_memory,
)
from ..experiments.log import Finished, Log
from ..reader import build, plain
from ..storage import json_digest, remove_folder, tensor_digest
from ..subjects import Subject
from ..subjects.asked import exists
from ..views.inputs import call, take, tensors
from ..views.trace import undisturbed
from .files import PARTS, SWEEPS

T = TypeVar("T")
LIBRARIES = ("residuum", "torch")
TRIED = 2  # examples whose loss tells models of equal weights apart


@torch.no_grad()
def model_digest(subject: Subject) -> str:
    """Of its structure as it prints itself, its units, every weight and buffer, and the loss of two
    examples (heads and the like stand in none of these)."""
    model, test = subject.model, subject.test
    state = {k: tensor_digest(t) for k, t in model.state_dict().items() if isinstance(t, Tensor)}
    units = [[unit.name, unit.shortcut, unit.merge, unit.terms] for unit in subject.view.units]
    with undisturbed(model):
        output = call(model, take(test.inputs, slice(TRIED)))
    loss = test.task.loss(output, test.targets[:TRIED].cpu())
    return json_digest([type(model).__qualname__, repr(model), units, state, tensor_digest(loss)])


def examples_digest(examples: Examples) -> str:
    """Of inputs, targets and what they are for."""
    found = [tensor_digest(t) for t in (*tensors(examples.inputs), examples.targets)]
    return json_digest([found, repr(examples.task)])


@dataclass(frozen=True)
class Part:
    """One measurement: its words, the version of its formula (raised when that is mended), the type
    of its value, the function of a subject, and its further arguments. `sweeps`: the function takes
    a log of what it measured, too, so that a part that was stopped goes on within."""

    what: str
    version: int
    kind: Any
    measure: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    sweeps: bool = False


@dataclass(frozen=True)
class Bench:
    """A subject with the log of what was measured of it; without a folder nothing is kept."""

    subject: Subject
    folder: Path | None

    @cached_property
    def content(self) -> list[str]:
        """What every value depends on."""
        examples = [examples_digest(e) for e in (self.subject.train, self.subject.test)]
        libraries = [f"{name} {version(name)}" for name in LIBRARIES]
        return [model_digest(self.subject), *examples, self.subject.example, *libraries]

    @property
    def title(self) -> str:
        """The model and the data, whichever way the folder of a model was spelled."""
        name = self.subject.name
        return f"{Path(name).name if exists(Path(name)) else name} on {self.subject.data}"

    def require_own(self) -> None:
        """UsageError: in the folder are parts of another model, or on other data. CheckpointError:
        a damaged log."""
        if self.folder is None:
            return
        others = {entry.run for entry in Log(self.folder / PARTS).read().values()} - {self.title}
        if others:
            what = f"the dissection of {others.pop()}"
            raise UsageError(f"{self.folder}: holds {what}. Choose another --output")

    def value(self, part: Part) -> Any:
        """What the part measures, or what is kept of it.

        NumericError: a number that is not finite. Else what the measurement raises.
        """
        key = json_digest([*self.content, part.what, part.version, dict(part.arguments)])
        log = None if self.folder is None else Log(self.folder / PARTS)
        known = {} if log is None else log.read()
        where = f"{part.what} of {self.subject.name}"
        if key in known:
            return build(known[key].value, part.kind, where, CheckpointError)
        progress.say(f"{self.subject.name}: {part.what}")
        start = time.monotonic()
        sweeps = None if self.folder is None or not part.sweeps else self.folder / SWEEPS
        more = {} if sweeps is None else {"log": SweepLog(sweeps)}
        found = part.measure(self.subject, **part.arguments, **more)
        value, seconds = plain(found), round(time.monotonic() - start, 3)
        if log is None:
            _require_finite(value, where)
        else:
            log.add(Finished(key, self.title, part.what, dict(part.arguments), value, seconds))
        if sweeps is not None:
            remove_folder(sweeps)  # the part itself is kept
        return found

    def attempt(self, part: Part) -> tuple[Any, str]:
        """The value and "", or None and why this model has none. What has to do with this machine
        or with a damaged log is raised."""
        try:
            return self.value(part), ""
        except (ResourceError, CheckpointError):
            raise
        except (ResiduumError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            said = " ".join(str(error).split())
            progress.say(f"{self.subject.name}: {part.what}: not done: {said}")
            if self.folder is not None:
                remove_folder(self.folder / SWEEPS)
            return None, said


def _require_finite(value: Any, where: str) -> None:
    try:
        json_digest(value)
    except ValueError as error:
        raise NumericError(f"{where} holds a number that is not finite") from error
