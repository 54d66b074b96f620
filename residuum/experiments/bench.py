"""Carrying jobs out: train what is not trained, measure what is not measured, keep both.

The store is one folder for all studies: run folders and `jobs.jsonl`. A job that another process is
working on is waited for and then found.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import progress
from ..errors import LockedError
from ..storage import Lock, holder
from .log import Finished, Log, job_key
from .probe import Probe
from .trial import Trial

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training import Machine, Run


@dataclass(frozen=True)
class Job:
    """A trial with all that is measured of it: one piece, so that weights are loaded once."""

    trial: Trial
    probes: tuple[Probe[Any], ...] = ()


def union(needs: Iterable[tuple[Trial, Probe[Any]]]) -> list[Job]:
    """One job for each trial, with each of its probes once, in the order in which they come."""
    needs, jobs = list(needs), []
    for trial, _ in needs:
        if all(job.trial != trial for job in jobs):
            probes = dict.fromkeys(probe for other, probe in needs if other == trial)
            jobs.append(Job(trial, tuple(probes)))
    return jobs


@dataclass(frozen=True)
class Bench:
    """What jobs are carried out with: the store's folder, the data and a machine (resolved)."""

    store: Path
    data: "Dataset"
    machine: "Machine"

    @property
    def log(self) -> Log:
        return Log(self.store / "jobs.jsonl")

    def folder(self, trial: Trial) -> Path:
        return trial.folder(self.store, self.data, self.machine)

    def finished(self, trial: Trial) -> "Run | None":
        """The trial's run where it has finished."""
        from ..training import Run

        folder = self.folder(trial)
        return Run.open(folder) if (folder / "done.json").exists() else None

    def carry_out(self, job: Job) -> None:
        """Do of the job what is not done. Raises what training, opening and measuring raise."""
        self.machine.prepare()
        run = self.finished(job.trial) or self._trained(job.trial)
        if self._missing(run, job.probes):
            with _waiting(run.folder):
                self._measure(run, self._missing(run, job.probes))

    def missing(self, job: Job) -> Sequence[Probe[Any]]:
        """Which of the job's probes are not measured yet."""
        run = self.finished(job.trial)
        return job.probes if run is None else self._missing(run, job.probes)

    def values(self, job: Job) -> dict[Probe[Any], Any]:
        """What a job that was carried out has measured. CheckpointError: a damaged log."""
        run, entries = self.finished(job.trial), self.log.read()
        assert run is not None
        return {probe: probe.read(entries[self._key(run, probe)].value) for probe in job.probes}

    def _key(self, run: "Run", probe: Probe[Any]) -> str:
        weights = run.outcome.weights.sha256
        return job_key(run.folder.name, weights, self.data.describe().digest, probe)

    def _missing(self, run: "Run", probes: Sequence[Probe[Any]]) -> Sequence[Probe[Any]]:
        known = self.log.read()
        return [probe for probe in probes if self._key(run, probe) not in known]

    def _trained(self, trial: Trial) -> "Run":
        while True:
            try:
                return trial.train(self.data, self.folder(trial), self.machine)
            except LockedError:
                with _waiting(self.folder(trial)):
                    pass

    def _measure(self, run: "Run", probes: Sequence[Probe[Any]]) -> None:
        from ..subjects.trained import open_trained

        if not probes:
            return
        subject = open_trained(run, self.data, self.machine.device)
        for probe in probes:
            progress.say(f"{subject.name}: {probe.what}")
            start = time.monotonic()
            value, arguments = probe.measure(subject), dict(probe.arguments)
            key, seconds = self._key(run, probe), round(time.monotonic() - start, 3)
            self.log.add(Finished(key, run.folder.name, probe.what, arguments, value, seconds))


def _waiting(folder: Path) -> Lock:
    if holder(folder):
        progress.say(f"{folder}: another process works there; waiting for it")
    return Lock(folder, wait=True)
