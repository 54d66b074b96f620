"""Veit, Wilber, Belongie 2016, the items about paths: how many, and what gradient they carry."""

from fractions import Fraction
from math import comb, log

import numpy as np

from ..anatomy.measures import Measure, PathGradients
from ..experiments.probe import Probe, path_gradients
from ..results import Claim, Figure, Result, Series, Span, Table
from .curves import estimated, line, percent, rate_words, verdict
from .study import RESIDUAL, Item, Need, Setting, Values, each_unit

PAPER_UNITS = 54
EFFECTIVE = (5, 17)
CENTRAL = (19, 35)
PATH_LENGTH = "path length (units taken)"


# ---- figures 6a and 7, the numbers of the text: exact ----


def share(units: int, shortest: int, longest: int) -> Fraction:
    """Of the 2^n paths of a row of n residual units, those with shortest <= length <= longest."""
    return Fraction(sum(comb(units, k) for k in range(shortest, longest + 1)), 2**units)


def figure_6a(setting: Setting, values: Values) -> Result:
    """The distribution of path lengths of 54 units: binomial."""
    n, (first, last) = PAPER_UNITS, CENTRAL
    shares = [float(share(n, k, k)) for k in range(n + 1)]
    labels = tuple(f"length {k}: {100 * s:.4f} %" for k, s in enumerate(shares))
    heights = tuple(100 * s for s in shares)
    bars = Series("54 units", tuple(range(n + 1)), heights, labels=labels, style="bars")
    inside = percent(float(share(n, first, last)))
    central = Span(first, last, f"{first}-{last}: {inside}")
    return Result(
        "figure 6a",
        "How long paths are",
        f"{inside} of the 2^{n} paths of {n} units take {first} to {last} of them; the mean "
        f"length is {n / 2:g}.",
        Claim(
            "Path lengths are binomial; more than 95 % of the paths through 54 units take 19 to "
            "35 of them.",
            "more than 95 %",
            inside,
            "exact",
            "exact integers: the sum of C(54, k) over k = 19..35, over 2^54",
        ),
        Figure(PATH_LENGTH, "share of all paths (%)", (bars,), spans=(central,)),
        n="exact",
    )


def left(deleted: int, length: int) -> Fraction:
    """Eq. 8: of the paths of this length through 54 units, the share that deletions leave."""
    return Fraction(comb(PAPER_UNITS - deleted, length), comb(PAPER_UNITS, length))


def figure_7(setting: Setting, values: Values) -> Result:
    """Eq. 8: which paths are left after deleting 1, 10 and 20 of 54 units."""
    series, rows = [], []
    lengths = tuple(range(PAPER_UNITS + 1))
    for d in (1, 10, 20):
        kept = [float(left(d, x)) for x in lengths]
        labels = tuple(f"length {x}: {percent(v)} left" for x, v in enumerate(kept))
        series.append(Series(f"{d} deleted", lengths, tuple(100 * v for v in kept), labels=labels))
        rows.append((d, *(f"{kept[x]:.3f}" for x in (5, 11, 17, 27))))
    short, long = float(left(10, 5)), float(left(10, 17))
    effective = Span(*EFFECTIVE, "paper's effective paths")
    return Result(
        "figure 7",
        "Which paths a deletion takes away",
        f"After deleting 10 of 54 units {percent(short, 1)} of the paths of length 5 are left and "
        f"{percent(long, 1)} of those of length 17.",
        Claim(
            "Deleting units removes mostly long paths: C(n-d, x) / C(n, x) of those of length x "
            "remain (eq. 8).",
            "the curves of eq. 8 for d = 1, 10, 20",
            f"d = 10: {short:.3f} at length 5, {long:.3f} at 17",
            "exact",
        ),
        Figure(PATH_LENGTH, "paths left (%)", tuple(series), spans=(effective,)),
        Table(("deleted", "left at 5", "at 11", "at 17", "at 27"), tuple(rows)),
        "exact",
    )


