"""Probes: measurements of one trained network, as data.

Called with its arguments, a measurement gives its probe:

    probe = delete_random(counts=(1, 5), repeats=10)     plain data, Probe[Deletions]
    probe.measure(subject)                               Deletions

A value is kept under its word and arguments. Raise a measurement's version when its formula is
mended: what was kept before is then not found. An argument that has its default is left out, so
that a new one makes nothing be measured again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import numpy as np

from .. import anatomy
from ..anatomy.measures import Deletion, PathGradients, Reordering, Response
from ..anatomy.statistics import Rate
from ..errors import CheckpointError, UsageError, nearest
from ..reader import build

if TYPE_CHECKING:
    from ..subjects.trained import Trained

P = ParamSpec("P")
T = TypeVar("T")
Counts = Sequence[int]


# ---- what measurements give ----


@dataclass(frozen=True)
class Deletions:
    """The error of the intact network, and deletions of its units, on the same examples."""

    intact: Rate
    each: tuple[Deletion, ...]


@dataclass(frozen=True)
class RandomDeletions(Deletions):
    """Sets of units, some with the `dominant` unit and some without: the one whose deletion changes
    the error most on these examples."""

    dominant: int


@dataclass(frozen=True)
class Reorderings:
    """The error in the trained order, and other orders of the units, on the same examples."""

    intact: Rate
    orders: tuple[Reordering, ...]


@dataclass(frozen=True)
class UnitShape:
    """A unit as it stands in the network; shapes (C, H, W)."""

    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    parameters: int
    kind: str


@dataclass(frozen=True)
class UnitMap:
    """The network's parameters and its units in signal order."""

    parameters: int
    units: tuple[UnitShape, ...]


@dataclass(frozen=True)
class Epoch:
    """An epoch of training; errors are fractions."""

    epoch: int
    train_error: float | None
    test_error: float | None
    gradient: float | None = None  # mean, absolute, of the first unit's first convolution


@dataclass(frozen=True)
class Record:
    """What a finished run says of itself."""

    weights: str  # sha256
    seconds: float  # of its last session
    precision: str
    compiled: bool
    seed: int
    epochs: tuple[Epoch, ...]


# ---- probes and measurements ----


@dataclass(frozen=True)
class Probe(Generic[T]):
    """One measurement with its arguments, sorted by name. `T` is the type of what it gives."""

    what: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def version(self) -> int:
        return find_measurement(self.what).version

    def measure(self, subject: "Trained") -> T:
        return find_measurement(self.what).function(subject, **dict(self.arguments))

    def read(self, value: object) -> T:
        """What `measure` gave, from JSON. CheckpointError: something else."""
        kind = signature(find_measurement(self.what).function).return_annotation
        return build(value, kind, self.what, CheckpointError)


@dataclass
class Measurement(Generic[P, T]):
    """Called with arguments, it gives the `Probe` that asks for what `function` gives."""

    what: str
    function: "Callable[Concatenate[Trained, P], T]"
    version: int

    def __call__(self, *values: P.args, **named: P.kwargs) -> Probe[T]:
        given = signature(self.function).bind(None, *values, **named)
        defaults = {name: p.default for name, p in given.signature.parameters.items()}
        plain = {name: _frozen(v) for name, v in list(given.arguments.items())[1:]}
        return Probe(self.what, tuple(sorted((n, v) for n, v in plain.items() if v != defaults[n])))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


MEASUREMENTS: dict[str, Measurement[..., Any]] = {}


def find_measurement(what: str) -> Measurement[..., Any]:
    """UsageError with the nearest word where there is none."""
    if what not in MEASUREMENTS:
        raise UsageError(f"unknown measurement {what!r}.{nearest(what, MEASUREMENTS)}")
    return MEASUREMENTS[what]


def measurement(what: str, version: int = 1):
    """Registers a function of a subject and plain arguments that says what type it gives."""

    def register(function: "Callable[Concatenate[Trained, P], T]") -> Measurement[P, T]:
        MEASUREMENTS[what] = found = Measurement(what, function, version)
        found.__doc__ = function.__doc__
        return found

    return register


