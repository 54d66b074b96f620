"""Veit, Wilber, Belongie 2016: residual networks behave like ensembles of shallow networks.

Figure 3 and the list of items. Those with random draws are in `veit2016_draws`, those about paths
in `veit2016_paths` and `veit2016_gradients`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from ..experiments.probe import Deletions, UnitMap, unit_map
from ..results import Claim, Figure, Result, Series, Table, Verdict
from . import verdicts
from .curves import level, listed, mean_over_seeds, percent, rate_point
from .he2015 import LAYER_RESPONSES, LEARNING_CURVES
from .huang2016 import FIRST_LAYER_GRADIENT
from .scales import veit_trials
from .study import RESIDUAL, VGG, Item, Member, Need, Paper, Setting, Values, each_unit
from .veit2016_draws import DRAWN_ITEMS
from .veit2016_gradients import GRADIENT_ITEMS, TEXT_ITEM
from .veit2016_paths import FIGURE_6A, FIGURE_7

# ---- figure 3: delete one unit ----


def each_needed(setting: Setting) -> list[Need]:
    needs: list[Need] = [(member.role, each_unit(setting)) for member in setting.trained]
    return [*needs, (RESIDUAL, unit_map())]


def same_size(outline: UnitMap) -> list[int]:
    """The units that do not halve the resolution."""
    return [i for i, u in enumerate(outline.units) if u.shape_in[1:] == u.shape_out[1:]]


@dataclass(frozen=True)
class Judged:
    """One seed's verdict; the median change and the units that certainly cost more than 2 points,
    in words."""

    verdict: Verdict
    median: str
    exceptions: str


def _judge(setting: Setting, units: Sequence[int], ours: Deletions, vgg: Deletions) -> Judged:
    changes = [ours.each[unit].change for unit in units]
    little, above = verdicts.changes_little(changes)
    broken = verdicts.at_chance([d.error for d in vgg.each], setting.chance)
    learned = all(verdicts.learned(found.intact, setting.chance) for found in (ours, vgg))
    exceptions = (f"{units[i]} ({100 * changes[i].value:+.1f})" for i in above)
    return Judged(
        verdicts.every([little, broken]) if learned else verdicts.OPEN,
        f"{100 * median(change.value for change in changes):+.2f}",
        ", ".join(exceptions) or "none",
    )


def figure_3(setting: Setting, values: Values) -> Result:
    """Error after deleting each unit: of the residual network, its plain twin and VGG."""
    series, rows = [], []
    for member in setting.trained:
        lesions = values.each(member.role, each_unit(setting))
        series += [_each_series(member, lesions)]
        series += [level(member.preset, [found.intact for found in lesions], 0, 1)]
        rows += [_each_row(member, *one) for one in zip(setting.seeds, lesions, strict=True)]
    residual, vgg = (values.each(role, each_unit(setting)) for role in (RESIDUAL, VGG))
    units = same_size(values.of(RESIDUAL, unit_map()))
    judged = [_judge(setting, units, *both) for both in zip(residual, vgg, strict=True)]
    medians = listed(one.median for one in judged)
    exceptions = listed(one.exceptions for one in judged)
    errors = [d.error.value for found in vgg for d in found.each]
    broken = f"{percent(min(errors), 0)} to {percent(max(errors), 0)}"
    ours, theirs = setting.member(RESIDUAL).preset, setting.member(VGG).preset
    return Result(
        "figure 3",
        "Deleting a single unit",
        f"Deleting one of the {len(units)} units that keep the resolution changes the error of "
        f"{ours} by {medians} points (medians, {setting.seed_words}); units that certainly cost "
        f"more than 2 points: {exceptions}. {theirs} errs on {broken} without one layer.",
        Claim(
            "Deleting any layer takes VGG to chance; deleting a unit of a residual network has a "
            "minimal effect, a slightly larger one where the resolution changes.",
            f"VGG: chance, {percent(0.9, 0)} error, for every layer; residual: no noticeable "
            "change but for the downsampling units (read off the figure)",
            f"{ours}: median {medians} points, above 2 points: {exceptions}; {theirs}: {broken}",
            verdicts.unanimous(one.verdict for one in judged),
            FIGURE_3_RULE,
        ),
        Figure("position of the deleted unit (0 first, 1 last)", "test error (%)", tuple(series)),
        Table(tuple(DELETED.split(", ")), tuple(rows)),
        f"{residual[0].intact.n} test images, the same for every deletion; {setting.seed_words}; "
        "bands: Wilson 95 %; changes: paired, Bonferroni; McNemar's test",
    )


FIGURE_3_RULE = (
    "of the units that keep the resolution at least 90 % change the error by at most 2 points, and "
    "every layer of VGG gives at least 0.75 of chance, by simultaneous 95 % intervals, for every "
    "seed; decidable where both networks err less than half as often as chance"
)
DELETED = "network, seed, units, intact, median change, worst change, significant (Bonferroni)"


def _each_series(member: Member, lesions: Sequence[Deletions]) -> Series:
    last = max(1, member.units - 1)
    return mean_over_seeds(
        f"{member.preset} ({member.role})",
        [round(unit / last, 4) for unit in range(member.units)],
        [[rate_point(d.error) for d in found.each] for found in lesions],
        [f"{member.preset}, unit {unit}, error in %" for unit in range(member.units)],
    )


def _each_row(member: Member, seed: int, found: Deletions) -> tuple[str | int, ...]:
    changes = [d.change.value for d in found.each]
    worst = found.each[int(np.argmax(changes))]
    return (
        member.preset,
        seed,
        len(changes),
        percent(found.intact.value),
        percent(median(changes)),
        f"{percent(worst.change.value)} (unit {worst.deleted[0]})",
        sum(d.change.p_value < 0.05 / len(changes) for d in found.each),
    )


PAPER = Paper(
    "veit2016",
    "Residual networks behave like ensembles of relatively shallow networks",
    veit_trials,
    (
        Item("figure 3", each_needed, figure_3),
        *DRAWN_ITEMS,
        *(FIGURE_6A, *GRADIENT_ITEMS, FIGURE_7, TEXT_ITEM),
        *(LEARNING_CURVES, FIRST_LAYER_GRADIENT, LAYER_RESPONSES),
    ),
)
