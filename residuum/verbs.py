"""Every command as one function: plain arguments in, a typed result out. The command line adds nothing but words."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .anatomy import Examples, at_rest, count_paths, delete, delete_each, delete_random
from .anatomy.paths import remaining
from .anatomy.statistics import Rate
from .data import Dataset, load
from .errors import UsageError, nearest
from .experiments.bench import Bench
from .experiments.executors import Local
from .experiments.plan import Priced
from .experiments.subject import Subject, open_subject
from .experiments.trial import Trial
from .presets import CATALOGUE, Published, describe, find, preset
from .report import write_report
from .results import Study
from .studies import STUDIES, Request, run_study, study_plan
from .training import RECIPES, Machine, Run, find_recipe
from .views.notation import read


@dataclass(frozen=True)
class Entry:
    """One thing that has a name here."""

    kind: str
    name: str
    summary: str


def ls(pattern: str = "*") -> list[Entry]:
    """Presets, recipes and studies whose name fits the pattern (`*`, `?`). UsageError where none does."""
    entries = [
        *(Entry("preset", p.name, f"depth {p.depth}, {p.source}") for p in CATALOGUE.values()),
        *(Entry("recipe", r.name, f"{r.length} {r.clock}, {r.source}") for r in RECIPES.values()),
        *(Entry("study", paper.name, paper.title) for paper in STUDIES.values()),
    ]
    found = [e for e in entries if fnmatch.fnmatch(e.name, pattern)]
    if not found:
        raise UsageError(f"nothing is called {pattern!r}.{nearest(pattern, (e.name for e in entries))}")
    return found


@dataclass(frozen=True)
class Info:
    """What is known of a preset. `flops`: 2 x MACs of one image of `size` pixels; `units`: the innermost ones."""

    name: str
    parameters: int
    flops: int
    macs: int
    depth: int
    units: int
    source: str
    recipe: str
    published: tuple[Published, ...]
    note: str
    size: int
    classes: int
    initialisation: str
    paths: str
    mean_length: float


def info(name: str, classes: int | None = None, **options: Any) -> Info:
    """Counted on a network without weights in memory: nothing is computed."""
    row = describe(name, classes, **options)
    paths = count_paths(read(row.expression))
    return Info(
        name=name,
        parameters=row.parameters,
        flops=row.flops,
        macs=row.flops // 2,
        depth=row.depth,
        units=row.units,
        source=row.source,
        recipe=row.recipe,
        published=row.published,
        note=row.note,
        size=row.size,
        classes=row.classes,
        initialisation=row.initialisation,
        paths=str(paths.total),
        mean_length=float(paths.mean),
    )


@dataclass(frozen=True)
class PathCount:
    """Path counts as decimal strings, index = length, since they outgrow every number format. `remaining`: eq. 8."""

    name: str
    units: int
    total: str
    counts: tuple[str, ...]
    mean: float
    share: float | None = None
    deleted: int | None = None
    remaining: tuple[float | None, ...] | None = None


def paths(name: str, delete: int | None = None, between: tuple[int, int] | None = None, **options: Any) -> PathCount:
    """The path polynomial of a preset; the fraction of each length left after `delete` deletions; a range's share."""
    with torch.device("meta"):
        network = preset(name, None, **options)
    found = count_paths(network)
    left = None if delete is None else remaining(network, delete)
    if between is not None and between[0] > between[1]:
        raise UsageError(f"between: the first length, {between[0]}, is above the last, {between[1]}")
    return PathCount(
        name,
        found.units,
        str(found.total),
        tuple(map(str, found.counts)),
        float(found.mean),
        None if between is None else float(found.share(*between)),
        delete,
        None if left is None else tuple(None if f is None else float(f) for f in left),
    )


def train(
    name: str,
    data: str = "digits",
    recipe: str | None = None,
    output: str | Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    machine: Machine | None = None,
    options: Mapping[str, Any] | None = None,
    **data_options: Any,
) -> Run:
    """Train a preset into a run folder (default runs/NAME-HASH), or go on with the one that is there.

    `recipe` defaults to "digits" for pictures below 16 pixels and "fb-cifar" above; `epochs`, `batch_size` and
    `learning_rate` change it. Raises what `residuum.training.train` raises.
    """
    find(name)
    chosen = None if recipe is None else find_recipe(recipe)
    dataset = load(data, **data_options)
    chosen = chosen or find_recipe("digits" if dataset.size < 16 else "fb-cifar")
    changes = {"batch_size": batch_size, "learning_rate": learning_rate}
    chosen = replace(chosen, seed=seed, **{k: v for k, v in changes.items() if v is not None})
    chosen = chosen if epochs is None else chosen.shortened(epochs)
    trial, machine = Trial(name, chosen, fitted(name, dataset, options or {})), machine or Machine()
    folder = Path(output) if output else trial.folder(Path("runs"), dataset, machine)
    return trial.train(dataset, folder, machine)