# ---- the measurements; `examples`: how many images, at equal distances (None: all) ----


@measurement("delete each")
def delete_each(subject: "Trained", examples: int | None = None) -> Deletions:
    """Every unit on its own, on test images."""
    intact, found = anatomy.delete_each(subject.network, anatomy.Examples(*subject.test(examples)))
    return Deletions(intact, tuple(found))


@measurement("delete random", version=2)
def delete_random(
    subject: "Trained", counts: Counts, repeats: int, seed: int = 0, examples: int | None = None
) -> RandomDeletions:
    """k units at random, `repeats` times for each k of `counts`, on test images: half of the sets
    with the dominant unit and half without, where there are both."""
    network, test = subject.network, anatomy.Examples(*subject.test(examples))
    _, singles = anatomy.delete_each(network, test)
    dominant = max(singles, key=lambda d: d.change.value).deleted[0]
    sets = halved_sets(len(singles), dominant, counts, repeats, seed)
    intact, found = anatomy.delete(network, test, sets, "deleting k units")
    return RandomDeletions(intact, tuple(found), dominant)


def halved_sets(
    units: int, dominant: int, counts: Counts, repeats: int, seed: int
) -> list[list[int]]:
    """For each k, sets of k of the units: a function of (seed, k, repeat)."""
    others, sets = [unit for unit in range(units) if unit != dominant], []
    for k in counts:
        halves = [[dominant]] * (k > 0) + [[]] * (k < units)
        for repeat in range(repeats):
            kept = halves[repeat % len(halves)]
            source = np.random.default_rng([seed, k, repeat])
            sets.append(kept + source.choice(others, k - len(kept), replace=False).tolist())
    return sets


@measurement("reorder")
def reorder(
    subject: "Trained", swaps: Counts, repeats: int, seed: int = 0, examples: int | None = None
) -> Reorderings:
    """k swaps of units of the same shape, `repeats` times for each k of `swaps`, on test images."""
    test = anatomy.Examples(*subject.test(examples))
    intact, found = anatomy.reorder_random(subject.network, test, swaps, repeats, seed)
    return Reorderings(intact, tuple(found))


@measurement("path gradients", version=2)
def path_gradients(
    subject: "Trained",
    examples: int,
    particles: int,
    replicates: int,
    samples: int = 0,
    seed: int = 0,
) -> PathGradients:
    """All measures of gradient by path length, on training images without augmentation."""
    network, (images, labels) = subject.network, subject.train(examples)
    return anatomy.path_gradients(network, images, labels, particles, replicates, samples, seed)


@measurement("layer responses")
def layer_responses(subject: "Trained", examples: int | None = None) -> tuple[Response, ...]:
    """The standard deviation of every layer's response, in signal order, on test images."""
    return tuple(anatomy.layer_responses(subject.network, subject.test(examples)[0]))


@measurement("unit map")
def unit_map(subject: "Trained") -> UnitMap:
    """Shapes, parameters and kind of every unit."""
    from ..views.own import leaves

    network: Any = subject.network
    outlines = anatomy.shapes(network, subject.test(1)[0])
    units = []
    for unit, (before, after) in zip(leaves(network), outlines, strict=True):
        kind = "plain" if unit.plain else "identity" if before == after else "changes the shape"
        units.append(UnitShape(before, after, sum(p.numel() for p in unit.parameters()), kind))
    return UnitMap(sum(p.numel() for p in network.parameters()), tuple(units))


@measurement("record")
def record(subject: "Trained") -> Record:
    """Metrics of every epoch, and how the run was trained."""
    run, described = subject.run, subject.run.description
    epochs = tuple(
        Epoch(r.epoch, r.train_error, r.test_error, r.watched_gradient) for r in run.metrics
    )
    weights, seconds = run.outcome.weights.sha256, run.outcome.seconds
    precision, compiled = described.precision, described.machine.compile
    return Record(weights, seconds, precision, compiled, run.recipe.seed, epochs)
