"""Checkpoints of a run: tensors and a state, verified when read, the last two kept."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

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


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy weights and buffers by name, all or nothing; wrappers' prefixes (`module.`) are ignored.

    CheckpointError: names missing or left over, another shape or type (both given), values that
    are not finite, all zero, or negative variances.
    """
    given = {re.sub(r"module\.|_orig_mod\.", "", name): tensor for name, tensor in tensors.items()}
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or extra:
        changed = _some(" lacks", missing) + _some(" has besides", extra)
        raise CheckpointError(f"{where}: another network{changed}")
    for name, tensor in given.items():
        if tensor.shape != wanted[name].shape:
            ours, theirs = tuple(wanted[name].shape), tuple(tensor.shape)
            last_layer = tensor.ndim <= 2 and "head" in name
            hint = f": made for {theirs[0]} classes, not {ours[0]}" if last_layer else ""
            raise CheckpointError(f"{where}: tensor {name} is {theirs}, the network's {ours}{hint}")
        if tensor.dtype != wanted[name].dtype:
            kinds = f"{tensor.dtype}, the network's {wanted[name].dtype}"
            raise CheckpointError(f"{where}: tensor {name} is {kinds}")
    require_finite(given, where, CheckpointError)
    for name, tensor in given.items():
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise CheckpointError(f"{where}: tensor {name} holds negative variances")
    if given and not any(bool(tensor.any()) for tensor in given.values()):
        raise CheckpointError(f"{where}: all weights are zero")
    network.load_state_dict(given)


def require_finite(
    tensors: Mapping[str, Tensor], where: str, wrong: Callable[[str], Exception]
) -> None:
    """Raises `wrong` with the first tensor's name that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise wrong(f"{where}: tensor {name} holds values that are not finite")


def _some(words: str, names: list[str]) -> str:
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{words} {', '.join(names[:10])}{rest}" if names else ""
