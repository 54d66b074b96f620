"""Checkpoints of a run: tensors and a state, verified when read, the last two kept."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from .. import progress
from ..errors import CheckpointError
from ..reader import build, plain, read
from ..storage import Entry, make_folder, read_json, read_tensors, remove, write_json, write_tensors
from .evaluation import Row
from .memory import Numbers

SCHEMA = 3  # of run.json, manifest.json and done.json
ADVICE = "Train it again into another folder, or read it with the version that made it"
KEPT = 2


@dataclass(frozen=True)
class State:
    """What stands beside the tensors."""

    step: int  # finished steps
    sums: tuple[tuple[float, ...], ...] = ()  # of the epoch so far, one row a rank
    metrics: tuple[Row, ...] = ()
    optimiser: Numbers = Numbers()  # noqa: RUF009 - frozen
    scaler: Mapping[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on."""

    tensors: dict[str, Tensor]
    state: State


@dataclass(frozen=True)
class Manifest:
    """What is valid in `checkpoints/`, newest first."""

    checkpoints: tuple[Entry, ...]


class Checkpoints:
    """The folder `checkpoints/` of a run; `manifest.json` says what is valid, written last."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.manifest = folder / "manifest.json"

    def save(self, checkpoint: Checkpoint) -> None:
        """Names carry step and digest, so no file is ever written over; the manifest comes last."""
        make_folder(self.folder)
        before = self._entries()
        name = f"step-{checkpoint.state.step:08d}-{{digest}}.safetensors"
        entry = write_tensors(self.folder, name, checkpoint.tensors, plain(checkpoint.state))
        kept = (entry, *(e for e in before if e.file != entry.file))[:KEPT]
        write_json(self.folder, self.manifest.name, plain(Manifest(kept)), SCHEMA)
        names = {e.file for e in kept}
        for file in self.folder.glob("step-*.safetensors"):
            if file.name not in names:
                remove(file)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint whose digest holds; warns where one is damaged and passed over.

        None where nothing was saved yet. CheckpointError: all are damaged, the tensor named.
        """
        damaged: CheckpointError | None = None
        for entry in self._entries():
            file = self.folder / entry.file
            try:
                tensors, beside = read_tensors(file, entry)
                return Checkpoint(tensors, build(beside, State, str(file), CheckpointError))
            except CheckpointError as error:
                progress.say(f"warning: {error}; trying the checkpoint before it")
                damaged = damaged or error
        if damaged:
            raise damaged
        return None

    def newest_step(self) -> int:
        """Finished steps of the newest checkpoint, by its name; 0 where none was saved."""
        steps = (re.match(r"step-(\d+)-", entry.file) for entry in self._entries())
        return max((int(step[1]) for step in steps if step), default=0)

    def _entries(self) -> tuple[Entry, ...]:
        """What the manifest names; where it is damaged or gone, what the files' names promise."""
        files = sorted(self.folder.glob("step-*-*.safetensors"), reverse=True)
        if not files and not self.manifest.exists():
            return ()
        try:
            return read(self.manifest, Manifest, CheckpointError, SCHEMA, ADVICE).checkpoints
        except CheckpointError as error:
            if self._newer():
                raise
            progress.say(f"warning: {error}; going by the names of the files")
        return tuple(Entry(f.name, f.stem.rpartition("-")[2]) for f in files)

    def _newer(self) -> bool:
        """Whether the manifest is whole, but of another schema."""
        try:
            value = read_json(self.manifest)
        except CheckpointError:
            return False
        return isinstance(value, dict) and value.get("schema", SCHEMA) != SCHEMA
