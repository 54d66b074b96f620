"""The studies by name, and how one is carried out: train what is not trained, measure, leave a `Study`."""

import datetime
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import progress
from ..data import Dataset
from ..errors import UsageError, nearest
from ..presets import find
from ..reader import plain
from ..results import Result, Study
from ..storage import make_folder
from ..training import Machine, Run
from ..training.run import versions
from . import training_record, veit2016
from .plan import Priced, price
from .scales import Scale, find_scale, veit_trials
from .subject import chart, open_subject
from .trial import Trial, describe_trial, train_all

Plan = Callable[..., list[Trial]]
STUDIES: dict[str, Plan] = {"veit2016": veit_trials}


@dataclass(frozen=True)
class Request:
    """Which study, how large. `epochs` and `depth` stand in for the scale's own. UsageError: an unknown name."""

    name: str
    scale: str = "laptop"
    epochs: int | None = None
    depth: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in STUDIES:
            raise UsageError(f"unknown study {self.name!r}.{nearest(self.name, STUDIES)}")
        find_scale(self.scale)

    def trials(self, data: Dataset) -> list[Trial]:
        """What is trained on these data. UsageError: a depth that the networks cannot have."""
        trials = STUDIES[self.name](find_scale(self.scale), data, self.epochs, self.seed, self.depth)
        for trial in trials:
            find(trial.preset)
        return trials


def study_plan(request: Request, data: Dataset, output: Path, machine: Machine) -> list[Priced]:
    """What `run_study` would train, with its cost. Nothing is written."""
    return price(request.trials(data), data, output / "runs", machine)


def run_study(request: Request, data: Dataset, output: Path, machine: Machine, workers: int = 1) -> Study:
    """Train the study's networks under `output`/runs (finished ones are found by content), measure, save study.json."""
    machine, trials = machine.resolved(), request.trials(data)
    make_folder(output)
    runs = train_all(trials, data, output / "runs", machine, workers)
    torch.set_num_threads(machine.threads)
    words = [describe_trial(t) for t in trials]
    study = measure_veit(runs, data, find_scale(request.scale), machine, request.seed, words)
    study.save(output / "study.json")
    return study


ROLES = ("residual", "plain twin", "VGG")


def measure_veit(
    runs: Sequence[Run], data: Dataset, scale: Scale, machine: Machine, seed: int, trials: list[dict[str, Any]]
) -> Study:
    """All figures of Veit et al. 2016 on these finished runs: the residual network first, VGG last."""
    count = scale.gradient_examples
    subjects = [
        open_subject(run, data, role, scale.examples, count if role == "residual" else 0)
        for run, role in zip(runs, ROLES, strict=False)
    ]
    residual, lesions = subjects[0], []
    for subject in subjects:
        progress.say(f"measuring {subject.name}")
        subject.network.to(machine.device)
        lesions.append(veit2016.lesions_of_each(subject))
    gradients = veit2016.gradients_of(residual, scale, seed)
    results: list[Result] = [
        veit2016.figure_3(subjects, lesions),
        veit2016.figure_5a(residual, scale, seed),
        veit2016.figure_5b(residual, scale, seed),
        veit2016.figure_6a(),
        veit2016.figure_6b(residual, gradients, seed),
        veit2016.figure_6c(residual, gradients),
        veit2016.figure_7(),
        veit2016.text_numbers(residual, lesions[0][0], gradients),
        training_record.learning_curves(subjects),
        training_record.first_layer_gradient(subjects),
        training_record.responses(subjects),
    ]
    return Study(
        "veit2016",
        "Residual networks behave like ensembles of relatively shallow networks",
        data.name,
        scale.name,
        tuple(r.finding for r in results if r.claim.verdict != "exact"),
        tuple(chart(s, base, found) for s, (base, found) in zip(subjects, lesions, strict=True)),
        tuple(results),
        provenance(runs, data, machine, seed, trials),
    )


def provenance(runs: Sequence[Run], data: Dataset, machine: Machine, seed: int, trials: list[dict]) -> dict[str, Any]:
    """What the numbers depend on; nothing about the person or the place."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": plain(data.describe()),
        "seed": seed,
        "trials": [
            t
            | {
                "weights sha256": r.outcome.weights.sha256,
                "training seconds": r.outcome.seconds,
                "precision": r.description.precision,
                "compiled": r.description.machine.compile,
            }
            for t, r in zip(trials, runs, strict=True)
        ],
        "versions": versions(),
        "machine": {
            "device": torch.cuda.get_device_name() if machine.device.startswith("cuda") else machine.device,
            "threads": machine.threads,
            "processor": platform.machine(),
        },
    }
