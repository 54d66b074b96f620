"""lesion: what deleting units does to a model's test error, or to its loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..anatomy.statistics import Rate
from ..errors import UsageError
from ..machine import Hardware
from .evaluation import finished, loaded, prepared
from .requests import Deletions, Measuring, Source, verb

if TYPE_CHECKING:
    from ..anatomy import Examples
    from ..anatomy.betting import DecidedDeletion
    from ..anatomy.comparisons import Effect
    from ..anatomy.measures import Deletion
    from ..subjects import Subject
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
class LossLesion:
    """One lesion of a model without right and wrong answers: the mean loss, and its change on the
    same examples. Interval of the change and p-value hold for all lesions together."""

    deleted: tuple[int, ...]
    loss: float
    interval: tuple[float, float]
    change: float
    change_interval: tuple[float, float]
    p_value: float


@dataclass(frozen=True)
class Lesions:
    """Lesions of one model, all on the n examples of the intact measure.

    `measure`: "error", a fraction, or "loss" in nats a token, whose lesions are `losses`. `spread`:
    of k units deleted at random, the mean measure and its interval over draws (of a single draw
    everything from 0 to 1). `decided`: instead of `lesions`, where decisions were asked for.
    `weights`: where they are from. `page`: where their page was written, if it was asked for.
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
    measure: Literal["error", "loss"] = "error"
    losses: tuple[LossLesion, ...] = ()
    weights: str = ""


@verb
def lesion(
    model: str | Path,
    *,
    deletions: Deletions = Deletions(),
    output: str | Path | None = None,
    measuring: Measuring = Measuring(),
    source: Source = Source(),
    machine: Hardware = Hardware(),
) -> Lesions:
    """Delete units of a model: each on its own, a given set, or k at random.

    Measured is the error on images, of models that read tokens the loss of the next one. With
    until_decided each on its own, on no more images than it takes to tell whether the error over
    all of them rises by more than a margin.

    UsageError: an unknown name (with the nearest); units that are not there; a model that has none,
    or that fails on these examples; an output folder that holds something else. DataError: data
    that do not fit. CheckpointError: weights that do not fit; no run, an unfinished or damaged one.

    Parameters
    ----------
    model
        The folder of a finished run or of residuum prune, tv:NAME, timm:NAME, hf:FOLDER,
        module.path:function or a preset.
    output
        Also write a page with a figure (SVG, PNG) of the lesions to this folder (a finished run).
    """
    from ..subjects import open_subject, require_units

    if output is not None:
        _require_page(model, Path(output), deletions)
    device = prepared(machine).device
    subject = open_subject(model, measuring, source, device, training=0)
    require_units(subject.view, subject.name)
    lesions = _measured(subject, deletions)
    if output is None:
        return lesions
    from ..subjects.trained import open_trained
    from .lesion_page import write_lesion_page

    run = finished(model)
    trained = open_trained(run, loaded([run], source), device)
    return replace(lesions, page=str(write_lesion_page(lesions, trained, Path(output))))


def _require_page(model: str | Path, output: Path, deletions: Deletions) -> None:
    """UsageError: no page of this can be written."""
    from .lesion_page import require_own_folder

    if deletions.until_decided:
        why = "a page compares deletions on the same images"
        raise UsageError(f"{why}: give --output or --until-decided")
    require_own_folder(output)
    own = "a page shows the units of a finished run of our own networks"
    told = f"{model}: {own}: leave --output out, --csv gives the numbers"
    if ":" in str(model) and not Path(model).exists():
        raise UsageError(told)
    network = finished(model).network
    if network is not None and network.preset.startswith("tv:"):
        raise UsageError(told)


def _measured(subject: "Subject", deletions: Deletions) -> Lesions:
    sequences = subject.example == "sequence"
    told: dict[str, Any] = (_losses if sequences else _errors)(subject, deletions)
    run = "run" in subject.provenance
    return Lesions(
        run=Path(subject.name).name if run else subject.name,
        network=subject.provenance["model"],
        data=subject.data,
        weights=subject.provenance["weights"],
        **told,
    )


def _errors(subject: "Subject", deletions: Deletions) -> dict[str, Any]:
    early = deletions.until_decided
    intact, found, spread = _deleted(subject.view, subject.test, deletions)
    return {
        "n": intact.n,
        "intact": intact.value,
        "intact_interval": intact.interval,
        "lesions": () if early else tuple(map(_lesioned, found)),
        "spread": spread,
        "decided": tuple(map(_decided, found)) if early else (),
    }


def _losses(subject: "Subject", deletions: Deletions) -> dict[str, Any]:
    """The same of losses. UsageError: decisions, which are on errors."""
    from ..anatomy import effects, without
    from ..anatomy.deletions import random_sets
    from ..anatomy.statistics import student_mean

    if deletions.until_decided:
        raise UsageError("until_decided compares errors, and models that read tokens have losses")
    if len(subject.test) < 2:
        few = f"{len(subject.test)} test sequence"
        raise UsageError(f"{subject.name}: {few}: an interval needs two or more")
    if deletions.random and deletions.repeats < 2:
        raise UsageError("repeats: the interval of a mean loss needs two random sets or more")
    view, counts = subject.view, deletions.random or ()
    units: list[Sequence[int]] = [[number] for number in range(len(view.units))]
    if deletions.units is not None:
        units = [deletions.units]
    elif counts:
        units = [*random_sets(len(view.units), counts, deletions.repeats, deletions.seed)]
    sets = [tuple(sorted(numbers)) for numbers in units]
    intact, found = effects(view, subject.test, [without(view, each) for each in sets])
    losses = tuple(LossLesion(s, *_of_loss(e)) for s, e in zip(sets, found, strict=True))
    spread = {}
    for place, k in enumerate(counts):
        drawn = losses[place * deletions.repeats : (place + 1) * deletions.repeats]
        mean = student_mean([each.loss for each in drawn])
        spread[k] = (mean.value, mean.low, mean.high)
    return {
        "n": len(subject.test),
        "intact": intact.value,
        "intact_interval": (intact.low, intact.high),
        "lesions": (),
        "spread": spread,
        "measure": "loss",
        "losses": losses,
    }


def _of_loss(effect: "Effect") -> tuple[Any, ...]:
    mean, change = effect.mean, effect.change
    intervals = (mean.low, mean.high), change.value, (change.low, change.high)
    return mean.value, *intervals, effect.p_value


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
