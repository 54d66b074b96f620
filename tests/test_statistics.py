"""Intervals and tests against published values and simulation."""

import numpy as np
import pytest

from residuum.anatomy.measures import shortest_interval
from residuum.anatomy.reorder import kendall_tau, swap_pairs
from residuum.anatomy.statistics import Change, Rate, geometric_mean, student_mean, wilson


def test_wilson():
    """Newcombe 1998, table I: 81 of 263 and 15 of 148."""
    assert Rate(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert Rate(15, 148).interval == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert Rate(0, 20).interval[0] == 0


def test_mcnemar():
    assert Change(0, 0, 10).p_value == 1
    assert Change(5, 0, 10).p_value == pytest.approx(2 * 0.5**5)
    assert Change(10, 10, 100).p_value == pytest.approx(1)


def test_change_agrees_with_the_bootstrap_over_examples():
    differences = np.repeat([1, -1, 0], [30, 10, 160])
    source = np.random.default_rng(1)
    means = [source.choice(differences, 200).mean() for _ in range(4000)]
    assert Change(30, 10, 200).interval() == pytest.approx(
        tuple(np.percentile(means, [2.5, 97.5])), abs=0.01
    )
    assert Change(30, 10, 200).value == 0.1


def test_intervals_of_changes_have_a_width():
    """Where a bootstrap has none: eight examples on which nothing changed leave much open."""
    low, high = Change(0, 0, 8).interval()
    assert low == -high == pytest.approx(-wilson(0, 8)[1])
    assert Change(10, 0, 10).interval()[1] == pytest.approx(1)
    one, many = Change(20, 8, 500).interval(), Change(20, 8, 500).interval(among=20)
    assert many[0] < one[0] < one[1] < many[1]


def test_student():
    found = student_mean((1.0, 2.0, 3.0))
    assert (found.low, found.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    alone = student_mean([1.0])
    assert (alone.value, alone.low, alone.high) == (1.0, -np.inf, np.inf)


def test_geometric_mean_of_one_value_or_none():
    alone, none = geometric_mean(np.array([0.0, 2.0])), geometric_mean(np.zeros(3))
    assert (alone.value, alone.low, alone.high, alone.n) == (pytest.approx(2), 0, np.inf, 1)
    assert (none.value, none.n) == (0, 0)


def test_kendall():
    assert kendall_tau([0, 1, 2, 3]) == 1
    assert kendall_tau([3, 2, 1, 0]) == -1
    assert kendall_tau([1, 0, 2, 3]) == pytest.approx(1 - 2 / 6)


def test_swaps_stay_among_the_pairs():
    order = swap_pairs([(1, 2), (4, 5)], 6, 9, np.random.default_rng(0))
    assert sorted(order) == list(range(6))
    assert (order[0], order[3]) == (0, 3)
    assert set(order[1:3]) == {1, 2}


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([1, 1, 8, 1, 1], 0.6, (2, 2)),
        ([1, 1, 1, 1], 1.0, (0, 3)),
        ([0, 5, 5, 0], 0.95, (1, 2)),
        ([9, 0, 0, 1], 0.9, (0, 0)),
    ],
)
def test_shortest_interval(values, share, expected):
    assert shortest_interval(values, share) == expected