def text_numbers(setting: Setting, values: Values) -> Result:
    """The numbers that stand in the paper's text."""
    member, intact = setting.member(RESIDUAL), values.of(RESIDUAL, each_unit(setting)).intact
    central = percent(float(share(PAPER_UNITS, *CENTRAL)))
    effective = percent(float(share(PAPER_UNITS, *EFFECTIVE)), 4)
    counts, remaining = f"{central}; {effective}", f"2^44, {2.0**-10:.2e}"
    first, last = values.of(RESIDUAL, gradients(setting)).effective("published")
    ours = f"{rate_words(intact)}, {setting.data}, {member.preset}"
    same = member.preset == "preresnet110"
    scale = "same network" if same else "another network or data: not one scale"
    wrong = "the factor in the text is wrong: 2^44 / 2^54 = 2^-10"
    measured = f"{first}-{last} of {member.units}"
    rows = (
        ("paths of length 19-35, 54 units (sec. 5)", "> 95 %", central, "exact"),
        ("paths of length 5-17, 54 units (sec. 5)", "0.45 %", effective, "exact"),
        ("paths left after 10 of 54 deletions (sec. 4.2)", "2^44, about 1e-6", remaining, wrong),
        ("effective paths, published measure (sec. 5)", "5-17 of 54", measured, "95 % of c_k m_k"),
        ("error of the whole network (sec. 5)", "6.10 %, CIFAR-10, 110 layers", ours, scale),
    )
    return Result(
        "numbers in the text",
        "Numbers in the text",
        f"Of the paths through 54 units {central} have length 19-35 and {effective} length 5-17; "
        f"ten deletions leave {2.0**-10:.1e} of them, not the 1e-6 of the text.",
        Claim("The counts that the argument rests on.", "> 95 %; 0.45 %", counts, "exact"),
        table=Table(("quantity", "paper", "ours", "remark"), rows),
        n=f"exact but for the last two rows; {intact.n} test images",
    )


# ---- figures 6b and 6c: gradient by path length ----


def gradients(setting: Setting) -> Probe[PathGradients]:
    """All measures, on training images (the paper: random training batches)."""
    scale = setting.scale
    n, particles, replicates = scale.gradient_examples, scale.particles, scale.replicates
    return path_gradients(n, particles, replicates, scale.samples, setting.seed)


def gradients_needed(setting: Setting) -> list[Need]:
    return [(RESIDUAL, gradients(setting))]


def figure_6b(setting: Setting, values: Values) -> Result:
    """Gradient norm of a single path against its length."""
    units, found = setting.member(RESIDUAL).units, values.of(RESIDUAL, gradients(setting))
    counts = [float(c) for c in found.counts]
    means = [
        e.value / c if c else 0.0 for e, c in zip(found.geometric("published"), counts, strict=True)
    ]
    errors = [
        (e.high - e.low) / (2 * 1.96 * c) if c else 0.0
        for e, c in zip(found.geometric("published"), counts, strict=True)
    ]
    split = estimated("mean norm of a path, geometric mean over images", means, errors)
    uniform = estimated(
        f"arithmetic mean, {found.samples} sampled of each length",
        [v or 0.0 for v in found.uniform],
        [v or 0.0 for v in found.uniform_error],
    )
    slope, fit = line([(k, log(v)) for k, v in enumerate(means) if k and v > 0])
    factor = float(np.exp(slope))
    return Result(
        "figure 6b",
        "How gradient decays along a path",
        f"Each further unit on a path multiplies its gradient by {factor:.2f} on average "
        f"(log-linear fit over lengths 1-{units}, R² {fit:.3f}).",
        Claim(
            "The gradient of a path decays roughly exponentially with the number of units it "
            "passes through.",
            "roughly exponential decay over 54 units (read off the figure)",
            f"factor {factor:.2f} a unit, R² {fit:.3f}",
            verdict(factor < 1 and fit >= 0.9),
            "a factor below 1 and R² of the log-linear fit at least 0.9",
        ),
        Figure(PATH_LENGTH, "gradient norm at the image", (split, uniform), log_y=True),
        n=f"splitting with {found.particles} particles on {found.n} images, {len(found.norms)} "
        f"replicates; {found.samples} sampled paths of each length, batches of 8 in turn; seed "
        f"{setting.seed}; 95 % intervals over images, and over paths",
    )


