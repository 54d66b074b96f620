"""Measuring a finished run: its test error, and what deleting units does to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..anatomy.statistics import Rate
from ..errors import UsageError
from ..machine import Hardware
from ..reader import Count
from .requests import Deletions, Source, verb

if TYPE_CHECKING:
    from ..anatomy import Examples
    from ..anatomy.betting import DecidedDeletion
    from ..anatomy.measures import Deletion
    from ..experiments.subject import Subject
    from ..units import ResidualNetwork


@dataclass(frozen=True)
class Evaluation:
    """Error on the test part, as a fraction, with Wilson's 95 % interval.

    `samples`: of how many noisy passes the answer is the mean; None for the deterministic pass.
    """

    run: str
    network: str
    data: str
    error: float
    interval: tuple[float, float]
    n: int
    samples: int | None = None


@verb
def evaluate(
    run: str | Path,
    *,
    samples: Count | None = None,
    source: Source = Source(),
    machine: Hardware = Hardware(),
) -> Evaluation:
    """Test error of a finished run, with its interval, in full precision.

    CheckpointError: unfinished, damaged, or no run. DataError: data that do not fit. UsageError:
    samples of a network without noise.

    Parameters
    ----------
    run
        The run's folder.
    samples
        Average the answers of so many noisy passes (Swapout; the paper takes 30).
    """
    import torch

    from ..training.evaluation import probabilities

    subject = _subject(run, source, machine)
    images, labels = subject.test()
    device = next(subject.network.parameters()).device
    if samples is None:
        with torch.no_grad():
            found = [subject.network(x.to(device)) for x in images.split(500)]
    else:
        seed = subject.run.recipe.seed
        found = [probabilities(subject.network, images.to(device), samples, seed)]
    wrong = int((torch.cat(found).argmax(1).cpu() != labels).sum())
    rate, data = Rate(wrong, len(labels)), subject.data.name
    words = Path(run).name, subject.name, data
    return Evaluation(*words, rate.value, rate.interval, rate.n, samples)


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
class Decided:
    """One unit, on the n examples that its decision took ("worse": by more than the margin).

    The interval of the change is of a confidence sequence: it holds whatever n came out.
    """

    deleted: tuple[int, ...]
    decision: str
    n: int
    error: float
    change: float
    change_interval: tuple[float, float]


@dataclass(frozen=True)
class Lesions:
    """Lesions of one run, all on the n examples of the intact error.

    `spread`: of k units deleted at random, the mean error and its interval over draws (of a single
    draw everything from 0 to 1). `decided`: instead of `lesions`, where decisions were asked for.
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
    decided: tuple[Decided, ...] = ()
    page: str | None = None


@verb
def lesion(
    run: str | Path,
    *,
    deletions: Deletions = Deletions(),
    examples: Count | None = None,
    output: str | Path | None = None,
    source: Source = Source(),
    machine: Hardware = Hardware(),
) -> Lesions:
    """Delete units of a finished run: each on its own, a given set, or k at random.

    With until_decided each on its own, on no more images than it takes to tell whether the error
    over all of them rises by more than a margin.

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
        if deletions.until_decided:
            why = "a page compares deletions on the same images"
            raise UsageError(f"{why}: give --output or --until-decided")
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
    from ..anatomy import Examples

    early = deletions.until_decided
    test = Examples(*subject.test(examples))
    intact, found, spread = _deleted(subject.network, test, deletions)
    return Lesions(
        run=name,
        network=subject.name,
        data=subject.data.name,
        n=intact.n,
        intact=intact.value,
        intact_interval=intact.interval,
        lesions=() if early else tuple(map(_lesioned, found)),
        spread=spread,
        decided=tuple(map(_decided, found)) if early else (),
    )


def _deleted(
    network: "ResidualNetwork", test: "Examples", deletions: Deletions
) -> tuple[Rate, Sequence[Any], Mapping[int, tuple[float, float, float]]]:
    """The intact error, the deletions asked for, and the spread of random ones."""
    from ..anatomy import delete, delete_each, delete_each_early, delete_random

    if deletions.units is not None:
        return *delete(network, test, [deletions.units]), {}
    if deletions.random is not None:
        asked = deletions.random, deletions.repeats, deletions.seed
        intact, grouped, means = delete_random(network, test, *asked)
        spread = {k: (m.value, max(0.0, m.low), min(1.0, m.high)) for k, m in means.items()}
        return intact, [*chain(*grouped.values())], spread
    if deletions.until_decided:
        return *delete_each_early(network, test, *deletions.question, deletions.seed), {}
    return *delete_each(network, test), {}


def _decided(d: "DecidedDeletion") -> Decided:
    change = d.change
    return Decided(d.deleted, d.decision, change.n, d.error.value, change.value, d.interval)


def _lesioned(d: "Deletion") -> Lesioned:
    error, change = d.error, d.change
    interval = change.interval()
    return Lesioned(d.deleted, error.value, error.interval, change.value, interval, change.p_value)


def _subject(run: str | Path, source: Source, machine: Hardware) -> "Subject":
    from ..experiments.subject import open_subject
    from ..training import Run

    opened = Run.open(run)
    opened.outcome  # noqa: B018 - an unfinished run is told before the data are read
    if source.data is None and opened.data.name != "digits":
        advice = "Say with --data where these images are"
        raise UsageError(f"{run}: trained on {opened.data.name}. {advice}")
    machine = machine.resolved()
    machine.prepare()
    return open_subject(opened, source.load(), machine.device)