def fitted(name: str, data: Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with the pictures' size where the network must know it and it is not the preset's own."""
    row = find(name)
    wanted = {"size": data.size} if "size" in row.options and data.size != row.size else {}
    return wanted | dict(options)


@dataclass(frozen=True)
class Evaluation:
    """Error on the test part, as a fraction, with Wilson's 95 % interval."""

    run: str
    network: str
    data: str
    error: float
    interval: tuple[float, float]
    n: int


def evaluate(run: str | Path, data: str | None = None, machine: Machine | None = None, **data_options: Any) -> Evaluation:
    """The test error of a finished run, in full precision, on the test part of `data`."""
    subject, dataset = _subject(run, data, machine, data_options)
    images, labels = subject.test()
    with torch.no_grad(), at_rest(subject.network):
        batches = zip(images.split(500), labels.split(500), strict=True)
        device = next(subject.network.parameters()).device
        wrong = sum(int((subject.network(x.to(device)).argmax(1).cpu() != y).sum()) for x, y in batches)
    rate = Rate(wrong, len(labels))
    return Evaluation(Path(run).name, subject.name, dataset.name, rate.value, rate.interval, rate.n)


@dataclass(frozen=True)
class Lesioned:
    """One lesion, errors as fractions: the units deleted, the error and its interval, the change and its interval."""

    deleted: tuple[int, ...]
    error: float
    interval: tuple[float, float]
    change: float
    change_interval: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Lesions:
    """Lesions of one run, all on the n examples of the intact error. `spread`: k -> mean and interval over draws."""

    run: str
    network: str
    data: str
    n: int
    intact: float
    intact_interval: tuple[float, float]
    lesions: tuple[Lesioned, ...]
    spread: Mapping[int, tuple[float, float, float]]


def lesion(
    run: str | Path,
    data: str | None = None,
    units: Sequence[int] | None = None,
    random: Sequence[int] | None = None,
    repeats: int = 10,
    seed: int = 0,
    examples: int | None = None,
    machine: Machine | None = None,
    **data_options: Any,
) -> Lesions:
    """Delete units of a finished run: each on its own, the set `units` together, or k at random for each k of `random`."""
    if units is not None and random is not None:
        raise UsageError("give either units to delete together or numbers to delete at random, not both")
    if examples is not None and examples < 1:
        raise UsageError(f"examples must be at least 1, not {examples}")
    subject, dataset = _subject(run, data, machine, data_options)
    network, test, spread = subject.network, Examples(*subject.test(examples)), {}
    if units is not None:
        intact, found = delete(network, test, [units])
    elif random is not None:
        if repeats < 1:
            raise UsageError(f"repeats must be at least 1, not {repeats}")
        intact, grouped, spreads = delete_random(network, test, random, repeats, seed)
        found = [d for group in grouped.values() for d in group]
        spread = {k: (s.mean, *s.interval) for k, s in spreads.items()}
    else:
        intact, found = delete_each(network, test)
    rows = (
        Lesioned(d.deleted, d.error.value, d.error.interval, d.change.value, d.change.interval(), d.change.p_value)
        for d in found
    )
    name = Path(run).name
    return Lesions(name, subject.name, dataset.name, intact.n, intact.value, intact.interval, tuple(rows), spread)


def _subject(
    run: str | Path, data: str | None, machine: Machine | None, data_options: dict[str, Any]
) -> tuple[Subject, Dataset]:
    opened = Run.open(run)
    opened.outcome  # noqa: B018 - an unfinished run is told before the data are read
    if data is None:
        if opened.data.name != "digits":
            raise UsageError(f"{run}: trained on {opened.data.name}. Say with --data where these pictures are")
        data = "digits"
    machine = (machine or Machine()).resolved()
    torch.set_num_threads(machine.threads)
    dataset = load(data, **data_options)
    return open_subject(opened, dataset, machine.device), dataset


def study(
    name: str,
    data: str = "digits",
    scale: str = "laptop",
    output: str | Path | None = None,
    epochs: int | None = None,
    depth: int | None = None,
    seed: int = 0,
    workers: int = 1,
    machine: Machine | None = None,
    store: str | Path = "runs",
    **data_options: Any,
) -> tuple[Study, Path]:
    """Carry a study out and write its report. Gives it and the page's path.

    Finished runs and measurements are kept in `store` and found there, by this study and by others.
    """
    request = Request(name, scale, epochs, depth, seed)
    if workers < 1:
        raise UsageError(f"workers must be at least 1, not {workers}")
    folder = study_folder(request, output)
    bench = Bench(Path(store), load(data, **data_options), (machine or Machine()).resolved())
    done = run_study(request, bench, folder, Local(workers))
    return done, write_report(done, folder)


def plan(
    name: str,
    data: str = "digits",
    scale: str = "laptop",
    epochs: int | None = None,
    depth: int | None = None,
    seed: int = 0,
    machine: Machine | None = None,
    store: str | Path = "runs",
    **data_options: Any,
) -> list[Priced]:
    """What `study` would train and measure, with FLOPs and estimated seconds from a few timed steps. Writes nothing."""
    request = Request(name, scale, epochs, depth, seed)
    return study_plan(request, Bench(Path(store), load(data, **data_options), (machine or Machine()).resolved()))


def study_folder(request: Request, output: str | Path | None) -> Path:
    return Path(output) if output else Path("runs") / f"{request.name}-{request.scale}"


def report(folder: str | Path) -> Path:
    """Draw the figures and write report.html anew from `folder`/study.json. Needs neither data nor weights."""
    folder = Path(folder)
    folder = folder.parent if folder.name == "study.json" else folder
    if not (folder / "study.json").exists():
        raise UsageError(f"{folder}: no study.json here. `residuum study` makes one")
    return write_report(Study.load(folder / "study.json"), folder)
