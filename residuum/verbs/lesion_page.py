"""Lesions of one run as a study of its own, so that they have a report's figure and page."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..anatomy.statistics import rate_words
from ..errors import UsageError
from ..experiments.probe import unit_map
from ..pages import write_report
from ..presets import preset_cost
from ..results import Claim, Figure, Network, Result, Series, Study, Table
from ..storage import make_folder
from ..studies.study import mapped_units

if TYPE_CHECKING:
    from ..subjects.trained import Trained
    from .lesions import Lesioned, Lesions

NAME = "lesion"


def require_own_folder(folder: Path) -> None:
    """UsageError: there is something in it, and not the page of an earlier lesion."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    kept = folder / "study.json"
    if not kept.exists() or Study.load(kept).name != NAME:
        raise UsageError(f"{folder}: holds something else. Choose another --output")


def write_lesion_page(found: "Lesions", subject: "Trained", folder: Path) -> Path:
    """The study.json, report.html and figures of these lesions. Gives the page."""
    study = lesion_study(found, subject)
    study.save(make_folder(folder) / "study.json")
    return write_report(study, folder)


def lesion_study(found: "Lesions", subject: "Trained") -> Study:
    """One network, one figure."""
    worst = max(found.lesions, key=lambda each: each.change)
    finding = (
        f"Of {len(found.lesions)} lesions the worst, without {_numbers(worst)}, takes the error "
        f"from {100 * found.intact:.2f} % to {100 * worst.error:.2f} %."
    )
    words = f"{100 * worst.change:+.2f} points at most"
    result = Result(
        "lesions",
        "The error without units",
        finding,
        Claim("What deleting units does to this network.", "", words, "measured"),
        _figure(found),
        _table(found.lesions),
        f"{found.n} test images, the same for every lesion; Wilson 95 % intervals; McNemar's test",
    )
    network, trained = _network(found, subject), subject.run.recipe
    kept = {"run": found.run, "recipe": trained.name, "seed": trained.seed}
    provenance = {**kept, "weights sha256": subject.run.outcome.weights.sha256}
    classes = len(subject.data.classes)
    title = f"{found.network} without some of its units"
    return Study(NAME, title, found.data, "", (), (network,), (result,), provenance, classes)


def _figure(found: "Lesions") -> Figure:
    """Errors by the unit's number, or by how many units were deleted."""
    single = not found.spread and all(len(each.deleted) == 1 for each in found.lesions)
    x = tuple(each.deleted[0] if single else len(each.deleted) for each in found.lesions)
    intervals = [each.interval for each in found.lesions]
    lesions = Series(
        f"{found.network}, {'one unit' if single else 'one set of units'} each",
        x,
        tuple(100 * each.error for each in found.lesions),
        _ends(intervals, 0),
        _ends(intervals, 1),
        tuple(f"without {_numbers(e)}: error {_error(e)}" for e in found.lesions),
        "line" if single else "points",
    )
    intact = (100 * found.intact,) * 2
    series = [lesions, Series(f"{found.network} intact", (0, max(x)), intact, style="level")]
    if found.spread:
        means = tuple(100 * mean for mean, *_ in found.spread.values())
        intervals = [(low, high) for _, low, high in found.spread.values()]
        low, high = _ends(intervals, 0), _ends(intervals, 1)
        name = "mean, 95 % interval over the draws"
        series[0] = replace(lesions, low=(), high=())
        series.insert(1, Series(name, tuple(found.spread), means, low, high))
    label = "number of the deleted unit" if single else "units deleted"
    return Figure(label, "test error (%)", tuple(series))


def _ends(intervals: Sequence[tuple[float, float]], end: int) -> tuple[float, ...]:
    """The lower (0) or upper (1) ends in percent."""
    return tuple(100 * interval[end] for interval in intervals)


def _table(lesions: "Sequence[Lesioned]") -> Table:
    rows = (
        (_numbers(e), _error(e), f"{100 * e.change:+.2f} points", f"{e.p_value:.2g}")
        for e in sorted(lesions, key=lambda each: -each.change)
    )
    return Table(("deleted", "error", "change", "p"), tuple(rows))


def _network(found: "Lesions", subject: "Trained") -> Network:
    outline = unit_map().measure(subject)
    alone = (each for each in found.lesions if len(each.deleted) == 1)
    errors = {
        e.deleted[0]: (100 * e.error, 100 * e.interval[0], 100 * e.interval[1]) for e in alone
    }
    words, (low, high) = subject.run.network, found.intact_interval
    assert words is not None  # the subject was rebuilt from it
    cost = preset_cost(words.preset, words.classes, words.options, subject.data.size)
    return Network(
        *(found.network, f"run {found.run}", outline.parameters, cost.depth),
        *(100 * found.intact, (100 * low, 100 * high), found.n),
        mapped_units(outline, errors),
    )


def _numbers(each: "Lesioned") -> str:
    word = "unit" if len(each.deleted) == 1 else "units"
    return f"{word} {', '.join(map(str, each.deleted))}" if each.deleted else "none"


def _error(each: "Lesioned") -> str:
    return rate_words(each.error, each.interval)
