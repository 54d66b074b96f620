"""The runs under a folder: what each trains, on what, and how far it is."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ResiduumError, UsageError
from ..storage import holder
from .requests import verb

if TYPE_CHECKING:
    from ..training import Run

SIGNS = ("run.json", "done.json", "weights.safetensors")  # of a run folder, whole or damaged


@dataclass(frozen=True)
class RunEntry:
    """One run folder; where it cannot be read, only what can be said of it.

    `state`: "finished", "step 120 of 4800", the same with who works there, or "unreadable".
    `test_error`: a fraction; None before the end.
    `date`: of the last write.
    `problem`: why it cannot be read.
    """

    folder: str
    state: str
    network: str = ""
    data: str = ""
    test_error: float | None = None
    seed: int | None = None
    date: str = ""
    problem: str = ""


@verb
def runs(folder: str | Path = "runs") -> list[RunEntry]:
    """List the runs under a folder. One that cannot be read is listed with what is wrong with it.

    UsageError: no such folder.

    Parameters
    ----------
    folder
        Run folders are looked for in it, however deep.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "not a folder" if root.exists() else "no such folder"
        raise UsageError(f"{folder}: {what}. `residuum train` makes runs, by default in runs/")
    found = {sign.parent for name in SIGNS for sign in root.rglob(name)}
    found |= {manifest.parents[1] for manifest in root.rglob("checkpoints/manifest.json")}
    return [_entry(place) for place in sorted(found)]


def _entry(folder: Path) -> RunEntry:
    from ..training import Run

    files = [*map(folder.joinpath, SIGNS), *folder.glob("checkpoints/*.json")]
    date = datetime.datetime.fromtimestamp(max(map(_written, files))).isoformat(" ", "minutes")
    try:
        run = Run.open(folder)
        error = run.outcome.last.test_error if run.finished else None
        name, seed = _network(run), run.recipe.seed
        return RunEntry(str(folder), _state(run), name, run.data.name, error, seed, date)
    except ResiduumError as problem:
        return RunEntry(str(folder), "unreadable", date=date, problem=str(problem))


def _written(file: Path) -> float:
    """When; 0 for a file that is not there, or no longer: a training may be at work."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _state(run: "Run") -> str:
    from ..training.checkpoint import Checkpoints

    worker = holder(run.folder)
    state = "finished"
    if not run.finished:
        step = Checkpoints(run.folder / "checkpoints").newest_step()
        state = f"step {step} of {run.total_steps}"
    return state if worker is None else f"{state}, {worker} works here"


def _network(run: "Run") -> str:
    """The preset with its options: "resnet20 shortcut=B"."""
    if run.network is None:
        return "a network of one's own"
    options = (f"{name}={value}" for name, value in run.network.options.items())
    return " ".join([run.network.preset, *options])
