"""Veit, Wilber, Belongie 2016: residual networks behave like ensembles of shallow networks.

The items where units are deleted and reordered; those about paths are in `veit2016_paths`.
"""

from collections.abc import Sequence
from statistics import median

import numpy as np

from ..anatomy.measures import Deletion, Reordering
from ..anatomy.statistics import Spread
from ..experiments.probe import Deletions, Probe, Reorderings, delete_random, reorder
from ..results import Claim, Figure, Result, Series, Table
from .curves import level, percent, rate_words, spearman, spread_series, spread_words, verdict
from .he2015 import LAYER_RESPONSES, LEARNING_CURVES
from .huang2016 import FIRST_LAYER_GRADIENT
from .scales import veit_trials
from .study import RESIDUAL, VGG, Item, Member, Need, Paper, Setting, Values, each_unit
from .veit2016_paths import PAPER_UNITS, PATH_ITEMS

# ---- figure 3: delete one unit ----


def each_needed(setting: Setting) -> list[Need]:
    return [(member.role, each_unit(setting)) for member in setting.members]


def figure_3(setting: Setting, values: Values) -> Result:
    """Error after deleting each unit: of the residual network, its plain twin and VGG."""
    lesions = [values.of(member.role, each_unit(setting)) for member in setting.members]
    series, lines, rows = [], [], []
    for member, found in zip(setting.members, lesions, strict=True):
        series += [_each_series(member, found), level(member.preset, found.intact, 0, 1)]
        rows.append(_each_row(member, found))
        changes = [100 * d.change.value for d in found.each]
        words = f"median {median(changes):+.1f} points, worst {max(changes):+.1f}"
        lines.append(f"{member.preset}: {words}")
    residual, vgg = lesions[0], lesions[-1]
    held = [d.change.value for d in residual.each]
    broken = median(d.error.value for d in vgg.each)
    ok = median(held) <= 0.02 and broken >= 0.8 * setting.chance
    trained = max(residual.intact.value, vgg.intact.value) < 0.5 * setting.chance
    lost = median(d.change.value for d in vgg.each)
    first, last = setting.member(RESIDUAL).preset, setting.member(VGG).preset
    return Result(
        "figure 3",
        "Deleting a single unit",
        f"Deleting one unit changes the error by {100 * median(held):+.2f} points (median of "
        f"{len(held)} units) in {first} and by {100 * lost:+.1f} points in {last}.",
        Claim(
            "Deleting any layer takes VGG to chance; deleting a unit of a residual network has a "
            "minimal effect, a slightly larger one where the resolution changes.",
            f"VGG: chance, {percent(0.9, 0)} error, for every layer; residual: no noticeable "
            "change but for the downsampling units (read off the figure)",
            "; ".join(lines),
            verdict(ok, trained),
            "median change of the residual network at most 2 points, and median error of the "
            "broken VGG at least 0.8 of chance; decidable where both networks have less than half "
            "the error of chance",
        ),
        Figure("position of the deleted unit (0 first, 1 last)", "test error (%)", tuple(series)),
        Table(tuple(DELETED.split(", ")), tuple(rows)),
        f"{residual.intact.n} test images, the same for every deletion; Wilson 95 % intervals; "
        "McNemar's test",
    )


DELETED = "network, units, intact, median change, worst change, significant (Bonferroni)"


def _each_series(member: Member, found: Deletions) -> Series:
    last = max(1, len(found.each) - 1)
    return Series(
        f"{member.preset} ({member.role})",
        tuple(round(d.deleted[0] / last, 4) for d in found.each),
        tuple(100 * d.error.value for d in found.each),
        tuple(100 * d.error.interval[0] for d in found.each),
        tuple(100 * d.error.interval[1] for d in found.each),
        tuple(_label(member, d) for d in found.each),
    )


def _label(member: Member, deletion: Deletion) -> str:
    where, change = f"{member.preset}, unit {deletion.deleted[0]}", 100 * deletion.change.value
    return f"{where}: error {rate_words(deletion.error)}, change {change:+.2f} points"


def _each_row(member: Member, found: Deletions) -> tuple[str | int, ...]:
    changes = [d.change.value for d in found.each]
    worst = found.each[int(np.argmax(changes))]
    return (
        member.preset,
        len(changes),
        percent(found.intact.value),
        percent(median(changes)),
        f"{percent(worst.change.value)} (unit {worst.deleted[0]})",
        sum(d.change.p_value < 0.05 / len(changes) for d in found.each),
    )


# ---- figure 5a: delete many units ----


def _random_counts(units: int) -> tuple[int, ...]:
    """Up to half of the units, and as large a part as 10 of the paper's 54."""
    half = {round(units * share / 20) for share in range(11)}
    return tuple(sorted(half | {round(units * 10 / PAPER_UNITS), 1}))


def random_units(setting: Setting) -> Probe[Deletions]:
    scale, counts = setting.scale, _random_counts(setting.member(RESIDUAL).units)
    return delete_random(counts, scale.repeats, setting.seed, scale.draws_examples)


