"""Veit, Wilber, Belongie 2016, figures 6b and 6c and the text: the gradient that paths carry."""

from collections.abc import Callable, Sequence
from fractions import Fraction

from ..anatomy.measures import Measure, PathGradients
from ..anatomy.statistics import Estimate, geometric_mean
from ..experiments.probe import Probe, path_gradients
from ..results import Claim, Figure, Result, Series, Span, Table, Verdict
from . import verdicts
from .curves import (
    Point,
    estimate_point,
    estimate_words,
    geometric,
    listed,
    mean_over_seeds,
    percent,
)
from .study import CONTROL, RESIDUAL, Item, Need, Setting, Values, each_unit
from .veit2016_paths import CENTRAL, EFFECTIVE, PAPER_UNITS, PATH_LENGTH, share

# ---- figures 6b and 6c: gradient by path length ----


def gradients(setting: Setting, role: str = RESIDUAL) -> Probe[PathGradients]:
    """All measures, on training images (the paper: random training batches); of the control
    without paths drawn with equal chances."""
    scale = setting.scale
    splitting = scale.gradient_examples, scale.particles, scale.replicates
    samples = 0 if role == CONTROL else scale.samples
    return path_gradients(*splitting, samples, setting.seed)


def gradients_needed(setting: Setting) -> list[Need]:
    needs: list[Need] = [(role, gradients(setting, role)) for role in (RESIDUAL, CONTROL)]
    return [*needs, (RESIDUAL, each_unit(setting))]


def decided(setting: Setting, values: Values, rule: Callable[[PathGradients], Verdict]) -> Verdict:
    """What all seeds say; undecided where a network has not learned: the claims are of trained
    ones."""
    errors = [found.intact for found in values.each(RESIDUAL, each_unit(setting))]
    if not all(verdicts.learned(error, setting.chance) for error in errors):
        return verdicts.OPEN
    return verdicts.unanimous(map(rule, values.each(RESIDUAL, gradients(setting))))


def single_paths(found: PathGradients, measure: Measure) -> list[Point | None]:
    """Of each length: the mean norm of a path ("published") or its root mean square
    ("orthogonal"); geometric means over examples."""
    points: list[Point | None] = []
    for count, total in zip(found.counts, found.geometric(measure), strict=True):
        paths = float(count) if measure == "published" else float(count) ** 0.5
        points.append(estimate_point(total, 1 / paths) if total.low > 0 else None)
    return points


def drawn_uniformly(found: PathGradients) -> list[Point | None]:
    """The paper's procedure, with 1.96 standard errors."""
    points: list[Point | None] = []
    for mean, error in zip(found.uniform, found.uniform_error, strict=True):
        value, half = mean or 0.0, 1.96 * (error or 0.0)
        points.append((value, value - half, value + half) if value > half else None)
    return points


def factor_words(found: PathGradients) -> str:
    """The range of local factors."""
    factors = [factor.value for factor in found.local_factors()]
    return f"{min(factors):.2f}-{max(factors):.2f}"


def figure_6b(setting: Setting, values: Values) -> Result:
    """Gradient norm of a single path against its length."""
    n, found = setting.member(RESIDUAL).units, values.each(RESIDUAL, gradients(setting))
    control = values.each(CONTROL, gradients(setting, CONTROL))
    trained, initial = (listed(map(factor_words, some)) for some in (found, control))
    untrained = verdicts.unanimous(verdicts.decays(one.local_factors()) for one in control)
    return Result(
        "figure 6b",
        "How gradient decays along a path",
        f"Each further unit on a path multiplies its gradient by {trained} (least and largest "
        f"local factor, {setting.seed_words}); in the untrained network by {initial}.",
        Claim(
            "The gradient of a path decays roughly exponentially with the number of units it "
            "passes through.",
            "roughly exponential decay over 54 units (read off the figure)",
            f"local factors {trained} a unit; untrained control {initial} ({untrained})",
            decided(setting, values, lambda one: verdicts.decays(one.local_factors())),
            "local factors over windows of 3 units: all simultaneous upper bounds below 1, and "
            "the largest at most twice the smallest, for every seed",
        ),
        Figure(PATH_LENGTH, "gradient norm at the image", _decay(found, control), log_y=True),
        n=f"{_measured_on(setting, n)}; single paths drawn with equal chances: "
        f"{setting.scale.samples} of each length, batches of 8 in turn",
    )


