"""prune: units removed for good, with what it costs and brings, in a folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from .. import progress
from ..errors import UsageError, several
from ..machine import Hardware
from ..reader import Count, NotNegative, Positive, Seed, plain
from ..surgery.measures import Candidate, Comparison
from .evaluation import prepared
from .requests import Measuring, Source, verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from ..subjects import Origin, Subject
    from ..surgery import Target

SCHEMA, TIMED = 1, 32  # examples in the batch that is timed
SEARCHED, EVERY = 1000, 2**62  # training examples that units are chosen on, and healed on
By = Literal["greedy", "pairs", "deletion", "influence", "angle", "ratio", "distance", "response"]
Part = Annotated[float, Meta(gt=0, lt=1)]


@dataclass(frozen=True)
class Removal:
    """Which units go, and when it is enough: at least one of the first five is given."""

    units: Count | None = None
    """Until so many units are gone, or a few more where whole layers go."""
    parameters: Part | None = None
    """Until at most this share of the parameters is left."""
    latency: Part | None = None
    """Until a pass takes at most this share of its time, measured here."""
    loss: NotNegative | None = None
    """No step that raises the mean loss by more than this; of text, the perplexity is then at most
    so many times as high as e to the power of this."""
    error: NotNegative | None = None
    """No step that raises the share of wrong answers by more than this (0.01: 1 in 100)."""
    by: By = "greedy"
    """greedy: of those left always the cheapest; pairs: the best of all pairs; or those with the
    smallest score first: deletion (each alone), influence, angle, ratio, distance, response."""
    layers: bool = False
    """Whole layers go, all units of an element of the model's list of layers together: what is left
    of a model of transformers is one that transformers loads."""

    def require_one(self) -> None:
        """UsageError: no target, or one that pairs do not take."""
        asked = self.units, self.parameters, self.latency, self.loss, self.error
        if self.by == "pairs" and (self.units not in (None, 2) or any(asked[1:3])):
            what = "layers" if self.layers else "units"
            other = "give no other target but --loss and --error"
            raise UsageError(f"by pairs two {what} are removed: {other}")
        if self.by != "pairs" and all(each is None for each in asked):
            raise UsageError(
                "say when it is enough: --units 3, --parameters 0.7, --latency 0.8, --loss 0.1 or "
                "--error 0.01"
            )

    @property
    def target(self) -> "Target":
        """Of a search; of pairs, what a pair may cost."""
        from ..surgery import Target

        units = 2 if self.by == "pairs" else self.units
        return Target(units, self.parameters, self.loss, self.latency, self.error)


@dataclass(frozen=True)
class Repair:
    """A fine-tune of what is left by what the intact model answers, on the training examples."""

    heal: Count | None = None
    """So many epochs; none where it is left out."""
    batch_size: Count = 64
    """Of healing."""
    learning_rate: Positive = 1e-4
    """Of healing, at its start; it falls to 0 by half a cosine."""
    seed: Seed = 0
    """Of healing: order and dropout."""

    def __post_init__(self) -> None:
        changed = (self.batch_size, self.learning_rate, self.seed) != (64, 1e-4, 0)
        if self.heal is None and changed:
            raise UsageError("batch_size, learning_rate and seed are of healing: give --heal")


@dataclass(frozen=True)
class Pruned:
    """What `prune` removed and what is in its folder.

    `names`: of the units that went. `target`: whether it was reached before no further unit could
    go. `frontier`: one set of units a step, on the test examples (intervals hold together; their
    `seconds` are the search's); the last is what was removed, before healing. `healed`: the mean
    loss of every epoch. `sizes`: what was in the model and what is in the folder, on the test
    examples. `kept`: "preset", "folder" (of transformers), "word" (built again from the model's
    word) or "program" (.pt2), and `note` says why.
    """

    model: str
    data: str
    units: int
    by: By
    removed: tuple[int, ...]
    names: tuple[str, ...]
    target: bool
    frontier: tuple[Candidate, ...]
    healed: tuple[float, ...]
    sizes: Comparison
    kept: str
    note: str
    folder: str


def searched(subject: "Subject", removal: Removal) -> list[Candidate]:
    """One candidate a step, on the training examples. UsageError: nothing may go; more units to
    remove than there are."""
    from ..surgery import by_score, greedy, layers, pairs
    from ..surgery.search import together

    view, train, target = subject.view, subject.train, removal.target
    groups = together(view, layers(view) if removal.layers else None)
    there = sum(map(len, groups))
    if removal.units is not None and removal.units > there:
        can = f"{several(there, 'unit')} that can be removed"
        raise UsageError(f"{subject.name} has {can}, not {removal.units}")
    if removal.by == "pairs":
        if len(groups) < 2:
            what = "layers" if removal.layers else "units"
            raise UsageError(f"{subject.name} has no two {what} that can be removed")
        found = [each for each in pairs(view, train, groups=groups)[:1] if target.allows(each)]
    elif removal.by == "greedy":
        found = greedy(view, train, target, groups=groups)
    else:
        given = scores(subject, removal.by, groups)
        found = by_score(view, train, given, target, groups=groups)
    if not found:
        raise UsageError(f"{subject.name}: {_too_much(removal)}")
    return found


def _too_much(removal: Removal) -> str:
    asked = {"mean loss": removal.loss, "error": removal.error}
    rises = " or ".join(
        f"the {k} rises by more than {v}" for k, v in asked.items() if v is not None
    )
    which = "two layers" if removal.layers else "two units"
    if removal.by != "pairs":
        which = f"any one {'layer' if removal.layers else 'unit'}"
    return f"without {which} {rises}"


def scores(
    subject: "Subject", name: str, groups: "Sequence[Sequence[int]] | None" = None
) -> list[float]:
    """Of every unit, small where it seems to be redundant; the harm of deleting a group is spread
    evenly over its units. UsageError: not all units have it."""
    from ..anatomy.predicting import cheap_scores
    from ..surgery import lost
    from ..surgery.search import together

    view, train = subject.view, subject.train
    if name == "deletion":
        found = [float("inf")] * len(view.units)
        sets = together(view, groups)
        for group, harm in zip(sets, lost(view, train, sets), strict=True):
            for unit in group:
                found[unit] = harm.loss.value / len(group)
        return found
    known = cheap_scores(subject.redundancy())
    if name not in known:
        has = ", ".join(["deletion", *known])
        raise UsageError(f"{subject.name}: some units have no {name!r}; all have {has}")
    return known[name]


@verb
def prune(
    model: str | Path,
    *,
    output: str | Path,
    removal: Removal = Removal(),
    repair: Repair = Repair(),
    measuring: Measuring = Measuring(),
    source: Source = Source(),
    machine: Hardware = Hardware(),
) -> Pruned:
    """Remove units for good: search on the training part, report on the test part.

    Units are chosen on at most 1,000 training examples, what is left is healed on all of them, or
    on --examples of them. The folder gets a model that is built again and checked, and prune.json.

    Raises what opening a model raises. UsageError: a folder that holds something; no target;
    nothing may go; fewer than two examples. NumericError: healing that diverged.

    Parameters
    ----------
    model
        A finished run's folder, a preset, tv:NAME, timm:NAME, hf:FOLDER or module.path:function.
    output
        The folder; a new one.
    """
    from ..storage import require_new_folder
    from ..subjects import open_subject, require_two
    from ..subjects.keeping import alike, whole

    removal.require_one()
    require_new_folder(Path(output))
    start = whole(model)
    every = EVERY if repair.heal and measuring.examples is None else None
    device = prepared(machine).device
    subject = open_subject(model, measuring, source, device, training=every)
    require_two(subject)
    alike(subject.model)
    found = searched(replace(subject, train=subject.train.spread(SEARCHED)), removal)
    return _kept(subject, start, found, removal, repair, Path(output))


def _kept(
    subject: "Subject",
    start: "Origin",
    found: list[Candidate],
    removal: Removal,
    repair: Repair,
    folder: Path,
) -> Pruned:
    """The last candidate's units removed, the rest healed, written, read back and measured."""
    from ..storage import new_folder, write_json
    from ..subjects.keeping import keep
    from ..surgery import compare_sizes, lost, removed
    from ..views.inputs import take

    view, units = subject.view, found[-1].removed
    there = lost(view, subject.test, [each.removed for each in found])
    frontier = tuple(replace(h, seconds=e.seconds) for e, h in zip(found, there, strict=True))
    small = removed(view, units)
    healed = _healed(small, subject, repair)
    with new_folder(folder) as between:
        kept, note, again = keep(small, subject, start, units, between)
        batch = take(subject.test.inputs, slice(TIMED))
        left = len(view.units) - len(units)
        sizes = compare_sizes(view.model, again, (len(view.units), left), subject.test, batch)
        pruned = Pruned(
            *(subject.name, subject.data, len(view.units), removal.by, units),
            tuple(view.units[number].name for number in units),
            _reached(removal, frontier, sum(p.numel() for p in view.model.parameters())),
            *(frontier, tuple(healed), sizes, kept, note, str(folder)),
        )
        write_json(between, "prune.json", plain(pruned), SCHEMA)
    return pruned


def _reached(removal: Removal, frontier: tuple[Candidate, ...], whole: int) -> bool:
    """Whether a search by loss ended at the loss, and any other at its target."""
    if removal.by == "pairs" or (removal.units, removal.parameters, removal.latency) == (None,) * 3:
        return True
    if reached := removal.target.reached(frontier, whole):
        return reached
    progress.say("warning: the target was not reached: no further unit may go")
    return False


def _healed(small: "nn.Module", subject: "Subject", repair: Repair) -> list[float]:
    from ..surgery import Healing, heal

    if repair.heal is None:
        return []
    asked = Healing(repair.heal, repair.batch_size, repair.learning_rate, seed=repair.seed)
    return heal(small, subject.model, subject.train, asked)