def figure_5a(setting: Setting, values: Values) -> Result:
    """Error against the number of units deleted at random."""
    member, repeats = setting.member(RESIDUAL), setting.scale.repeats
    n, counts = member.units, _random_counts(member.units)
    found = values.of(RESIDUAL, random_units(setting))
    drawn = {k: [d.error.value for d in found.each if len(d.deleted) == k] for k in counts}
    spreads = {k: Spread(tuple(errors)) for k, errors in drawn.items()}
    name = f"{member.preset}, {repeats} random subsets each"
    what = [f"{k} deleted" for k in counts]
    curve = spread_series(name, counts, list(spreads.values()), what)
    at_ten, at_twenty = (round(n * part / PAPER_UNITS) for part in (10, 20))
    near = min(counts, key=lambda k: abs(k - at_twenty))
    rank = spearman(counts, [s.mean for s in spreads.values()])
    ten, twenty = spreads[at_ten], spreads[near]
    intact = level(member.preset, found.intact, 0, counts[-1])
    return Result(
        "figure 5a",
        "Deleting many units",
        f"Deleting {at_ten} of {n} units at random gives {spread_words(ten)} error, {near} units "
        f"{spread_words(twenty)}, from {percent(found.intact.value)} intact; rank correlation "
        f"with the number deleted {rank:.3f}.",
        Claim(
            "The error rises smoothly with the number of deleted units, as that of an ensemble "
            "would.",
            "error about 20 % with 10 of 54 units deleted, a severe drop of performance by 20",
            f"{spread_words(ten)} with {at_ten} of {n}, {spread_words(twenty)} with {near}; "
            f"Spearman {rank:.3f}",
            verdict(rank >= 0.95 and ten.mean < 0.5 * setting.chance, found.intact.value < 0.45),
            "Spearman correlation of mean error and number deleted at least 0.95, and less than "
            "half of chance at 10/54 of the units",
        ),
        Figure(f"units deleted of {n}", "test error (%)", (curve, intact)),
        n=f"{found.intact.n} test images, {repeats} subsets of each size, seed {setting.seed}; "
        "mean and Student 95 % interval over subsets",
    )


# ---- figure 5b: reorder ----


def _swaps(units: int) -> tuple[int, ...]:
    return tuple(sorted({1, 2, 3, 5, 8, 12, max(1, units // 3), units}))


def orders(setting: Setting) -> Probe[Reorderings]:
    scale, swaps = setting.scale, _swaps(setting.member(RESIDUAL).units)
    return reorder(swaps, scale.repeats, setting.seed, scale.draws_examples)


def figure_5b(setting: Setting, values: Values) -> Result:
    """Error against Kendall's tau after swapping random pairs of units of the same shape."""
    member, repeats = setting.member(RESIDUAL), setting.scale.repeats
    swaps, found = _swaps(member.units), values.of(RESIDUAL, orders(setting))
    drawn = found.orders
    taus = [r.tau for r in drawn]
    rank = spearman(taus, [r.error.value for r in drawn])
    ends = ([r.error.value for r in drawn if r.swaps == k] for k in (swaps[0], swaps[-1]))
    least, most = (spread_words(Spread(tuple(errors))) for errors in ends)
    points, means = _order_series(member.preset, drawn, repeats)
    return Result(
        "figure 5b",
        "Reordering units",
        f"One swapped pair of units gives {least} error, {swaps[-1]} swaps {most}, from "
        f"{percent(found.intact.value)} in the trained order; rank correlation of error and tau "
        f"{rank:.3f}.",
        Claim(
            "The error rises smoothly as the order of the units moves away from the trained one.",
            "a smooth rise as Kendall's tau falls from 1 (read off the figure)",
            f"Spearman correlation of tau and error {rank:.3f} over {len(drawn)} orders",
            verdict(rank <= -0.7, found.intact.value < 0.45),
            "Spearman correlation of tau and error at most -0.7",
        ),
        Figure(
            "Kendall's tau against the trained order, over all units (those that never move "
            "included)",
            "test error (%)",
            (points, means, level(member.preset, found.intact, min(taus), 1)),
            reverse_x=True,
        ),
        n=f"{found.intact.n} test images, {repeats} orders of each number of swaps, seed "
        f"{setting.seed}; mean and Student 95 % interval over orders",
    )


def _order_series(name: str, drawn: Sequence[Reordering], repeats: int) -> tuple[Series, Series]:
    """Each order as a point, and means over neighbours in tau."""
    points = Series(
        f"{name}, one order each",
        tuple(round(r.tau, 4) for r in drawn),
        tuple(100 * r.error.value for r in drawn),
        labels=tuple(
            f"{r.swaps} swaps, tau {r.tau:.3f}: error {percent(r.error.value)}" for r in drawn
        ),
        style="points",
    )
    ordered = sorted(drawn, key=lambda r: -r.tau)
    groups = [ordered[i : i + repeats] for i in range(0, len(ordered), repeats)]
    spreads = [Spread(tuple(r.error.value for r in group)) for group in groups]
    taus = [round(float(np.mean([r.tau for r in group])), 4) for group in groups]
    name, what = f"mean of {repeats} neighbouring orders", [f"{len(g)} orders" for g in groups]
    return points, spread_series(name, taus, spreads, what)


PAPER = Paper(
    "veit2016",
    "Residual networks behave like ensembles of relatively shallow networks",
    veit_trials,
    (
        Item("figure 3", each_needed, figure_3),
        Item("figure 5a", lambda setting: [(RESIDUAL, random_units(setting))], figure_5a),
        Item("figure 5b", lambda setting: [(RESIDUAL, orders(setting))], figure_5b),
        *PATH_ITEMS,
        *(LEARNING_CURVES, FIRST_LAYER_GRADIENT, LAYER_RESPONSES),
    ),
)
