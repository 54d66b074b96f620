"""Veit, Wilber, Belongie 2016: residual networks behave like ensembles of relatively shallow networks.

One function a figure, each from measured networks to a `Result` with the paper's value beside ours. Errors in percent.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import comb, log
from statistics import median

import numpy as np

from ..anatomy import PathGradients, delete_each, delete_random, path_gradients, reorder_random
from ..anatomy.measures import Deletion
from ..anatomy.paths import Paths
from ..anatomy.statistics import Rate, Spread
from ..results import Claim, Figure, Result, Series, Span, Table
from .scales import Scale
from .subject import Subject

PAPER_UNITS = 54
EFFECTIVE = (5, 17)
CENTRAL = (19, 35)
Lesions = tuple[Rate, list[Deletion]]


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


# ---- figure 3: delete one unit ----


def lesions_of_each(subject: Subject) -> Lesions:
    """The intact error and every single deletion; also for the map of units."""
    return delete_each(subject.network, subject.test)


def figure_3(subjects: Sequence[Subject], lesions: Sequence[Lesions]) -> Result:
    """Error after deleting each layer of VGG, of the plain twin, and each unit of the residual network."""
    series, lines, rows = [], [], []
    for subject, (intact, deletions) in zip(subjects, lesions, strict=True):
        last = max(1, len(deletions) - 1)
        series.append(
            Series(
                f"{subject.name} ({subject.role})",
                tuple(round(d.deleted[0] / last, 4) for d in deletions),
                tuple(100 * d.error.value for d in deletions),
                tuple(100 * d.error.interval[0] for d in deletions),
                tuple(100 * d.error.interval[1] for d in deletions),
                tuple(_label(subject, d) for d in deletions),
            )
        )
        series.append(Series(f"{subject.name} intact", (0, 1), (100 * intact.value,) * 2, style="level"))
        changes = [d.change.value for d in deletions]
        worst = deletions[int(np.argmax(changes))]
        rows.append(
            (
                subject.name,
                len(deletions),
                percent(intact.value),
                percent(median(changes)),
                f"{percent(worst.change.value)} (unit {worst.deleted[0]})",
                sum(d.change.p_value < 0.05 / len(deletions) for d in deletions),
            )
        )
        lines.append(f"{subject.name}: median {100 * median(changes):+.1f} points, worst {100 * max(changes):+.1f}")
    residual, vgg = lesions[0], lesions[-1]
    chance = 1 - 1 / len(subjects[0].run.data.classes)
    broken = [d.error.value for d in vgg[1]]
    held = [d.change.value for d in residual[1]]
    ok = median(held) <= 0.02 and median(broken) >= 0.8 * chance
    trained = residual[0].value < 0.5 * chance and vgg[0].value < 0.5 * chance
    return Result(
        "figure 3",
        "Deleting a single unit",
        f"Deleting one unit changes the error by {100 * median(held):+.2f} points (median of {len(held)} units) in "
        f"{subjects[0].name} and by {100 * median(d.change.value for d in vgg[1]):+.1f} points in {subjects[-1].name}.",
        Claim(
            "Deleting any layer takes VGG to chance; deleting a unit of a residual network has a minimal effect, a "
            "slightly larger one where the resolution changes.",
            f"VGG: chance, {percent(0.9, 0)} error, for every layer; residual: no noticeable change but for the "
            "downsampling units (read off the figure)",
            "; ".join(lines),
            _verdict(ok, trained),
            "median change of the residual network at most 2 points, and median error of the broken VGG at least 0.8 of "
            "chance; decidable where both networks have less than half the error of chance",
        ),
        Figure("position of the deleted unit (0 first, 1 last)", "test error (%)", tuple(series)),
        Table(("network", "units", "intact", "median change", "worst change", "significant (Bonferroni)"), tuple(rows)),
        f"{residual[0].n} test pictures, the same for every deletion; Wilson 95 % intervals; McNemar's test",
    )


def _label(subject: Subject, deletion: Deletion) -> str:
    low, high = deletion.error.interval
    return (
        f"{subject.name}, unit {deletion.deleted[0]}: error {percent(deletion.error.value)} "
        f"[{percent(low)}, {percent(high)}], change {100 * deletion.change.value:+.2f} points"
    )


# ---- figure 5: delete many, reorder ----


def figure_5a(subject: Subject, scale: Scale, seed: int = 0) -> Result:
    """Error against the number of units deleted at random."""
    n = subject.units
    counts = sorted({round(n * share / 20) for share in range(11)} | {round(n * 10 / PAPER_UNITS), 1})
    examples = subject.test.spread(scale.draws_examples)
    intact, _, spreads = delete_random(subject.network, examples, counts, scale.repeats, seed)
    series = _spread_series(f"{subject.name}, {scale.repeats} random subsets each", counts, spreads)
    at_ten = round(n * 10 / PAPER_UNITS)
    at_twenty = round(n * 20 / PAPER_UNITS)
    near = min(counts, key=lambda k: abs(k - at_twenty))
    rank = _spearman(counts, [spreads[k].mean for k in counts])
    ten, twenty = spreads[at_ten], spreads[near]
    finding = (
        f"Deleting {at_ten} of {n} units at random gives {_spread(ten)} error, {near} units {_spread(twenty)}, "
        f"from {percent(intact.value)} intact; rank correlation with the number deleted {rank:.3f}."
    )
    return Result(
        "figure 5a",
        "Deleting many units",
        finding,
        Claim(
            "The error rises smoothly with the number of deleted units, as that of an ensemble would.",
            "error about 20 % with 10 of 54 units deleted, a severe drop of performance by 20",
            f"{_spread(ten)} with {at_ten} of {n}, {_spread(twenty)} with {near}; Spearman {rank:.3f}",
            _verdict(rank >= 0.95 and ten.mean < 0.5 * (1 - 1 / len(subject.run.data.classes)), intact.value < 0.45),
            "Spearman correlation of mean error and number deleted at least 0.95, and less than half of chance at "
            "10/54 of the units",
        ),
        Figure(f"units deleted of {n}", "test error (%)", (series, _level(subject, intact, 0, counts[-1]))),
        n=f"{len(examples.targets)} test pictures, {scale.repeats} subsets of each size, seed {seed}; "
        "mean and Student 95 % interval over subsets",
    )


def figure_5b(subject: Subject, scale: Scale, seed: int = 0) -> Result:
    """Error against Kendall's tau after swapping random pairs of units of the same shape."""
    n = subject.units
    swaps = sorted({1, 2, 3, 5, 8, 12, max(1, n // 3), n})
    examples = subject.test.spread(scale.draws_examples)
    intact, drawn = reorder_random(subject.network, examples, swaps, scale.repeats, seed)
    taus, errors = [r.tau for r in drawn], [r.error.value for r in drawn]
    rank = _spearman(taus, errors)
    points = Series(
        f"{subject.name}, one order each",
        tuple(round(t, 4) for t in taus),
        tuple(100 * e for e in errors),
        labels=tuple(f"{r.swaps} swaps, tau {r.tau:.3f}: error {percent(r.error.value)}" for r in drawn),
        style="points",
    )
    spreads = [Spread(tuple(r.error.value for r in drawn if r.swaps == k)) for k in swaps]
    ordered = sorted(drawn, key=lambda r: -r.tau)
    grouped = [ordered[i : i + scale.repeats] for i in range(0, len(ordered), scale.repeats)]
    binned = [Spread(tuple(r.error.value for r in group)) for group in grouped]
    means = Series(
        f"mean of {scale.repeats} neighbouring orders",
        tuple(round(float(np.mean([r.tau for r in group])), 4) for group in grouped),
        tuple(100 * s.mean for s in binned),
        tuple(100 * max(0.0, s.interval[0]) for s in binned),
        tuple(100 * min(1.0, s.interval[1]) for s in binned),
        tuple(f"{len(s.values)} orders: {_spread(s)}" for s in binned),
    )
    return Result(
        "figure 5b",
        "Reordering units",
        f"One swapped pair of units gives {_spread(spreads[0])} error, {swaps[-1]} swaps {_spread(spreads[-1])}, from "
        f"{percent(intact.value)} in the trained order; rank correlation of error and tau {rank:.3f}.",
        Claim(
            "The error rises smoothly as the order of the units moves away from the trained one.",
            "a smooth rise as Kendall's tau falls from 1 (read off the figure)",
            f"Spearman correlation of tau and error {rank:.3f} over {len(drawn)} orders",
            _verdict(rank <= -0.7, intact.value < 0.45),
            "Spearman correlation of tau and error at most -0.7",
        ),
        Figure(
            "Kendall's tau against the trained order, over all units (those that never move included)",
            "test error (%)",
            (points, means, _level(subject, intact, min(taus), 1)),
            reverse_x=True,
        ),
        n=f"{len(examples.targets)} test pictures, {scale.repeats} orders of each number of swaps, seed {seed}; mean and "
        "Student 95 % interval over orders",
    )


# ---- figures 6a and 7, the numbers of the text: exact ----


def figure_6a() -> Result:
    """The distribution of path lengths of 54 units: binomial."""
    paths = _binomial(PAPER_UNITS)
    inside = paths.share(*CENTRAL)
    shares = paths.distribution()
    return Result(
        "figure 6a",
        "How long paths are",
        f"{percent(float(inside))} of the 2^{PAPER_UNITS} paths of {PAPER_UNITS} units take {CENTRAL[0]} to {CENTRAL[1]} "
        f"of them; the mean length is {float(paths.mean):g}.",
        Claim(
            "Path lengths are binomial; more than 95 % of the paths through 54 units take 19 to 35 of them.",
            "more than 95 %",
            percent(float(inside)),
            "exact",
            "exact integers: the sum of C(54, k) over k = 19..35, over 2^54",
        ),
        Figure(
            "path length (units taken)",
            "share of all paths (%)",
            (_bars("54 units", shares),),
            spans=(Span(*CENTRAL, f"{CENTRAL[0]}-{CENTRAL[1]}: {percent(float(inside))}"),),
        ),
        n="exact",
    )


def figure_7() -> Result:
    """Eq. 8: which paths are left after deleting 1, 10 and 20 of 54 units."""
    series, rows = [], []
    for d in (1, 10, 20):
        left = [Fraction(comb(PAPER_UNITS - d, x), comb(PAPER_UNITS, x)) for x in range(PAPER_UNITS + 1)]
        lengths = tuple(range(PAPER_UNITS + 1))
        labels = tuple(f"length {x}: {percent(float(v))} left" for x, v in enumerate(left))
        series.append(Series(f"{d} deleted", lengths, tuple(100 * float(v) for v in left), labels=labels))
        rows.append((d, *(f"{float(left[x]):.3f}" for x in (5, 11, 17, 27))))
    kept = Fraction(comb(44, 5), comb(54, 5)), Fraction(comb(44, 17), comb(54, 17))
    return Result(
        "figure 7",
        "Which paths a deletion takes away",
        f"After deleting 10 of 54 units {percent(float(kept[0]), 1)} of the paths of length 5 are left and "
        f"{percent(float(kept[1]), 1)} of those of length 17.",
        Claim(
            "Deleting units removes mostly long paths: C(n-d, x) / C(n, x) of those of length x remain (eq. 8).",
            "the curves of eq. 8 for d = 1, 10, 20",
            f"d = 10: {float(kept[0]):.3f} at length 5, {float(kept[1]):.3f} at 17",
            "exact",
        ),
        Figure(
            "path length (units taken)",
            "paths left (%)",
            tuple(series),
            spans=(Span(*EFFECTIVE, "paper's effective paths"),),
        ),
        Table(("deleted", "left at 5", "at 11", "at 17", "at 27"), tuple(rows)),
        "exact",
    )


def text_numbers(subject: Subject, intact: Rate, gradients: PathGradients) -> Result:
    """The numbers that stand in the paper's text."""
    paths, name = _binomial(PAPER_UNITS), subject.name
    central, effective = percent(float(paths.share(*CENTRAL))), percent(float(paths.share(*EFFECTIVE)), 4)
    low, high = intact.interval
    left = Fraction(_binomial(PAPER_UNITS - 10).total, paths.total)
    first, last = gradients.effective("published")
    ours = f"{percent(intact.value)} [{percent(low)}, {percent(high)}], {subject.run.data.name}, {name}"
    scale = "same network" if name == "preresnet110" else "another network or data: not one scale"
    wrong = "the factor in the text is wrong: 2^44 / 2^54 = 2^-10"
    rows = (
        ("paths of length 19-35, 54 units (sec. 5)", "> 95 %", central, "exact"),
        ("paths of length 5-17, 54 units (sec. 5)", "0.45 %", effective, "exact"),
        ("paths left after 10 of 54 deletions (sec. 4.2)", "2^44, about 1e-6", f"2^44, {float(left):.2e}", wrong),
        (
            "effective paths, published measure (sec. 5)",
            "5-17 of 54",
            f"{first}-{last} of {subject.units}",
            "95 % of c_k m_k",
        ),
        ("error of the whole network (sec. 5)", "6.10 %, CIFAR-10, 110 layers", ours, scale),
    )
    return Result(
        "numbers in the text",
        "Numbers in the text",
        f"Of the paths through 54 units {central} have length 19-35 and {effective} length 5-17; ten deletions leave "
        f"{float(left):.1e} of them, not the 1e-6 of the text.",
        Claim("The counts that the argument rests on.", "> 95 %; 0.45 %", f"{central}; {effective}", "exact"),
        table=Table(("quantity", "paper", "ours", "remark"), rows),
        n=f"exact but for the last two rows; {intact.n} test pictures",
    )


# ---- figure 6b, 6c: gradient by path length ----


def gradients_of(subject: Subject, scale: Scale, seed: int = 0) -> PathGradients:
    """All measures, on training pictures without augmentation (the paper: random training batches)."""
    images, labels = subject.train.inputs, subject.train.targets
    return path_gradients(subject.network, images, labels, scale.samples, draws=scale.signed_draws, seed=seed)


def figure_6b(subject: Subject, gradients: PathGradients, seed: int = 0) -> Result:
    """Gradient norm of a single path against its length."""
    name = f"mean norm of a path, {gradients.samples} sampled of each length"
    sampled = _estimated(name, gradients.mean, gradients.mean_error)
    name = f"root mean square norm, signed sweep, {gradients.draws} draws"
    signed = _estimated(name, gradients.rms, gradients.rms_error)
    usable = [(k, log(v)) for k, v in enumerate(gradients.mean) if k and v > 0]
    slope, fit = _line(usable)
    factor = float(np.exp(slope))
    return Result(
        "figure 6b",
        "How gradient decays along a path",
        f"Each further unit on a path multiplies its gradient by {factor:.2f} on average "
        f"(log-linear fit over lengths 1-{subject.units}, R² {fit:.3f}).",
        Claim(
            "The gradient of a path decays roughly exponentially with the number of units it passes through.",
            "roughly exponential decay over 54 units (read off the figure)",
            f"factor {factor:.2f} a unit, R² {fit:.3f}",
            _verdict(factor < 1 and fit >= 0.9),
            "a factor below 1 and R² of the log-linear fit at least 0.9",
        ),
        Figure("path length (units taken)", "gradient norm at the picture", (sampled, signed), log_y=True),
        n=f"{gradients.samples} paths of each length, batches of 8 in turn; signed sweep on {gradients.n} pictures, "
        f"{gradients.draws} draws; seed {seed}; 95 % intervals over paths and draws",
    )


def figure_6c(subject: Subject, gradients: PathGradients) -> Result:
    """Total gradient by path length: the published measure and the exact one."""
    lengths = tuple(range(len(gradients.counts)))
    names = {
        "published": "published: count x mean norm",
        "orthogonal": "as if orthogonal",
        "exact": "exact: norm of G_k",
    }
    series, rows, spans = [], [], []
    ranges = {}
    for measure, name in names.items():
        total = np.nan_to_num(np.array(gradients.total(measure)))  # type: ignore[arg-type]
        share = 100 * total / max(total.sum(), 1e-300)
        first, last = ranges[measure] = gradients.effective(measure)  # type: ignore[arg-type]
        inside = float(Fraction(sum(gradients.counts[first : last + 1]), sum(gradients.counts)))
        labels = tuple(f"length {k}: {s:.2f} % of the {measure} total" for k, s in enumerate(share))
        half = 1.96 * np.array([float(c) for c in gradients.counts]) * np.array(gradients.mean_error)
        half *= 100 / max(total.sum(), 1e-300)
        published = measure == "published"
        low = tuple(np.maximum(0, share - half).tolist()) if published else ()
        high = tuple((share + half).tolist()) if published else ()
        series.append(Series(name, lengths, tuple(share.tolist()), low, high, labels))
        rows.append((name, f"{first}-{last}", percent(inside, 4), f"{total.sum():.3g}"))
        if measure != "orthogonal":
            spans.append(Span(first, last, f"95 %, {measure}: {first}-{last}"))
    middle = len(gradients.counts) // 2
    ratio = gradients.exact[middle] / max(gradients.total("published")[middle], 1e-300)
    orthogonal = gradients.exact_rms[middle] / max(gradients.total("orthogonal")[middle], 1e-300)
    n = subject.units
    (first, last), (a, b) = ranges["published"], ranges["exact"]
    shallow = (first + last) / 2 < 0.45 * n
    return Result(
        "figure 6c",
        "Where the gradient comes from",
        f"95 % of the gradient comes from paths of length {first}-{last} by the published measure and {a}-{b} by the exact "
        f"one (n = {n}); at length {middle} the gradient that really arrives is {ratio:.2g} of the sum of norms.",
        Claim(
            "Almost all of the gradient comes from paths of 5 to 17 units, short against the 54 there are.",
            "5-17 of 54, 0.45 % of all paths",
            "; ".join(f"{m}: {k}-{j} of {n}" for m, (k, j) in ranges.items()),
            _verdict(shallow),
            "the middle of the published measure's 95 % range lies below 0.45 n, that is, clearly below the mean length",
        ),
        Figure("path length (units taken)", "share of the measure's total (%)", tuple(series), spans=tuple(spans)),
        Table(("measure", "95 % range", "share of all paths in it", "total (norm)"), tuple(rows)),
        f"{gradients.n} training pictures (exact), {gradients.samples} paths of each length (published), "
        f"{gradients.draws} draws (orthogonal); 95 % interval of the published measure over sampled paths",
        (
            "The published measure adds norms, as if all paths pointed the same way; the exact one is the norm of the sum.",
            f"At length {middle} the exact total is {orthogonal:.2f} times that of orthogonal paths (root mean squares).",
        ),
    )


# ---- helpers of this file: series and words ----


def _binomial(n: int) -> Paths:
    return Paths(tuple(comb(n, k) for k in range(n + 1)), n)


def _bars(name: str, shares: Sequence[float]) -> Series:
    labels = tuple(f"length {k}: {100 * s:.4f} %" for k, s in enumerate(shares))
    return Series(name, tuple(range(len(shares))), tuple(100 * s for s in shares), labels=labels, style="bars")


def _level(subject: Subject, intact: Rate, first: float, last: float) -> Series:
    return Series(f"{subject.name} intact", (first, last), (100 * intact.value,) * 2, style="level")


def _spread_series(name: str, counts: Sequence[int], spreads: dict[int, Spread]) -> Series:
    low = tuple(100 * max(0.0, spreads[k].interval[0]) for k in counts)
    high = tuple(100 * min(1.0, spreads[k].interval[1]) for k in counts)
    labels = tuple(f"{k} deleted: {_spread(spreads[k])}" for k in counts)
    return Series(name, tuple(counts), tuple(100 * spreads[k].mean for k in counts), low, high, labels)


def _estimated(name: str, values: Sequence[float], errors: Sequence[float]) -> Series:
    """By length, with 1.96 standard errors on either side, for a logarithmic axis."""
    low, high = (tuple(_positive(v + side * e) for v, e in zip(values, errors, strict=True)) for side in (-1.96, 1.96))
    return Series(name, tuple(range(len(values))), tuple(_positive(v) for v in values), low, high)


def _spread(spread: Spread) -> str:
    low, high = spread.interval
    return f"{100 * spread.mean:.1f} % [{100 * max(0.0, low):.1f}, {100 * min(1.0, high):.1f}]"


def _verdict(holds: bool, decidable: bool = True):
    return ("reproduced" if holds else "not reproduced") if decidable else "not decidable at this scale"


def _spearman(a: Sequence[float], b: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    if len(set(b)) < 2 or len(set(a)) < 2:
        return 0.0
    return float(spearmanr(a, b)[0])  # type: ignore[arg-type]


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and R^2 of a least-squares line."""
    if len(points) < 3:
        return 0.0, 0.0
    x, y = np.array(points).T
    slope, intercept = np.polyfit(x, y, 1)
    residual = ((y - slope * x - intercept) ** 2).sum()
    return float(slope), float(1 - residual / max(((y - y.mean()) ** 2).sum(), 1e-300))


def _positive(value: float) -> float | None:
    """For a logarithmic axis: None where there is nothing to draw."""
    return value if value > 0 and np.isfinite(value) else None
