"""Dissecting a finished run: what deleting units does to its test error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..anatomy.statistics import Rate
from ..errors import UsageError
from ..machine import Hardware
from ..reader import Count
from .evaluation import finished, loaded, prepared
from .requests import Deletions, Source, verb

if TYPE_CHECKING:
    from ..anatomy import Examples
    from ..anatomy.betting import DecidedDeletion
    from ..anatomy.measures import Deletion
    from ..subjects.trained import Trained
    from ..training import Run
    from ..views import View


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

    Of a `tv:` model the units are found by a pass on two test images (`unravel`).
    UsageError: units that are not there; a model that has none; an output folder that holds
    something else. Else what `evaluate` raises.

    Parameters
    ----------
    run
        The run's folder.
    examples
        How many test images; all by default.
    output
        Also write a page with a figure (SVG, PNG) of the lesions to this folder.
    """
    from ..subjects.trained import open_trained
    from .lesion_page import require_own_folder, write_lesion_page

    if output is not None:
        if deletions.until_decided:
            why = "a page compares deletions on the same images"
            raise UsageError(f"{why}: give --output or --until-decided")
        require_own_folder(Path(output))
    opened = finished(run) if output is None else _of_own_network(finished(run))
    subject = open_trained(opened, loaded([opened], source), prepared(machine).device)
    if examples is not None and examples > len(subject.data.test):
        there = f"{subject.data.name} has {len(subject.data.test)} test images"
        raise UsageError(f"{there}, not {examples}. Leave --examples out to take all")
    lesions = _measured(Path(run).name, subject, deletions, examples)
    if output is None:
        return lesions
    return replace(lesions, page=str(write_lesion_page(lesions, subject, Path(output))))


def _of_own_network(run: "Run") -> "Run":
    if run.network is not None and run.network.preset.startswith("tv:"):
        why = "a page shows the units of our own networks"
        raise UsageError(f"{run.folder}: {why}: leave --output out, --csv gives the numbers")
    return run


def _measured(name: str, subject: "Trained", deletions: Deletions, examples: int | None) -> Lesions:
    from ..anatomy import Examples, unravel
    from ..presets.libraries import NO_UNITS

    early = deletions.until_decided
    images, labels = subject.test(examples)
    test = Examples(images, labels)
    device = next(subject.network.parameters()).device
    network = unravel(subject.network, images[:2].to(device))
    if not network.expression.parts:
        raise UsageError(f"{name}: {NO_UNITS}")
    intact, found, spread = _deleted(network, test, deletions)
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
    network: "View", test: "Examples", deletions: Deletions
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
