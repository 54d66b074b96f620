"""Veit, Wilber, Belongie 2016, figures 6a and 7: how many paths there are. Exact."""

from fractions import Fraction
from math import comb

from ..results import Claim, Figure, Result, Series, Span, Table
from .curves import percent
from .study import Item, Setting, Values

PAPER_UNITS = 54
EFFECTIVE = (5, 17)
CENTRAL = (19, 35)
PATH_LENGTH = "path length (units taken)"


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


FIGURE_6A = Item("figure 6a", lambda setting: (), figure_6a)
FIGURE_7 = Item("figure 7", lambda setting: (), figure_7)
