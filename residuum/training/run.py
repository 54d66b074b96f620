"""A run: a folder that describes itself. Started again, it goes on; finished, it gives weights.

run.json                  what was asked for: network, recipe, data with digest, machine, versions
structure.txt             the network's parts, one a line; their digest is in run.json
checkpoints/              the last two states, verified when read
metrics.jsonl             one line an epoch
weights.safetensors       the finished network; done.json holds its digest and is written last
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from .. import progress
from ..data import Dataset
from ..data.images import DataDescription
from ..errors import CheckpointError, UsageError
from ..machine import Machine
from ..networks.fingerprint import value_words
from ..networks.sizes import require_size
from ..reader import expect, plain, read, require
from ..storage import (
    Entry,
    Lock,
    make_folder,
    read_tensors,
    sweep_temporaries,
    write_json,
    write_tensors,
    write_text,
)
from .checkpoint import ADVICE, SCHEMA, Checkpoint, Checkpoints
from .description import Blueprint, Description, describe, require_one_run, require_same, versions
from .distributed import Team, team
from .drive import drive
from .epoch import require_data, steps_per_epoch
from .evaluation import Row
from .loop import Trainer
from .narrow import require_gradients
from .precise import require_statistics
from .recipe import Recipe
from .schemes import Hints, Scheme
from .schemes.hints import bind

__all__ = ["About", "Blueprint", "Outcome", "Run", "train", "versions"]


@dataclass(frozen=True)
class Outcome:
    """What done.json says."""

    weights: Entry
    last: Row  # of the metrics
    seconds: float
    steps_timed: int  # in those seconds: since the last start
    best: Row | None = None  # of the lowest validation error (the first), where some is held out


@dataclass(frozen=True)
class Run:
    """A run folder, read."""

    folder: Path
    description: Description

    @staticmethod
    def open(folder: str | Path) -> "Run":
        """CheckpointError: no run there, a damaged one, or one of another schema."""
        require(folder, str | Path, "Run.open", UsageError)
        return Run(Path(folder), Description.load(Path(folder)))

    @property
    def network(self) -> Blueprint | None:
        """How it is built again; None where it was a network of one's own."""
        return self.description.network

    @property
    def recipe(self) -> Recipe:
        return self.description.recipe

    @property
    def data(self) -> DataDescription:
        return self.description.data

    @property
    def total_steps(self) -> int:
        """How many steps it takes, finished or not."""
        recipe, data, processes = self.recipe, self.data, self.description.machine.processes
        per_epoch = steps_per_epoch(data.name, data.train, recipe, processes)
        return recipe.iterations(recipe.length, per_epoch)

    @property
    def finished(self) -> bool:
        return (self.folder / "done.json").exists()

    @property
    def outcome(self) -> Outcome:
        """CheckpointError where the run is unfinished, or done.json damaged."""
        if not self.finished:
            advice = "Run `residuum train` on it again to go on"
            raise CheckpointError(f"{self.folder}: the run has not finished. {advice}")
        return read(self.folder / "done.json", Outcome, CheckpointError, SCHEMA, ADVICE)

    @property
    def metrics(self) -> tuple[Row, ...]:
        """The rows of the last checkpoint: one an epoch."""
        checkpoint = Checkpoints(self.folder / "checkpoints").latest()
        return checkpoint.state.metrics if checkpoint else ()

    def weights(self) -> dict[str, Tensor]:
        """The finished network's tensors, verified. CheckpointError names the damaged one."""
        entry = self.outcome.weights
        return read_tensors(self.folder / entry.file, entry).tensors


@dataclass(frozen=True)
class About:
    """What a run is told besides what it computes."""

    blueprint: Blueprint | None = None  # how the network is built again
    watch: str | None = None  # a parameter whose mean |gradient| is recorded every epoch
    title: str = ""  # for progress; the recipe's name where it is empty
    teacher: nn.Module | None = None  # the network of the run that the recipe learns from


