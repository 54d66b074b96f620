"""Checkpoints of a run: tensors and a state, verified when read, the last two kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import progress
from ..errors import CheckpointError
from ..storage import make_folder, read_json, read_tensors, remove, sweep_temporaries, write_json, write_tensors

SCHEMA = 1
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on: `tensors` by name, and `state`, plain JSON (step, sums, metrics)."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The folder `checkpoints/` of a run. `manifest.json` names what is valid and is written last."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.manifest = folder / "manifest.json"

    def save(self, checkpoint: Checkpoint) -> None:
        """Names carry step and digest, so no file is ever written over; the manifest comes last."""
        make_folder(self.folder)
        entries = self._entries()
        name = f"step-{checkpoint.state['step']:08d}-{{digest}}.safetensors"
        entry = write_tensors(self.folder, name, checkpoint.tensors, checkpoint.state)
        kept = [entry, *(e for e in entries if e["file"] != entry["file"])][:KEPT]
        write_json(self.manifest, {"schema": SCHEMA, "checkpoints": kept})
        names = {e["file"] for e in kept}
        for file in self.folder.glob("step-*.safetensors"):
            if file.name not in names:
                remove(file)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint whose digest holds; an older one, said aloud, where the newest is damaged.

        None where nothing was saved yet. CheckpointError: all are damaged, the tensor named.
        """
        first_error: CheckpointError | None = None
        for entry in self._entries():
            try:
                content = read_tensors(self.folder / entry["file"], entry)
            except CheckpointError as error:
                progress.say(f"warning: {error}; trying the checkpoint before it")
                first_error = first_error or error
                continue
            return Checkpoint(content.tensors, content.metadata)
        if first_error:
            raise first_error
        return None

    def _entries(self) -> list[dict[str, Any]]:
        """What the manifest names, newest first; where it is damaged, what the files' own names promise."""
        if not self.manifest.exists():
            return []
        try:
            value = read_json(self.manifest)
            schema, entries = value["schema"], value["checkpoints"]
            if schema == SCHEMA and all(Path(e["file"]).name == e["file"] and e["sha256"] for e in entries):
                return entries
        except (CheckpointError, LookupError, TypeError) as error:
            progress.say(f"warning: {self.manifest}: damaged ({error}); going by the names of the files")
            schema = SCHEMA
        if schema != SCHEMA:
            raise CheckpointError(f"{self.manifest}: made by checkpoint schema {schema}; this version reads {SCHEMA}")
        files = sorted(self.folder.glob("step-*-*.safetensors"), reverse=True)
        return [{"file": f.name, "sha256": f.stem.rpartition("-")[2], "tensors": {}} for f in files]

    def clean(self) -> None:
        sweep_temporaries(self.folder)


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy weights and buffers by name, all or nothing. Prefixes of wrappers (`module.`, `_orig_mod.`) are ignored.

    CheckpointError: names missing or left over, another shape (both given), or values that are not finite.
    """
    given = {_plain_name(name): tensor for name, tensor in tensors.items()}
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or extra:
        raise CheckpointError(f"{where}: another network{_some(' lacks', missing)}{_some(' has besides', extra)}")
    for name, tensor in given.items():
        if tensor.shape != wanted[name].shape:
            ours, theirs = tuple(wanted[name].shape), tuple(tensor.shape)
            hint = f": made for {theirs[0]} classes, not {ours[0]}" if tensor.ndim <= 2 and "head" in name else ""
            raise CheckpointError(f"{where}: tensor {name} is {theirs}, the network's {ours}{hint}")
    require_finite(given, where, CheckpointError)
    network.load_state_dict(given)


def require_finite(tensors: Mapping[str, Tensor], where: str, wrong: Callable[[str], Exception]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise wrong(f"{where}: tensor {name} holds values that are not finite")


def _plain_name(name: str) -> str:
    for prefix in ("module.", "_orig_mod."):
        name = name.replace(prefix, "")
    return name


def _some(words: str, names: list[str]) -> str:
    return f"{words} {', '.join(names[:10])}{f' and {len(names) - 10} more' if len(names) > 10 else ''}" if names else ""
