"""Veit, Wilber, Belongie 2016, the items with random draws: subsets deleted, orders changed.

The unit whose deletion costs most carries much of both; what is left without it is shown apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..anatomy.measures import Reordering
from ..anatomy.statistics import Rate
from ..experiments.probe import Probe, RandomDeletions, Reorderings, delete_random, reorder
from ..results import Claim, Figure, Result, Series, Verdict
from . import verdicts
from .curves import Point, level, listed, mean_over_seeds, percent
from .study import RESIDUAL, Item, Need, Setting, Values
from .veit2016_paths import PAPER_UNITS


@dataclass(frozen=True)
class Judged:
    """One seed's curve in percent, the same with the dominant unit kept, and what follows."""

    curve: list[Point]
    kept: list[Point | None]
    verdict: Verdict
    words: str


def curve_points(points: Sequence[verdicts.Strata], rising: bool = False) -> list[Point]:
    """Means in percent with their bootstrap intervals."""
    found = verdicts.curve(points, rising)
    return [(100 * value, 100 * low, 100 * high) for value, low, high in found]


def brackets(judged: Sequence[Judged], at: int) -> str:
    """A point of the curve, of every seed."""
    return listed(f"{v:.1f} [{a:.1f}, {b:.1f}]" for v, a, b in (one.curve[at] for one in judged))


def dominant_units(setting: Setting, values: Values) -> list[int]:
    """Of every seed: the unit whose deletion changes the error most."""
    return [found.dominant for found in values.each(RESIDUAL, random_units(setting))]


# ---- figure 5a: delete many units ----


def _random_counts(units: int) -> tuple[int, ...]:
    """Up to half of the units, and as large a part as 10 of the paper's 54."""
    half = {round(units * share / 20) for share in range(11)}
    return tuple(sorted(half | {round(units * 10 / PAPER_UNITS), 1}))


def random_units(setting: Setting) -> Probe[RandomDeletions]:
    scale, counts = setting.scale, _random_counts(setting.member(RESIDUAL).units)
    return delete_random(counts, scale.subsets, setting.seed, scale.draws_examples)


def strata(found: RandomDeletions, counts: Sequence[int], units: int) -> list[verdicts.Strata]:
    """For each number of units: errors of the sets with the dominant unit and of those without,
    each with its share of all sets of that size."""
    points: list[verdicts.Strata] = []
    for k in counts:
        sets = [d for d in found.each if len(d.deleted) == k]
        inside = [d.error.value for d in sets if found.dominant in d.deleted]
        outside = [d.error.value for d in sets if found.dominant not in d.deleted]
        halves = ((k / units, inside), (1 - k / units, outside))
        points.append([(share, half) for share, half in halves if half])
    return points


def _judge_subsets(setting: Setting, found: RandomDeletions, ten: int) -> Judged:
    n = setting.member(RESIDUAL).units
    points = strata(found, _random_counts(n), n)
    without = [[(1.0, point[-1][1])] for point in points]
    bound = setting.chance / 2
    verdict, rank, _ = verdicts.rises(points, ten, bound, found.intact.n)
    verdict = verdict if verdicts.learned(found.intact, setting.chance) else verdicts.OPEN
    kept: list[Point | None] = [*curve_points(without, rising=True)]
    return Judged(curve_points(points, rising=True), kept, verdict, f"{rank[0]:.3f}")


def figure_5a(setting: Setting, values: Values) -> Result:
    """Error against the number of units deleted at random."""
    found, n = values.each(RESIDUAL, random_units(setting)), setting.member(RESIDUAL).units
    counts, names = _random_counts(n), _names(setting, values)
    ten = counts.index(round(n * 10 / PAPER_UNITS))
    near = counts.index(min(counts, key=lambda k: abs(k - n * 20 / PAPER_UNITS)))
    judged = [_judge_subsets(setting, one, ten) for one in found]
    left = listed(f"{point[0]:.1f}" for one in judged if (point := one.kept[ten]))
    at_ten, at_twenty = brackets(judged, ten), brackets(judged, near)
    what, intact = [f"{k} deleted, error in %" for k in counts], [one.intact for one in found]
    return Result(
        "figure 5a",
        "Deleting many units",
        f"Deleting {counts[ten]} of {n} units at random gives {at_ten} % error "
        f"({setting.seed_words}), {counts[near]} units {at_twenty} %. With unit {names} kept, the "
        f"one that matters most, it is {left} % with {counts[ten]}.",
        Claim(
            "The error rises smoothly with the number of deleted units, as that of an ensemble "
            "would.",
            "error about 20 % with 10 of 54 units deleted, a severe drop of performance by 20",
            f"{at_ten} % with {counts[ten]} of {n}, {at_twenty} % with {counts[near]}; rank "
            f"correlation at least {listed(one.words for one in judged)}",
            verdicts.unanimous(one.verdict for one in judged),
            "lower bound of the rank correlation of mean error and number deleted at least 0.95, "
            "and upper bound at 10/54 of the units below half of chance, for every seed",
        ),
        _figure(setting, judged, counts, what, intact, f"units deleted of {n}", f"{names} kept"),
        n=f"{intact[0].n} test images, {setting.scale.subsets} subsets of each size, half of them "
        f"with unit {names}, weighted by its share; {setting.seed_words}; isotonic means, "
        "bootstrap 95 % intervals over subsets",
    )


