"""Paths by their length: how many there are, and what gradient arrives along them."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..anatomy import signed_sweep
from ..anatomy.gradients import MEMORY, norms_by_length
from ..anatomy.measures import shortest_interval
from ..anatomy.paths import Paths, count_paths
from ..anatomy.statistics import Estimate, geometric_mean
from ..errors import UsageError, several
from ..results import Figure, Interval, Section, Series, Span
from ..subjects import Subject
from .bench import Part
from .words import curve, interval, refused, triple

SHARE = 0.95
SWEEPS = 4  # random signs of every branch
COUNTED = (
    "Every unit is taken or passed: the path polynomial of the row, 1 + t a unit, 1 + m t for m "
    "branches, 1 + P for a nest. The coefficient of tᵏ counts the paths through k branches."
)
ARRIVES = (
    "Gₖ, what arrives at the input by all cₖ paths of length k together: the coefficient of tᵏ"
    " in the gradient of the model whose branches are multiplied by t. Its sum over k is the "
    "ordinary gradient. Geometric means over examples, Student's 95 % intervals on logarithms. At"
    " right angles: sqrt(cₖ) times the root mean square of one path, what would arrive if paths "
    "had nothing to do with each other. The model is linearised at its activations."
)
ONE = (
    "The mean gradient of a path, |Gₖ| / cₖ, is what directions leave of it; the root mean "
    "square of one path, sqrt(sum |g|² / cₖ), knows no directions (estimated by random signs of"
    " branches). Times cₖ, the first is the next figure."
)


@dataclass(frozen=True)
class ByLength:
    """Of every path length k, over examples: `exact`, |Gₖ|; `single`, the root mean square norm of
    one path's gradient (None: `refused` says why). `first`, `last`: the shortest range of lengths
    that holds 95 % of what arrives. `n`: examples."""

    exact: tuple[Estimate, ...]
    single: tuple[Estimate, ...] | None
    refused: str
    first: int
    last: int
    n: int


def measure(subject: Subject, examples: int, seed: int) -> ByLength:
    view, test = subject.view, subject.test.spread(examples)
    norms = norms_by_length(view, test.inputs, test.targets, test.task).numpy()
    exact = tuple(map(geometric_mean, norms))
    single, why = None, ""
    try:
        asked = test.inputs, test.targets, SWEEPS, seed, MEMORY, test.task
        squares = signed_sweep(view, *asked).mean(0).numpy()
        counts = count_paths(view).counts
        pairs = zip(squares, counts, strict=False)
        single = tuple(geometric_mean((row / float(max(c, 1))) ** 0.5) for row, c in pairs)
    except UsageError as error:
        why = str(error)
    first, last = shortest_interval([estimate.value for estimate in exact], SHARE)
    return ByLength(exact, single, why, first, last, len(test))


def part(examples: int, seed: int) -> Part:
    return Part("gradients", 1, ByLength, measure, {"examples": examples, "seed": seed})


def sections(subject: Subject, found: ByLength | None, why: str) -> list[Section]:
    paths = count_paths(subject.view)
    kept = [_counted(paths)]
    if found is None:
        return [*kept, refused("path gradients", "The gradient by path length", why)]
    n = f"{found.n} test {subject.example}s"
    return [*kept, _one(paths, found, n), _arriving(paths, found, n, f"{subject.example}s")]


def total_words(paths: Paths) -> str:
    """1024, or 1.8e16."""
    total = paths.total
    if total < 10**6:
        return str(total)
    exponent = len(str(total)) - 1
    return f"{float(Fraction(total, 10**exponent)):.2g}e{exponent}"


def _counted(paths: Paths) -> Section:
    shares = [100 * share for share in paths.distribution()]
    low, high = (paths.percentile(Fraction(p, 1000)) for p in (25, 975))
    x = tuple(range(len(shares)))
    labels = tuple(f"length {k}: {c} paths, {shares[k]:.3g} %" for k, c in enumerate(paths.counts))
    labels = tuple(
        label if len(label) < 60 else f"length {k}: {shares[k]:.3g} % of all paths"
        for k, label in enumerate(labels)
    )
    return Section(
        "path counts",
        "How long paths are",
        f"{total_words(paths)} paths through {several(paths.units, 'unit')}; 95 % of them are "
        f"{low} to {high} branches long, the mean is {float(paths.mean):.3g}.",
        Figure(
            "path length (branches)",
            "share of all paths (%)",
            (Series("paths", x, tuple(shares), labels=labels),),
        ),
        how=COUNTED,
    )


def _one(paths: Paths, found: ByLength, n: str) -> Section:
    k = [i for i, count in enumerate(paths.counts) if count and found.exact[i].value > 0]
    mean = [_times(found.exact[i], 1 / paths.counts[i]) for i in k]
    series = [_series("mean gradient of a path", k, mean)]
    if found.single is not None:
        kept = [i for i in k if i < len(found.single) and found.single[i].value > 0]
        squares = [triple(found.single[i]) for i in kept]
        series.append(_series("root mean square of one path", kept, squares))
    return Section(
        "path gradients",
        "What one path carries",
        f"From length {k[0]} to {k[-1]} the mean gradient of a path falls from {mean[0][0]:.3g} to "
        f"{mean[-1][0]:.3g}.",
        Figure("path length (branches)", "norm of the gradient", tuple(series), log_y=True),
        n=n,
        how=ONE,
        notes=(f"Not done: one path's root mean square. {found.refused}",) if found.refused else (),
    )


def _arriving(paths: Paths, found: ByLength, n: str, examples: str) -> Section:
    k = range(len(found.exact))
    series = [_series("what arrives, |G|", [*k], [triple(e) for e in found.exact])]
    if found.single is not None:
        sizes = [
            _times(e, float(c) ** 0.5) for e, c in zip(found.single, paths.counts, strict=False)
        ]
        series.append(_series("at right angles", [*range(len(sizes))], sizes))
    words = f"95 % of what arrives: {found.first}-{found.last}"
    return Section(
        "path product",
        "The gradient that arrives by path length",
        f"The gradient of the loss arrives by paths of {found.first} to {found.last} of "
        f"{len(found.exact) - 1} branches (95 % of the summed norms).",
        Figure(
            *("path length (branches)", "norm of the gradient", tuple(series)),
            spans=(Span(found.first, found.last, words),),
        ),
        n=n,
        how=ARRIVES,
        notes=tuple(
            f"Length {k}: the gradient of {found.n - e.n:g} of {found.n} {examples} is 0; the mean "
            "is over the others."
            for k, e in enumerate(found.exact)
            if e.n < found.n and any(paths.counts[k : k + 1])
        ),
    )


def _times(estimate: Estimate, factor: float) -> Interval:
    value, low, high = triple(estimate)
    return value * factor, low * factor, high * factor


def _series(name: str, x: Sequence[int], y: Sequence[Interval]) -> Series:
    labels = [f"{name}, length {k}: {interval(v)}" for k, v in zip(x, y, strict=True)]
    return curve(name, x, y, labels)
