"""What is to be trained and measured, what that costs here, and what is done already."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data import Dataset
from ..presets import preset_cost
from ..training import Machine
from ..training.distributed import Team
from ..training.epoch import steps_per_epoch
from ..training.loop import Trainer
from .bench import Bench, Job
from .trial import Trial

TIMED_STEPS = 2


@dataclass(frozen=True)
class Priced:
    """A trial with its cost and what is left of it to do."""

    trial: Trial
    folder: Path
    done: bool  # trained
    steps: int
    flops: float  # of training: 2 x MACs, forward and backward
    seconds: float  # of training, estimated from a few timed steps; 0 where it is done
    measured: int
    to_measure: int


def price(jobs: Sequence[Job], bench: Bench) -> list[Priced]:
    """Each trial's cost here; a few steps of each unfinished one are trained in memory, timed."""
    machine, data, priced = replace(bench.machine, compile=False), bench.data, []
    machine.prepare()
    for job in jobs:
        trial, recipe = job.trial, job.trial.recipe
        done = bench.finished(trial) is not None
        cost = preset_cost(trial.preset, len(data.classes), trial.options, data.size)
        batch = min(recipe.batch_size, len(data.train))
        per_epoch = steps_per_epoch(data.name, len(data.train), recipe)
        steps = recipe.iterations(recipe.length, per_epoch)
        flops = 3.0 * cost.flops * batch * steps
        seconds = 0.0 if done else steps * _step_seconds(trial, data, machine)
        folder, left = bench.folder(trial), len(bench.missing(job))
        measured = len(job.probes) - left
        priced.append(Priced(trial, folder, done, steps, flops, seconds, measured, left))
    return priced


def _step_seconds(trial: Trial, data: Dataset, machine: Machine) -> float:
    few = data.train.first(4 * trial.recipe.batch_size)
    small = replace(data, train=few, test=data.test.first(1))
    network, team = trial.build(len(data.classes)), Team(device=machine.device)
    recipe = replace(trial.recipe, validation=0)
    trainer = Trainer(network, small, recipe, machine, team)
    trainer.advance()
    start = time.perf_counter()
    for _ in range(TIMED_STEPS):
        trainer.advance()
    trainer.running_loss()  # waits for the device
    return (time.perf_counter() - start) / TIMED_STEPS