def _decay(found: Sequence[PathGradients], control: Sequence[PathGradients]) -> tuple[Series, ...]:
    curves = {
        "mean norm of a path": [single_paths(one, "published") for one in found],
        "root mean square norm": [single_paths(one, "orthogonal") for one in found],
        "drawn with equal chances (arithmetic mean)": [drawn_uniformly(one) for one in found],
        "untrained, mean norm": [single_paths(one, "published") for one in control],
    }
    lengths = range(len(found[0].counts))
    words = [f"length {k}" for k in lengths]
    return tuple(
        mean_over_seeds(name, lengths, points, words, geometric)
        for name, points in curves.items()
        if any(point for one in points for point in one)
    )


def _measured_on(setting: Setting, units: int) -> str:
    scale = setting.scale
    return (
        f"{scale.gradient_examples} training images; splitting with {scale.particles} paths of "
        f"each length, {scale.replicates} times; {setting.seed_words}; geometric means over "
        f"images, 95 % intervals; n = {units} units"
    )


MEASURES: dict[Measure, str] = {
    "published": "published: count x mean norm",
    "orthogonal": "as if orthogonal",
    "exact": "exact: norm of G_k",
}


def figure_6c(setting: Setting, values: Values) -> Result:
    """Total gradient by path length: the published measure and the exact one."""
    n, found = setting.member(RESIDUAL).units, values.each(RESIDUAL, gradients(setting))
    control = values.each(CONTROL, gradients(setting, CONTROL))
    ranges = {m: [one.effective(m) for one in found] for m in MEASURES}
    words = {m: _ranges(some) for m, some in ranges.items()}
    middles = map(_middle, found)
    k = len(found[0].counts) // 2
    shortest, longest = (end * n / PAPER_UNITS for end in EFFECTIVE)
    ratios = listed(estimate_words(one.ratio("exact", "published", k)) for one in found)
    paper = f"{shortest:.1f}-{longest:.1f}"
    spans = [_span(ranges[m], m) for m in ("published", "exact")]
    return Result(
        "figure 6c",
        "Where the gradient comes from",
        f"95 % of the gradient comes from paths of length {words['published']} by the published "
        f"measure and {words['exact']} by the exact one (n = {n}, {setting.seed_words}; the "
        f"paper's 5-17 of 54 scale to {paper}); at length {k} the gradient that arrives is "
        f"{ratios} of the sum of norms. Untrained: "
        f"{_ranges([one.effective('published') for one in control])}.",
        Claim(
            "Almost all of the gradient comes from paths of 5 to 17 units, short against the 54 "
            "there are.",
            f"5-17 of 54 (scaled to {n}: {paper}), 0.45 % of all paths",
            "; ".join(f"{measure}: {word} of {n}" for measure, word in words.items())
            + f"; middle {listed(map(estimate_words, middles))}",
            decided(setting, values, lambda one: verdicts.short_paths(_middle(one), n)),
            "the middle of the published measure's 95 % range lies below 0.45 n with its whole "
            "bootstrap interval over images and replicates, for every seed",
        ),
        Figure(
            PATH_LENGTH,
            "share of the measure's total (%)",
            tuple(_total_series(found, measure) for measure in MEASURES),
            spans=(*spans, Span(shortest, longest, f"paper's 5-17 of 54, scaled: {paper}")),
        ),
        Table(TOTALS, tuple(_total_row(found, measure) for measure in MEASURES)),
        _measured_on(setting, n),
        _notes(found, k),
    )


