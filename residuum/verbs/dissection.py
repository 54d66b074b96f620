"""Measuring a finished run: its test error, and what deleting units does to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ..anatomy.statistics import Rate
from ..errors import UsageError
from ..machine import Machine
from ..reader import Count
from .requests import Deletions, Source, verb

if TYPE_CHECKING:
    from ..anatomy.measures import Deletion
    from ..experiments.subject import Subject


@dataclass(frozen=True)
class Evaluation:
    """Error on the test part, as a fraction, with Wilson's 95 % interval."""

    run: str
    network: str
    data: str
    error: float
    interval: tuple[float, float]
    n: int


@verb
def evaluate(
    run: str | Path, *, source: Source = Source(), machine: Machine = Machine()
) -> Evaluation:
    """Test error of a finished run, with its interval, in full precision.

    CheckpointError: unfinished, damaged, or no run. DataError: data that do not fit.

    Parameters
    ----------
    run
        The run's folder.
    """
    import torch

    subject = _subject(run, source, machine)
    images, labels = subject.test()
    device = next(subject.network.parameters()).device
    with torch.no_grad():
        found = [subject.network(x.to(device)).argmax(1).cpu() for x in images.split(500)]
    rate, data = Rate(int((torch.cat(found) != labels).sum()), len(labels)), subject.data.name
    return Evaluation(Path(run).name, subject.name, data, rate.value, rate.interval, rate.n)


@dataclass(frozen=True)
class Lesioned:
    """One lesion: the units deleted, the error and its change, with intervals. Fractions."""

    deleted: tuple[int, ...]
    error: float
    interval: tuple[float, float]
    change: float
    change_interval: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Lesions:
    """Lesions of one run, all on the n examples of the intact error.

    `spread`: of k units deleted at random, the mean error and its interval over draws.
    `page`: where their page was written, if it was asked for.
    """

    run: str
    network: str
    data: str
    n: int
    intact: float
    intact_interval: tuple[float, float]
    lesions: tuple[Lesioned, ...]
    spread: Mapping[int, tuple[float, float, float]]
    page: str | None = None


@verb
def lesion(
    run: str | Path,
    *,
    deletions: Deletions = Deletions(),
    examples: Count | None = None,
    output: str | Path | None = None,
    source: Source = Source(),
    machine: Machine = Machine(),
) -> Lesions:
    """Delete units of a finished run: each on its own, a given set, or k at random.

    UsageError: units that are not there; an output folder that holds something else. Else what
    `evaluate` raises.

    Parameters
    ----------
    run
        The run's folder.
    examples
        How many test images; all by default.
    output
        Also write a page with a figure (SVG, PNG) of the lesions to this folder.
    """
    from .lesion_page import require_own_folder, write_lesion_page

    if output is not None:
        require_own_folder(Path(output))
    subject = _subject(run, source, machine)
    if examples is not None and examples > len(subject.data.test):
        there = f"{subject.data.name} has {len(subject.data.test)} test images"
        raise UsageError(f"{there}, not {examples}. Leave --examples out to take all")
    lesions = _measured(Path(run).name, subject, deletions, examples)
    if output is None:
        return lesions
    return replace(lesions, page=str(write_lesion_page(lesions, subject, Path(output))))


def _measured(name: str, subject: "Subject", deletions: Deletions, examples: int | None) -> Lesions:
    from ..anatomy import Examples, delete, delete_each, delete_random

    spread = {}
    network, test = subject.network, Examples(*subject.test(examples))
    if deletions.units is not None:
        intact, found = delete(network, test, [deletions.units])
    elif deletions.random is not None:
        asked = deletions.random, deletions.repeats, deletions.seed
        intact, grouped, spreads = delete_random(network, test, *asked)
        found = chain(*grouped.values())
        spread = {k: (s.mean, *s.interval) for k, s in spreads.items()}
    else:
        intact, found = delete_each(network, test)
    return Lesions(
        run=name,
        network=subject.name,
        data=subject.data.name,
        n=intact.n,
        intact=intact.value,
        intact_interval=intact.interval,
        lesions=tuple(map(_lesioned, found)),
        spread=spread,
    )


def _lesioned(d: "Deletion") -> Lesioned:
    error, change = d.error, d.change
    interval = change.interval()
    return Lesioned(d.deleted, error.value, error.interval, change.value, interval, change.p_value)


def _subject(run: str | Path, source: Source, machine: Machine) -> "Subject":
    import torch

    from ..experiments.subject import open_subject
    from ..training import Run

    opened = Run.open(run)
    opened.outcome  # noqa: B018 - an unfinished run is told before the data are read
    if source.data is None and opened.data.name != "digits":
        advice = "Say with --data where these images are"
        raise UsageError(f"{run}: trained on {opened.data.name}. {advice}")
    machine = machine.resolved()
    torch.set_num_threads(machine.threads)
    return open_subject(opened, source.load(), machine.device)
