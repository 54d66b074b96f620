"""The studies by name, and how one is carried out: the jobs that it needs, then what it shows."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import presets
from ..errors import UsageError, nearest
from ..experiments.bench import Bench, Job, union
from ..experiments.executors import Executor, Local
from ..experiments.probe import Probe, record
from ..experiments.trial import Trial
from ..machine import processor
from ..reader import Seed, plain, require
from ..results import Study
from ..storage import make_folder
from .scales import find_scale
from .study import Member, Paper, Scale, Setting, Values, network_map
from .veit2016 import PAPER as VEIT2016

if TYPE_CHECKING:
    from ..data import Dataset
    from ..experiments.plan import Priced

STUDIES: dict[str, Paper] = {VEIT2016.name: VEIT2016}
Trials = Mapping[tuple[str, int], Trial]  # by role and seed


@dataclass(frozen=True)
class Request:
    """Which study, how large. UsageError: an unknown name."""

    name: str
    scale: str = "laptop"
    epochs: int | None = None  # instead of the scale's own
    depth: int | None = None  # instead of the scale's own
    seed: int = 0  # of the first training, and of what is drawn when measuring
    seeds: int | None = None  # how many trainings, from `seed` on, instead of the scale's own

    def __post_init__(self) -> None:
        if self.name not in STUDIES:
            raise UsageError(f"unknown study {self.name!r}.{nearest(self.name, STUDIES)}")
        find_scale(self.scale)

    @property
    def paper(self) -> Paper:
        return STUDIES[self.name]

    def scaled(self, data: "Dataset") -> Scale:
        """The scale for images of this size, with what was asked for instead of its own."""
        scale = find_scale(self.scale, data.size)
        scale = scale if self.seeds is None else replace(scale, seeds=self.seeds)
        require(self.seed + scale.seeds - 1, Seed, "study: the last of the seeds", UsageError)
        return scale

    def trials(self, data: "Dataset") -> Trials:
        """What is trained, by role and seed."""
        scale = self.scaled(data)
        seeds = range(self.seed, self.seed + scale.seeds)
        by_seed = {s: self.paper.trials(scale, data, self.epochs, s, self.depth) for s in seeds}
        roles = by_seed[self.seed]
        return {(role, seed): by_seed[seed][role] for role in roles for seed in seeds}

    def setting(self, trials: Trials, data: "Dataset") -> Setting:
        """What items may know of these trials. UsageError: a depth that a network cannot have."""
        scale, members = self.scaled(data), []
        for (role, seed), trial in trials.items():
            if seed == self.seed:
                cost = presets.preset_cost(
                    trial.preset, len(data.classes), trial.options, data.size
                )
                members.append(Member(role, trial.preset, cost.depth, cost.units))
        seeds = tuple(range(self.seed, self.seed + scale.seeds))
        counts = len(data.classes), len(data.test)
        return Setting(scale, seeds, data.name, *counts, tuple(members))

    def jobs(self, setting: Setting, trials: Trials) -> list[Job]:
        """Each trial with all that is measured of it."""
        needs = self.paper.needs(setting)
        return union((trials[role, s], probe) for role, probe in needs for s in setting.seeds)


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
    for trial in trials.values():
        trial.require_batches(bench.data)
    setting = request.setting(trials, bench.data)
    jobs = request.jobs(setting, trials)
    make_folder(output)
    waiting = [job for job in jobs if bench.missing(job)]
    for _ in (executor or Local()).map(bench.carry_out, waiting):
        pass
    measured = [(job.trial, bench.values(job)) for job in jobs]

    def value(role: str, seed: int, probe: Probe[Any]) -> Any:
        return next(found for trial, found in measured if trial == trials[role, seed])[probe]

    needs = paper.needs(setting)
    values = Values({(r, p): tuple(value(r, s, p) for s in setting.seeds) for r, p in needs})
    results = paper.show(setting, values)
    study = Study(
        *(paper.name, paper.title, setting.data, setting.scale.name),
        tuple(r.finding for r in results if r.claim.verdict != "exact"),
        tuple(network_map(setting, member, values) for member in setting.trained),
        results,
        provenance(bench, trials, values),
        setting.classes,
    )
    study.save(output / "study.json")
    return study


def provenance(bench: Bench, trials: Trials, values: Values) -> dict[str, Any]:
    """What the numbers depend on; nothing about the person or the place."""
    import torch

    from ..training.run import versions

    described, seeds = [], sorted({seed for _, seed in trials})
    for (role, seed), trial in trials.items():
        trained = values.each(role, record())[seeds.index(seed)]
        described.append(
            {
                "role": role,
                "preset": trial.preset,
                "options": dict(trial.options),
                "recipe": trial.recipe.name,
                "seed": seed,
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
        "seeds": seeds,
        "trials": described,
        "versions": versions(),
        "machine": {"device": name, "threads": threads} | processor(),
    }
