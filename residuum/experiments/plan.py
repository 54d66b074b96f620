"""What is to be trained and measured, what that costs here, and what is done already."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data import Dataset
from ..presets import preset_cost
from ..training import Machine
from ..training.distributed import Team
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
        steps = recipe.iterations(recipe.length, -(-len(data.train) // recipe.batch_size))
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
    trainer = Trainer(network, small, trial.recipe, machine, team)
    trainer.advance()
    start = time.perf_counter()
    for _ in range(TIMED_STEPS):
        trainer.advance()
    trainer.running_loss()  # waits for the device
    return (time.perf_counter() - start) / TIMED_STEPS


def table(priced: Sequence[Priced], workers: int) -> str:
    """For a person: one line a trial, and the sum."""
    head = f"{'network':<14}{'recipe':<28}{'steps':>8}{'FLOPs':>10}{'estimate':>11}"
    lines = [f"{head}  {'training':<10}measured"]
    for p in priced:
        cost = f"{p.steps:>8}{p.flops:>10.1e}{clock(p.seconds):>11}"
        state = "finished" if p.done else "to train"
        measured = f"{p.measured} of {p.measured + p.to_measure}"
        lines.append(f"{p.trial.preset:<14}{p.trial.recipe.name:<28}{cost}  {state:<10}{measured}")
    seconds = [p.seconds for p in priced]
    together = max([*seconds, sum(seconds) / max(1, workers)])
    many = f"{workers} worker{'s' if workers > 1 else ''}"
    lines.append(f"training: about {clock(together)} with {many}; measuring comes on top")
    return "\n".join(lines)


def clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
