"""A run: a folder that describes itself. Started, it goes on from where it was; finished, it gives weights and metrics.

run.json                  what was asked for: network, recipe, data with digest, machine, versions
checkpoints/              the last two states, verified when read
metrics.jsonl             one line an epoch
weights.safetensors       the finished network, named with its digest in done.json, which is written last
"""

import json
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import progress
from ..data import Dataset
from ..errors import CheckpointError, UsageError
from ..storage import Lock, make_folder, read_json, read_tensors, write_json, write_tensors, write_text
from .checkpoint import Checkpoint, Checkpoints
from .distributed import Team, team
from .loop import Trainer, drive
from .recipe import Machine, Recipe

SCHEMA = 1


@dataclass(frozen=True)
class Run:
    """A run folder, read. `network` says what was trained, in the words of whoever built it (a preset's name, say)."""

    folder: Path
    description: dict[str, Any]

    @staticmethod
    def open(folder: str | Path) -> "Run":
        """CheckpointError: no run there, or one of a newer version."""
        folder = Path(folder)
        if not (folder / "run.json").exists():
            raise CheckpointError(f"{folder}: not a run folder (no run.json). `residuum train` makes one")
        description = read_json(folder / "run.json")
        if not isinstance(description, dict) or description.get("schema") != SCHEMA:
            made_by = description.get("schema") if isinstance(description, dict) else "?"
            raise CheckpointError(f"{folder}: made by run schema {made_by}; this version reads {SCHEMA}")
        return Run(folder, description)

    @property
    def network(self) -> dict[str, Any]:
        return self.description["network"]

    @property
    def recipe(self) -> Recipe:
        return Recipe.from_json(self.description["recipe"])

    @property
    def data(self) -> dict[str, Any]:
        return self.description["data"]

    @property
    def finished(self) -> bool:
        return (self.folder / "done.json").exists()

    @property
    def outcome(self) -> dict[str, Any]:
        """Digest of the weights, the last row of the metrics, seconds. CheckpointError where the run is unfinished."""
        if not self.finished:
            raise CheckpointError(f"{self.folder}: the run has not finished. Run `residuum train` on it again to go on")
        return read_json(self.folder / "done.json")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of the last checkpoint: one an epoch."""
        checkpoint = Checkpoints(self.folder / "checkpoints").latest()
        return checkpoint.state["metrics"] if checkpoint else []

    def weights(self) -> dict[str, Tensor]:
        """The finished network's tensors, verified. CheckpointError names the damaged one."""
        entry = self.outcome["weights"]
        return read_tensors(self.folder / entry["file"], entry).tensors


def train(
    network: nn.Module,
    data: Dataset,
    recipe: Recipe,
    folder: str | Path,
    machine: Machine | None = None,
    *,
    describe: dict[str, Any] | None = None,
    watch: str | None = None,
    title: str = "",
) -> Run:
    """Train `network` by `recipe` into `folder`; an unfinished run there goes on, a finished one is returned at once.

    Under torchrun the processes share each batch. `describe` is kept in run.json and must say how to build the network
    again; `watch` names a parameter whose mean absolute gradient is recorded every epoch.

    UsageError: the folder holds a run of something else (the difference is shown). LockedError: another process works
    there. NumericError, ResourceError, Interrupted: see `drive`; a later call goes on from the last checkpoint.
    """
    machine = (machine or Machine()).resolved()
    torch.set_num_threads(machine.threads)
    folder, title = Path(folder), title or recipe.name
    with team(machine.device) as members:
        if not members.leads:
            return _work(network, data, recipe, folder, machine, members, describe, watch, title)
        make_folder(folder)
        with Lock(folder):
            return _work(network, data, recipe, folder, machine, members, describe, watch, title)


def _work(network, data, recipe, folder, machine, members: Team, describe, watch, title) -> Run:
    description = describe_run(data, recipe, machine, members, describe or {})
    if members.leads:
        _claim(folder, description)
    members.barrier()
    run = Run.open(folder)
    if run.finished:
        progress.say(f"{title}: already finished in {folder}")
        members.barrier()
        return run
    checkpoints = Checkpoints(folder / "checkpoints")
    trainer = Trainer(network, data, recipe, machine, members, watch)
    state = checkpoints.latest()
    if state is not None:
        trainer.restore(state, str(checkpoints.folder))
        if members.leads:
            progress.say(f"{title}: going on from step {trainer.step} of {trainer.total_steps}")
    started, first_step = time.monotonic(), trainer.step

    def save(checkpoint: Checkpoint) -> None:
        checkpoints.save(checkpoint)
        _write_metrics(folder, trainer)

    drive(trainer, save, title)
    if members.leads:
        _finish(folder, trainer, time.monotonic() - started, trainer.step - first_step)
    members.barrier()
    return run


def _claim(folder: Path, description: dict[str, Any]) -> None:
    """Write run.json, or see that the run that is there is the same one."""
    existing = folder / "run.json"
    if existing.exists():
        _require_same(folder, Run.open(folder).description, description)
        Checkpoints(folder / "checkpoints").clean()
        return
    strangers = [p.name for p in folder.iterdir() if p.name != ".lock" and not p.name.endswith(".tmp")]
    if strangers:
        raise UsageError(f"{folder}: not empty and not a run ({strangers[0]}). Choose another --output")
    write_json(existing, description)


def _require_same(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    changed = list(_differences({k: old.get(k) for k in IDENTITY}, {k: new.get(k) for k in IDENTITY}))
    if changed:
        raise UsageError(f"{folder}: holds a run of something else: {'; '.join(changed[:6])}. Choose another --output")
    for what, before, now in (
        *((f"version of {k}", v, new["versions"].get(k)) for k, v in old["versions"].items()),
        *((k, old["machine"][k], new["machine"][k]) for k in ("device", "threads", "processes")),
    ):
        if before != now:
            progress.say(f"warning: {what} was {before}, is {now}: the result will not be bit-identical")


IDENTITY = ("schema", "network", "recipe", "data", "precision")


def _differences(old: Any, new: Any, path: str = "") -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path} was {old!r}, is {new!r}"


def _write_metrics(folder: Path, trainer: Trainer) -> None:
    """One line an epoch; the truth is in the checkpoint, this is for reading."""
    write_text(folder / "metrics.jsonl", "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in trainer.metrics))


def _finish(folder: Path, trainer: Trainer, seconds: float, steps: int) -> None:
    _write_metrics(folder, trainer)  # a kill may have come between the last checkpoint and its metrics
    weights = write_tensors(folder, "weights.safetensors", trainer.network.state_dict())
    outcome = {
        "weights": weights,
        "last": trainer.metrics[-1] if trainer.metrics else {},
        "seconds": round(seconds, 1),
        "steps_timed": steps,
    }
    write_json(folder / "done.json", outcome)


def describe_run(data: Dataset, recipe: Recipe, machine: Machine, members: Team, network: dict) -> dict[str, Any]:
    """What run.json says: everything that the result depends on, nothing about the person or the place."""
    where = {k: v for k, v in asdict(machine).items() if k != "save_seconds"}
    return {
        "schema": SCHEMA,
        "network": network,
        "recipe": recipe.to_json(),
        "data": data.describe(),
        "precision": machine.precision,
        "machine": where | {"processes": members.size, "processor": platform.machine()},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of Python and of the libraries that numbers depend on."""
    libraries = ("residuum", "torch", "numpy")
    return {"python": ".".join(map(str, sys.version_info[:3]))} | {name: metadata.version(name) for name in libraries}