def train(
    network: nn.Module,
    data: Dataset,
    recipe: Recipe,
    folder: str | Path,
    machine: Machine | None = None,
    about: About | None = None,
    scheme: Scheme | None = None,
) -> Run:
    """Train by `recipe` into `folder`; an unfinished run goes on, a finished one is found.

    `scheme` replaces the plain loop (its task judges; default: classification with the recipe's
    smoothing). Under torchrun the processes share each batch. The caller's random state stays.

    UsageError: the folder holds a run of something else (the difference is shown); images of this
    size do not pass the network, or not in bfloat16. LockedError: another process works there.
    NumericError, ResourceError, Interrupted: see `drive`; a later call goes on where it was.
    """
    expect(network, nn.Module, "train: network")
    expect(data, Dataset, "train: data")
    expect(recipe, Recipe, "train: recipe")
    expect(machine := machine or Machine(), Machine, "train: machine")
    require(folder, str | Path, "train: folder", UsageError)
    machine, about = machine.resolved(), about or About()
    machine.prepare()
    recipe = recipe.resolved()
    _require_passes(network, data, recipe, machine, about)
    description = describe(network, about.blueprint, data, recipe, machine)
    words, title = "" if scheme is None else value_words(scheme), about.title or recipe.name
    scheme = _scheme(scheme, recipe, description.data.digest, about.teacher)
    with team(machine.device) as members:
        surroundings = replace(description.machine, processes=members.size)
        description = replace(description, machine=surroundings, scheme=words)
        require_data(data, recipe, members.size)
        require_statistics(network, data, recipe.precise_statistics, recipe.validation)
        if recipe.scheme:
            recipe.scheme.require(network)
        require_one_run(members.tell(json.dumps(description.identity.meaning)))
        start = partial(Trainer, network, data, recipe, machine, members, scheme, about.watch)
        if not members.leads:
            return _go_on(Path(folder), members, start, title)
        folder = make_folder(Path(folder))
        with Lock(folder):
            _claim(folder, description, network)
            return _go_on(folder, members, start, title)


def _require_passes(
    network: nn.Module, data: Dataset, recipe: Recipe, machine: Machine, about: About
) -> None:
    """UsageError: images, as the recipe crops them, do not pass, or not in this precision."""
    height, width = data.train.pixels.shape[1:3]
    image = (height, width) if recipe.crop is None else (recipe.crop.size, recipe.crop.size)
    require_size(network, image, about.title or type(network).__name__)
    require_gradients(network, image, machine)


def _scheme(
    given: Scheme | None, recipe: Recipe, data: str, teacher: nn.Module | None
) -> Scheme | None:
    """The one given or the recipe's, which learns from the teacher if it has one."""
    if given and recipe.scheme:
        raise UsageError(f"recipe {recipe.name} has a scheme of its own; give it, or another")
    if isinstance(recipe.scheme, Hints):
        return bind(recipe, data, teacher)
    if teacher is not None:
        raise UsageError(f"recipe {recipe.name} learns from no teacher (scheme hints)")
    return given or recipe.scheme


def _claim(folder: Path, description: Description, network: nn.Module) -> None:
    """Write run.json, or see that the run that is there is the same one."""
    if (folder / "run.json").exists():
        require_same(folder, Description.load(folder), description, network)
        sweep_temporaries(folder / "checkpoints")
        return
    ours = (".lock", "structure.txt")
    strangers = [p.name for p in folder.iterdir() if p.name not in ours and p.suffix != ".tmp"]
    if strangers:
        found = f"not empty and not a run ({strangers[0]})"
        raise UsageError(f"{folder}: {found}. Choose another --output")
    description.save(folder, network)


def _go_on(folder: Path, members: Team, start: Callable[[], Trainer], title: str) -> Run:
    members.barrier()  # until rank 0 has claimed the folder
    run = Run.open(folder)
    if run.finished:
        run.weights()  # what is said to be finished is whole
        progress.say(f"{title}: already finished in {folder}")
        members.barrier()
        return run
    checkpoints, trainer = Checkpoints(folder / "checkpoints"), start()
    started, first_step = time.monotonic(), 0

    def save(checkpoint: Checkpoint) -> None:
        checkpoints.save(checkpoint)
        _write_metrics(folder, trainer)

    try:
        if (state := checkpoints.latest()) is not None:
            trainer.restore(state, str(checkpoints.folder))
            first_step = trainer.step
            if members.leads:
                progress.say(f"{title}: going on from step {first_step} of {trainer.total_steps}")
        drive(trainer, save, title)
    except RuntimeError as error:
        error.add_note(f"step {trainer.step}")
        raise
    finally:
        trainer.leave()
    if members.leads:
        _finish(folder, trainer, time.monotonic() - started, trainer.step - first_step)
    members.barrier()
    return run


def _write_metrics(folder: Path, trainer: Trainer) -> None:
    """One line an epoch; the truth is in the checkpoint, this is for reading."""
    rows = (json.dumps(plain(row), allow_nan=False) for row in trainer.metrics)
    write_text(folder, "metrics.jsonl", "".join(f"{row}\n" for row in rows))


def _finish(folder: Path, trainer: Trainer, seconds: float, steps: int) -> None:
    # a kill may have come between the last checkpoint and its metrics
    _write_metrics(folder, trainer)
    weights = write_tensors(folder, "weights.safetensors", trainer.network.state_dict())
    held_out = trainer.validation_pixels is not None
    best = min(trainer.metrics, key=validation_error) if held_out else None
    outcome = Outcome(weights, trainer.metrics[-1], round(seconds, 1), steps, best)
    write_json(folder, "done.json", plain(outcome), SCHEMA)


def validation_error(row: Row) -> float:
    """For comparing epochs."""
    return math.inf if row.validation_error is None else row.validation_error
