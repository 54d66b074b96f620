"""The studies by name, and how one is carried out: the jobs that it needs, then what it shows."""

import datetime
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import presets
from ..errors import UsageError, nearest
from ..experiments.bench import Bench, Job, union
from ..experiments.executors import Executor, Local
from ..experiments.probe import record
from ..experiments.trial import Trial
from ..reader import plain
from ..results import Study
from ..storage import make_folder
from .scales import find_scale
from .study import Member, Paper, Setting, Values, network_map
from .veit2016 import PAPER as VEIT2016

if TYPE_CHECKING:
    from ..data import Dataset
    from ..experiments.plan import Priced

STUDIES: dict[str, Paper] = {VEIT2016.name: VEIT2016}
Trials = Mapping[str, Trial]


@dataclass(frozen=True)
class Request:
    """Which study, how large. UsageError: an unknown name."""

    name: str
    scale: str = "laptop"
    epochs: int | None = None  # instead of the scale's own
    depth: int | None = None  # instead of the scale's own
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in STUDIES:
            raise UsageError(f"unknown study {self.name!r}.{nearest(self.name, STUDIES)}")
        find_scale(self.scale)

    @property
    def paper(self) -> Paper:
        return STUDIES[self.name]

    def trials(self, data: "Dataset") -> Trials:
        """What is trained, by role."""
        scale = find_scale(self.scale)
        return self.paper.trials(scale, data, self.epochs, self.seed, self.depth)

    def setting(self, trials: Trials, data: "Dataset") -> Setting:
        """What items may know of these trials. UsageError: a depth that a network cannot have."""
        members, classes, test = [], len(data.classes), len(data.test)
        for role, trial in trials.items():
            counted = presets.preset_cost(trial.preset, classes, trial.options, data.size)
            members.append(Member(role, trial.preset, counted.depth, counted.units))
        scale = find_scale(self.scale)
        return Setting(scale, self.seed, data.name, classes, test, tuple(members))

    def jobs(self, setting: Setting, trials: Trials) -> list[Job]:
        """Each trial with all that is measured of it."""
        return union((trials[role], probe) for role, probe in self.paper.needs(setting))


def study_plan(request: Request, bench: Bench) -> "list[Priced]":
    """What `run_study` would do, with its cost. Nothing is written."""
    from ..experiments.plan import price

    trials = request.trials(bench.data)
    return price(request.jobs(request.setting(trials, bench.data), trials), bench)


def run_study(
    request: Request, bench: Bench, output: Path, executor: Executor | None = None
) -> Study:
    """Carry out what is not done yet of the study's jobs, show its items, save `output`/study.json.

    A study that was stopped anywhere goes on. Raises what training and measuring raise.
    """
    paper, trials = request.paper, request.trials(bench.data)
    setting = request.setting(trials, bench.data)
    jobs = request.jobs(setting, trials)
    make_folder(output)
    waiting = [job for job in jobs if bench.missing(job)]
    for _ in (executor or Local()).map(bench.carry_out, waiting):
        pass
    found = {}
    for job in jobs:
        measured = bench.values(job).items()
        roles = [role for role, trial in trials.items() if trial == job.trial]
        found |= {(role, probe): value for role in roles for probe, value in measured}
    values = Values(found)
    results = paper.show(setting, values)
    study = Study(
        *(paper.name, paper.title, setting.data, setting.scale.name),
        tuple(r.finding for r in results if r.claim.verdict != "exact"),
        tuple(network_map(setting, member, values) for member in setting.members),
        results,
        provenance(bench, trials, values, request.seed),
        setting.classes,
    )
    study.save(output / "study.json")
    return study


def provenance(bench: Bench, trials: Trials, values: Values, seed: int) -> dict[str, Any]:
    """What the numbers depend on; nothing about the person or the place."""
    import torch

    from ..training.run import versions

    described = []
    for role, trial in trials.items():
        trained = values.of(role, record())
        described.append(
            {
                "preset": trial.preset,
                "options": dict(trial.options),
                "recipe": trial.recipe.name,
                "weights sha256": trained.weights,
                "training seconds": trained.seconds,
                "precision": trained.precision,
                "compiled": trained.compiled,
            }
        )
    device, threads = bench.machine.device, bench.machine.threads
    name = torch.cuda.get_device_name() if device.startswith("cuda") else device
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": plain(bench.data.describe()),
        "seed": seed,
        "trials": described,
        "versions": versions(),
        "machine": {"device": name, "threads": threads, "processor": platform.machine()},
    }