def _notes(found: Sequence[PathGradients], k: int) -> tuple[str, ...]:
    """What the measures are, and how many images stand behind means at length k."""
    few = min(one.arithmetic("published")[k].n for one in found)
    orthogonal = listed(estimate_words(one.ratio("exact", "orthogonal", k)) for one in found)
    return (
        "The published measure adds norms, as if all paths pointed the same way; the exact one is "
        "the norm of the sum.",
        f"At length {k} the exact total is {orthogonal} times that of orthogonal paths.",
        f"A few images carry arithmetic means: at length {k} as many as {few:.1f} of {found[0].n} "
        "would, if they counted alike.",
    )


TOTALS = ("measure", "95 % range", "share of all paths in it", "range by arithmetic means")


def _middle(found: PathGradients) -> Estimate:
    """Of the published measure's effective range."""
    return found.effective_interval("published").middle


def _ranges(ranges: Sequence[tuple[int, int]]) -> str:
    return listed(f"{first}-{last}" for first, last in ranges)


def _span(ranges: Sequence[tuple[int, int]], measure: Measure) -> Span:
    """Over seeds: the middle one of the first lengths and of the last."""
    first, last = (sorted(ends)[len(ranges) // 2] for ends in zip(*ranges, strict=True))
    return Span(first, last, f"95 %, {measure}: {_ranges(ranges)}")


def shares(found: PathGradients, measure: Measure) -> list[Point | None]:
    """Of every length in the measure's total, in percent: geometric means over examples of their
    own shares; none where a single example has one, which has no interval."""
    totals = found.per_example(measure)
    totals = totals[totals.sum(1) > 0]
    means = [geometric_mean(column) for column in (totals / totals.sum(1, keepdims=True)).T]
    whole = sum(mean.value for mean in means)
    return [estimate_point(mean, 100 / whole) if mean.n != 1 else None for mean in means]


def _total_series(found: Sequence[PathGradients], measure: Measure) -> Series:
    lengths = range(len(found[0].counts))
    words = [f"length {k}, % of the {measure} total" for k in lengths]
    return mean_over_seeds(
        MEASURES[measure], lengths, [shares(one, measure) for one in found], words
    )


def _total_row(found: Sequence[PathGradients], measure: Measure) -> tuple[str, str, str, str]:
    ranges = [one.effective(measure) for one in found]
    counts = found[0].counts
    inside = [float(Fraction(sum(counts[a : b + 1]), sum(counts))) for a, b in ranges]
    arithmetic = _ranges([one.effective(measure, mean="arithmetic") for one in found])
    return MEASURES[measure], _ranges(ranges), listed(percent(i, 4) for i in inside), arithmetic


def text_numbers(setting: Setting, values: Values) -> Result:
    """The numbers that stand in the paper's text."""
    member = setting.member(RESIDUAL)
    intact = [found.intact for found in values.each(RESIDUAL, each_unit(setting))]
    central = percent(float(share(PAPER_UNITS, *CENTRAL)))
    effective = percent(float(share(PAPER_UNITS, *EFFECTIVE)), 4)
    counts, remaining = f"{central}; {effective}", f"2^44, {2.0**-10:.2e}"
    ranges = [f.effective("published") for f in values.each(RESIDUAL, gradients(setting))]
    errors = listed(intact)
    ours = f"{errors}, {setting.data}, {member.preset}, {setting.seed_words}"
    same = member.preset == "preresnet110"
    scale = "same network" if same else "another network or data: not one scale"
    wrong = "the factor in the text is wrong: 2^44 / 2^54 = 2^-10"
    measured = f"{_ranges(ranges)} of {member.units}"
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
        n=f"exact but for the last two rows; {intact[0].n} test images; {setting.seed_words}",
    )


GRADIENT_ITEMS = (
    Item("figure 6b", gradients_needed, figure_6b),
    Item("figure 6c", gradients_needed, figure_6c),
)
TEXT_ITEM = Item(
    "numbers in the text",
    lambda setting: [(RESIDUAL, each_unit(setting)), (RESIDUAL, gradients(setting))],
    text_numbers,
)