MEASURES: dict[Measure, str] = {
    "published": "published: count x mean norm",
    "orthogonal": "as if orthogonal",
    "exact": "exact: norm of G_k",
}


def figure_6c(setting: Setting, values: Values) -> Result:
    """Total gradient by path length: the published measure and the exact one."""
    n, found = setting.member(RESIDUAL).units, values.of(RESIDUAL, gradients(setting))
    ranges = {measure: found.effective(measure) for measure in MEASURES}
    words = {measure: f"{first}-{last}" for measure, (first, last) in ranges.items()}
    middle = len(found.counts) // 2
    ratio = found.ratio("exact", "published", middle).value
    orthogonal = found.ratio("exact", "orthogonal", middle).value
    spans = tuple(Span(*ranges[m], f"95 %, {m}: {words[m]}") for m in MEASURES if m != "orthogonal")
    series = tuple(_total_series(found, measure) for measure in MEASURES)
    rows = tuple(_total_row(found, measure) for measure in MEASURES)
    return Result(
        "figure 6c",
        "Where the gradient comes from",
        f"95 % of the gradient comes from paths of length {words['published']} by the published "
        f"measure and {words['exact']} by the exact one (n = {n}); at length {middle} the "
        f"gradient that really arrives is {ratio:.2g} of the sum of norms.",
        Claim(
            "Almost all of the gradient comes from paths of 5 to 17 units, short against the 54 "
            "there are.",
            "5-17 of 54, 0.45 % of all paths",
            "; ".join(f"{measure}: {word} of {n}" for measure, word in words.items()),
            verdict(sum(ranges["published"]) / 2 < 0.45 * n),
            "the middle of the published measure's 95 % range lies below 0.45 n, that is, clearly "
            "below the mean length",
        ),
        Figure(PATH_LENGTH, "share of the measure's total (%)", series, spans=spans),
        Table(("measure", "95 % range", "share of all paths in it", "total (norm)"), rows),
        f"{found.n} training images, geometric means with 95 % intervals; splitting with "
        f"{found.particles} particles, {len(found.norms)} replicates",
        (
            "The published measure adds norms, as if all paths pointed the same way; the exact "
            "one is the norm of the sum.",
            f"At length {middle} the exact total is {orthogonal:.2f} times that of orthogonal "
            "paths.",
        ),
    )


def _total_series(found: PathGradients, measure: Measure) -> Series:
    """The share of each length in the geometric mean over images."""
    estimates = found.geometric(measure)
    unit = 100 / max(sum(e.value for e in estimates), 1e-300)
    labels = tuple(
        f"length {k}: {unit * e.value:.2f} % of the {measure} total"
        for k, e in enumerate(estimates)
    )
    value, low, high = (
        tuple(unit * getattr(e, name) for e in estimates) for name in ("value", "low", "high")
    )
    lengths = tuple(range(len(estimates)))
    return Series(MEASURES[measure], lengths, value, low, high, labels)


def _total_row(found: PathGradients, measure: Measure) -> tuple[str, str, str, str]:
    first, last = found.effective(measure)
    inside = float(Fraction(sum(found.counts[first : last + 1]), sum(found.counts)))
    total = sum(estimate.value for estimate in found.geometric(measure))
    return MEASURES[measure], f"{first}-{last}", percent(inside, 4), f"{total:.3g}"


PATH_ITEMS = (
    Item("figure 6a", lambda setting: (), figure_6a),
    Item("figure 6b", gradients_needed, figure_6b),
    Item("figure 6c", gradients_needed, figure_6c),
    Item("figure 7", lambda setting: (), figure_7),
    Item(
        "numbers in the text",
        lambda setting: [(RESIDUAL, each_unit(setting)), *gradients_needed(setting)],
        text_numbers,
    ),
)
