"""Numbers with their intervals in words, and what the sections of a dissection share."""

from collections.abc import Sequence

from ..anatomy.statistics import Change, Estimate, Rate
from ..results import Interval, Number, Section, Series, Style

PAIRED = "Paired differences on the same examples; intervals hold for all together with 95 %."


def triple(estimate: Estimate) -> Interval:
    return estimate.value, estimate.low, estimate.high


def percent(rate: Rate) -> Interval:
    low, high = rate.interval
    return 100 * rate.value, 100 * low, 100 * high


def points(change: Change, among: int) -> Interval:
    """Percentage points, with the interval that holds for all `among`."""
    low, high = change.interval(among)
    return 100 * change.value, 100 * low, 100 * high


def interval(found: Interval, sign: str = "") -> str:
    """0.0123 [0.0101, 0.0145]."""
    value, low, high = found
    return f"{value:{sign}.3g} [{low:.3g}, {high:.3g}]"


def numbers(units: Sequence[int]) -> str:
    """unit 3, units 3 and 5."""
    if len(units) < 2:
        return f"unit {units[0]}" if units else "no unit"
    return f"units {', '.join(map(str, units[:-1]))} and {units[-1]}"


def many(count: int, word: str) -> str:
    """1 unit, 2 units."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def curve(
    name: str,
    x: Sequence[Number],
    y: Sequence[Interval],
    labels: Sequence[str],
    style: Style = "line",
) -> Series:
    """Points with intervals and what a pointer reads there."""
    values, low, high = (tuple(column) for column in zip(*y, strict=True))
    return Series(name, tuple(x), values, low, high, tuple(labels), style)


def refused(item: str, title: str, why: str) -> Section:
    """The section of a part that this model does not allow."""
    return Section(item, title, refused=why)


def wide_range(values: Sequence[float]) -> bool:
    """Whether they are positive and so far apart that only a logarithm shows them all."""
    return bool(values) and min(values) > 0 and max(values) > 30 * min(values)
