"""Verdicts on simulated data whose truth is known: two interval widths from a bound the right one
at least 95 times in 100, at the bound undecided at least 90 times, the opposite at most 5 times
anywhere."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression

from residuum.anatomy import measures
from residuum.anatomy.measures import PathGradients
from residuum.anatomy.statistics import Change, Estimate, Rate, bootstrap
from residuum.studies import verdicts
from residuum.studies.verdicts import NOT, OPEN, REPRODUCED

Source = np.random.Generator


def shares(simulate: Callable[[Source], str], times: int = 200) -> Counter:
    """How often each verdict falls, in percent."""
    source = np.random.default_rng(5)
    counted = Counter(simulate(source) for _ in range(times))
    return Counter({verdict: 100 * count / times for verdict, count in counted.items()})


def holds(simulate: Callable[[float, Source], str], far: tuple[float, float], bound: float):
    """`simulate(truth, source)` far on the claim's side, far on the other, at the bound, and just
    off it."""
    good, bad = far
    assert shares(partial(simulate, good))[REPRODUCED] >= 95
    assert shares(partial(simulate, bad))[NOT] >= 95
    assert shares(partial(simulate, bound))[OPEN] >= 90
    for part in (0.02, 0.1, 0.3):
        assert shares(partial(simulate, bound + part * (good - bound)))[NOT] <= 5
        assert shares(partial(simulate, bound + part * (bad - bound)))[REPRODUCED] <= 5


# ---- how verdicts are put together ----


def test_a_verdict_needs_the_whole_interval():
    assert verdicts.below((0.1, 0.2), 0.2) == verdicts.above((0.2, 0.3), 0.2) == REPRODUCED
    assert verdicts.below((0.21, 0.3), 0.2) == verdicts.above((0.1, 0.19), 0.2) == NOT
    assert verdicts.below((0.1, 0.3), 0.2) == verdicts.above((0.1, 0.3), 0.2) == OPEN
    assert verdicts.below((0.2, 0.2), 0.2) == REPRODUCED


def test_parts_and_seeds():
    assert verdicts.every([REPRODUCED, OPEN, NOT]) == NOT
    assert verdicts.every([REPRODUCED, OPEN]) == verdicts.every([]) == OPEN
    assert verdicts.every([REPRODUCED, REPRODUCED]) == REPRODUCED
    assert verdicts.unanimous([NOT, NOT]) == NOT
    assert verdicts.unanimous([REPRODUCED, OPEN]) == OPEN
    assert verdicts.unanimous([REPRODUCED, NOT]) == OPEN


def test_trainings_that_end_alike_say_nothing():
    """Both networks learn every training image in every seed: neither errs more."""
    assert verdicts.over_seeds([0.0, 0.0, 0.0]) == OPEN
    assert verdicts.over_seeds([0.1, 0.1, 0.1]) == REPRODUCED
    assert verdicts.over_seeds([-0.1, -0.1, -0.1]) == NOT
    assert verdicts.over_seeds([0.1, 0.1]) == OPEN


def test_curves_are_ranked_and_fitted_as_libraries_do():
    rows = np.random.default_rng(0).normal(size=(5, 8))
    for row, ours, fitted in zip(rows, verdicts.order(rows), verdicts.isotonic(rows), strict=True):
        assert ours == pytest.approx(spearmanr(range(8), row)[0])
        assert fitted == pytest.approx(IsotonicRegression().fit_transform(range(8), row))
    assert verdicts.order(np.ones(4)) == [0.0]


# ---- figure 3 ----


def changes(truth: float, at: int, n: int, source: Source) -> list[Change]:
    """25 units: the first `at` change the error by `truth`, the others by 0.2 points."""
    rates = [truth] * at + [0.002] * (25 - at)
    drawn = [source.multinomial(n, [rate + 0.001, 0.001, 0.998 - rate]) for rate in rates]
    return [Change(int(worse), int(better), n) for worse, better, _ in drawn]


def test_units_that_change_little():
    """Three of 25 at the truth under test: one more than the tenth that may be above."""

    def simulate(truth: float, source: Source) -> str:
        return verdicts.changes_little(changes(truth, 3, 10_000, source))[0]

    holds(simulate, (0.003, 0.04), 0.02)


def test_two_of_25_units_may_break_the_network():
    found, exceptions = verdicts.changes_little(changes(0.4, 2, 10_000, np.random.default_rng(0)))
    assert (found, exceptions) == (REPRODUCED, [0, 1])
    found, exceptions = verdicts.changes_little(changes(0.4, 3, 10_000, np.random.default_rng(0)))
    assert (found, exceptions) == (NOT, [0, 1, 2])


def test_a_tenth_of_the_units_may_be_above_the_bound():
    """One of ten certainly is, one may be: nine of ten may still hold."""
    open_one, little, much = Change(20, 0, 1000), Change(1, 0, 1000), Change(400, 0, 1000)
    for tens in (1, 2, 3, 7):
        units = [*[much] * tens, open_one, *[little] * (9 * tens - 1)]
        assert verdicts.changes_little(units)[0] == OPEN
        assert verdicts.changes_little([much, *units[:-1]])[0] == NOT


def test_few_images_decide_nothing_about_a_change_of_two_points():
    """With 359 images the upper bound is above two points even where nothing changed; with 900 it
    is below."""
    assert verdicts.changes_little([Change(0, 0, 359)] * 25)[0] == OPEN
    assert verdicts.changes_little([Change(2, 0, 900)] * 25)[0] == REPRODUCED


def test_layers_at_chance():
    def simulate(truth: float, source: Source) -> str:
        counts = source.binomial(900, [truth, *[0.88] * 12]).tolist()
        return verdicts.at_chance([Rate(count, 900) for count in counts], chance=0.9)

    holds(simulate, (0.85, 0.5), 0.675)


def test_a_network_has_learned_where_the_whole_interval_says_so():
    assert verdicts.learned(Rate(400, 1000), 0.9)
    assert not verdicts.learned(Rate(440, 1000), 0.9)


# ---- figures 5a and 5b ----

COUNTS = np.arange(11)


def strata(curve: np.ndarray, source: Source, images: int = 300) -> list:
    """25 subsets with the unit that matters and 25 without; all on the same images."""
    shift = source.normal(0, (0.25 * 0.75 / images) ** 0.5)
    points = []
    for k, mean in enumerate(curve):
        share = k / 20
        lost = mean + 0.3 * (1 - share), mean - 0.3 * share  # their mean is `mean`
        drawn = [source.normal(m + shift, 0.1, 25).tolist() for m in lost]
        points.append([(share, drawn[0]), (1 - share, drawn[1])])
    return points


def rising(at_four: float) -> np.ndarray:
    return at_four + 0.08 * (COUNTS - 4)


def rises(curve: np.ndarray, source: Source, bound: float = 0.45) -> str:
    points = strata(curve, source)
    return verdicts.rises(points, 4, bound, 300, draws=300, seed=int(source.integers(1 << 30)))[0]


def test_errors_that_rise_and_stay_low():
    holds(lambda truth, source: rises(rising(truth), source), (0.15, 0.75), 0.45)


def test_a_curve_that_does_not_rise():
    falls = rising(0.2) - 2 * np.maximum(0, 0.08 * (COUNTS - 5))
    assert shares(lambda source: rises(falls, source))[NOT] >= 95


@pytest.mark.parametrize("step", [0.0, 0.002, 0.01, 0.02])
def test_noise_does_not_refute_a_curve_that_rises_slowly(step):
    found = shares(lambda source: rises(0.2 + step * COUNTS, source), times=100)
    assert found[NOT] <= 5


def steps(jump: float) -> np.ndarray:
    """Six means after 0.1; the step to the third is `jump` of the way, which the others share."""
    shares = np.full(6, (1 - jump) / 5)
    shares[2] = jump
    return 0.1 + 0.6 * np.cumsum(shares)


def smooth(rows: list, source: Source) -> str:
    points = [[(1.0, row.tolist())] for row in rows]
    return verdicts.rises_smoothly(points, 0.1, 300, int(source.integers(1 << 30)))[0]


def test_a_smooth_rise_has_no_large_step():
    """100 orders at each number of swaps."""

    def simulate(truth: float, source: Source) -> str:
        return smooth([source.normal(mean, 0.1, 100) for mean in steps(truth)], source)

    holds(simulate, (0.25, 0.75), 0.5)


def test_orders_that_break_all_or_nothing():
    """One unit that matters moves or does not."""

    def simulate(truth: float, source: Source) -> str:
        chances = (steps(truth) - 0.1) / 0.8
        return smooth([np.where(source.random(100) < p, 0.9, 0.1) for p in chances], source)

    assert shares(partial(simulate, 0.5))[OPEN] >= 90
    assert shares(partial(simulate, 0.17))[NOT] <= 5
    assert shares(partial(simulate, 0.95))[NOT] >= 95


# ---- figures 6b and 6c ----


def factors(truths: np.ndarray, source: Source) -> list:
    """Local factors of 64 examples that differ by 20 %."""
    logs = np.log(truths) + 0.2 * source.standard_normal((64, len(truths)))
    half = 1.998 * logs.std(0, ddof=1) / 8  # Student, 63 degrees
    ends = np.exp([logs.mean(0), logs.mean(0) - half, logs.mean(0) + half])
    return [Estimate(*column, 64) for column in ends.T.tolist()]


def test_factors_below_one():
    def simulate(truth: float, source: Source) -> str:
        return verdicts.decays(factors(np.array([0.75] * 24 + [truth]), source))

    holds(simulate, (0.6, 1.4), 1.0)


def test_factors_that_differ_little():
    def simulate(truth: float, source: Source) -> str:
        return verdicts.decays(factors(np.array([0.3] * 24 + [0.3 * truth]), source))

    holds(simulate, (1.2, 3.3), 2.0)


def gradients(middle: float, source: Source) -> PathGradients:
    """Totals of 48 examples with their own sizes and their own middles; two replicates."""
    lengths = np.arange(21)
    own = middle + 0.8 * source.standard_normal((48, 1))
    totals = np.exp(-0.5 * ((lengths - own) / 2) ** 2 + 2 * source.standard_normal((48, 1)))
    noisy = totals * np.exp(0.1 * source.standard_normal((2, *totals.shape)))
    norms = tuple(tuple(map(tuple, replicate)) for replicate in noisy.tolist())
    none = (None,) * len(lengths)
    return PathGradients((1,) * 21, norms, norms, norms[0], none, none, 8, 0, 48)


def test_short_paths(monkeypatch):
    monkeypatch.setattr(measures, "bootstrap", partial(bootstrap, draws=100))

    def simulate(truth: float, source: Source) -> str:
        found = gradients(truth, source).effective_interval("published").middle
        return verdicts.short_paths(found, units=20)

    assert shares(partial(simulate, 7.5), 60)[REPRODUCED] >= 95
    assert shares(partial(simulate, 10.5), 60)[NOT] >= 95
    at = shares(partial(simulate, 9.0), 100)
    assert at[NOT] <= 5


# ---- trainings compared ----


def test_three_seeds_at_least():
    assert verdicts.over_seeds([0.3, 0.31]) == OPEN
    assert verdicts.over_seeds([0.3, 0.31, 0.32]) == REPRODUCED
    assert verdicts.over_seeds([-0.3, -0.31, -0.32]) == NOT


def test_differences_between_trainings():
    def simulate(truth: float, source: Source) -> str:
        return verdicts.over_seeds(source.normal(truth, 0.02, 3).tolist())

    holds(simulate, (0.2, -0.2), 0.0)
