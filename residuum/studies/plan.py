"""What a study would train, what that costs here, and what is done already."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..data import Dataset, Images
from ..presets import preset_cost
from ..training import Machine
from ..training.distributed import Team
from ..training.loop import Trainer
from .trial import Trial

PROBE_STEPS = 2


@dataclass(frozen=True)
class Priced:
    """A trial with its cost: steps, FLOPs (2 x MACs, forward and backward), seconds estimated from a few timed steps."""

    trial: Trial
    folder: Path
    done: bool
    steps: int
    flops: float
    seconds: float


def forward_flops(trial: Trial, classes: int, size: int) -> int:
    """2 x MACs of one image."""
    return preset_cost(trial.preset, classes, trial.options, size).flops


def price(trials: Sequence[Trial], data: Dataset, root: Path, machine: Machine) -> list[Priced]:
    """Each trial's cost on this machine. Trains a few steps of each unfinished one in memory, to time them."""
    machine, priced = replace(machine.resolved(), compile=False), []
    torch.set_num_threads(machine.threads)
    for trial in trials:
        folder = trial.folder(root, data, machine)
        done = (folder / "done.json").exists()
        batch, recipe = min(trial.recipe.batch_size, len(data.train)), trial.recipe
        steps = recipe.iterations(recipe.length, -(-len(data.train) // recipe.batch_size))
        flops = 3.0 * forward_flops(trial, len(data.classes), data.size) * batch * steps
        seconds = 0.0 if done else steps * _step_seconds(trial, data, machine)
        priced.append(Priced(trial, folder, done, steps, flops, seconds))
    return priced


def _step_seconds(trial: Trial, data: Dataset, machine: Machine) -> float:
    few = Images(data.train.pixels[: 4 * trial.recipe.batch_size], data.train.labels[: 4 * trial.recipe.batch_size])
    small = Dataset(data.name, few, data.test.first(1), data.classes)
    trainer = Trainer(trial.build(len(data.classes)), small, trial.recipe, machine, Team(device=machine.device))
    trainer.advance()
    start = time.perf_counter()
    for _ in range(PROBE_STEPS):
        trainer.advance()
    trainer.blown_up()  # waits for the device
    return (time.perf_counter() - start) / PROBE_STEPS


def table(priced: Sequence[Priced], workers: int) -> str:
    """For a person: one line a trial, and the sum."""
    lines = [f"{'network':<14}{'recipe':<28}{'steps':>8}{'FLOPs':>10}{'estimate':>11}  state"]
    for p in priced:
        state = "finished" if p.done else "to train"
        lines.append(
            f"{p.trial.preset:<14}{p.trial.recipe.name:<28}{p.steps:>8}{p.flops:>10.1e}{clock(p.seconds):>11}  {state}"
        )
    total = sum(p.seconds for p in priced)
    longest = max((p.seconds for p in priced), default=0.0)
    together = max(longest, total / max(1, workers))
    lines.append(
        f"training: about {clock(together)} with {workers} worker{'s' if workers > 1 else ''}; measuring comes on top"
    )
    return "\n".join(lines)


def clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