def _names(setting: Setting, values: Values) -> str:
    return " or ".join(map(str, dict.fromkeys(dominant_units(setting, values))))


def _figure(
    setting: Setting,
    judged: Sequence[Judged],
    x: Sequence[float],
    what: Sequence[str],
    intact: Sequence[Rate],
    x_label: str,
    kept: str,
) -> Figure:
    """The curve of all seeds, that with the dominant unit kept, and the intact error."""
    name = setting.member(RESIDUAL).preset
    series = (
        mean_over_seeds(name, x, [one.curve for one in judged], what),
        mean_over_seeds(f"unit {kept}", x, [one.kept for one in judged], what),
        level(name, intact, min(x), max(x)),
    )
    return Figure(x_label, "test error (%)", series)


# ---- figure 5b: reorder ----

SHOWN = 8  # orders of each number of swaps that are drawn as points, of the first seed
FEWEST = 5  # orders that a mean is taken of


def _swaps(units: int) -> tuple[int, ...]:
    """1, 2, 4, ... and as many as there are units."""
    doubled = [2**i for i in range(units.bit_length()) if 2**i <= 0.75 * units]
    return (*doubled, units)


def orders(setting: Setting) -> Probe[Reorderings]:
    scale, swaps = setting.scale, _swaps(setting.member(RESIDUAL).units)
    return reorder(swaps, scale.orders, setting.seed, scale.draws_examples)


def _judge_orders(setting: Setting, found: Reorderings, dominant: int) -> Judged:
    points: list[verdicts.Strata] = []
    kept: list[Point | None] = []
    for k in _swaps(setting.member(RESIDUAL).units):
        group = [r for r in found.orders if r.swaps == k]
        points.append([(1.0, [r.error.value for r in group])])
        still = [r.error.value for r in group if r.permutation[dominant] == dominant]
        kept.append(curve_points([[(1.0, still)]])[0] if len(still) >= FEWEST else None)
    verdict, rank, step = verdicts.rises_smoothly(points, found.intact.value)
    verdict = verdict if verdicts.learned(found.intact, setting.chance) else verdicts.OPEN
    words = f"{rank[0]:.3f} and {100 * step[1]:.0f} %"
    return Judged(curve_points(points), kept, verdict, words)


def figure_5b(setting: Setting, values: Values) -> Result:
    """Error against Kendall's tau after swapping random pairs of units of the same shape."""
    swaps, found = _swaps(setting.member(RESIDUAL).units), values.each(RESIDUAL, orders(setting))
    dominants, names = dominant_units(setting, values), _names(setting, values)
    judged = [_judge_orders(setting, *one) for one in zip(found, dominants, strict=True)]
    groups = [[r for r in found[0].orders if r.swaps == k] for k in swaps]
    x = [round(float(np.mean([r.tau for r in group])), 4) for group in groups]
    what, intact = [f"{k} swaps, error in %" for k in swaps], [one.intact for one in found]
    label = "Kendall's tau against the trained order, over all units (those that never move too)"
    figure = _figure(setting, judged, x, what, intact, label, f"{names} in its place")
    return Result(
        "figure 5b",
        "Reordering units",
        f"One swapped pair of units gives {brackets(judged, 0)} % error ({setting.seed_words}), "
        f"{swaps[-1]} swaps {brackets(judged, -1)} %, from "
        f"{listed(percent(i.value) for i in intact)} in the trained order.",
        Claim(
            "The error rises smoothly as the order of the units moves away from the trained one.",
            "a smooth rise as Kendall's tau falls from 1 (read off the figure)",
            "rank correlation of the means at least, and largest step's share of the rise at most: "
            f"{listed(one.words for one in judged)}",
            verdicts.unanimous(one.verdict for one in judged),
            "lower bound of the rank correlation of mean error and number of swaps at least 0.9, "
            "and no step above half of the whole rise, for every seed",
        ),
        Figure(label, figure.y_label, (_points(setting, groups), *figure.series), reverse_x=True),
        n=f"{intact[0].n} test images, {setting.scale.orders} orders of each number of swaps; "
        f"{setting.seed_words}; bootstrap 95 % intervals over orders",
    )


def _points(setting: Setting, groups: Sequence[Sequence[Reordering]]) -> Series:
    """A few orders of the first seed, one by one."""
    some = [r for group in groups for r in group[:SHOWN]]
    labels = (f"{r.swaps} swaps, tau {r.tau:.3f}: error {r.error}" for r in some)
    return Series(
        f"one order each, seed {setting.seed}",
        tuple(round(r.tau, 4) for r in some),
        tuple(100 * r.error.value for r in some),
        labels=tuple(labels),
        style="points",
    )


def orders_needed(setting: Setting) -> list[Need]:
    return [(RESIDUAL, random_units(setting)), (RESIDUAL, orders(setting))]


DRAWN_ITEMS = (
    Item("figure 5a", lambda setting: [(RESIDUAL, random_units(setting))], figure_5a),
    Item("figure 5b", orders_needed, figure_5b),
)
