"""Gradient by path length as a value: what its numbers are, and that its intervals cover."""

import numpy as np
import pytest

from residuum.anatomy.measures import PathGradients
from residuum.anatomy.statistics import bootstrap, geometric_mean

COUNTS = (1, 3, 3, 1)


def tuples(values):
    return tuple(map(tuples, values)) if np.ndim(values) > 1 else tuple(map(float, values))


def value(norms, exact=None, counts=COUNTS) -> PathGradients:
    """Of norms (replicates, examples, lengths); squares those of paths that are all alike."""
    norms = np.asarray(norms, dtype=float)
    squares = norms**2 / np.maximum(counts, 1)
    exact = norms.mean(0) / 2 if exact is None else exact
    nothing = (None,) * len(counts)
    parts = tuples(norms), tuples(squares), tuples(exact)
    return PathGradients(counts, *parts, nothing, nothing, 8, 0, norms.shape[1])


SMALL = value([[[2, 6, 3, 0], [8, 6, 3, 0]], [[2, 18, 3, 0], [8, 2, 3, 0]]])


def test_totals_of_every_example():
    assert SMALL.per_example("published").tolist() == [[2, 12, 3, 0], [8, 4, 3, 0]]
    roots = SMALL.per_example("orthogonal")
    assert roots[:, 1] == pytest.approx([(360 / 6) ** 0.5, (40 / 6) ** 0.5])
    assert SMALL.per_example("exact").tolist() == [[1, 6, 1.5, 0], [4, 2, 1.5, 0]]


def test_means_and_ratios_over_examples():
    found = SMALL.geometric("published")
    assert [e.value for e in found] == pytest.approx([4, 48**0.5, 3, 0])
    assert [e.n for e in found] == [2, 2, 2, 0]
    means = SMALL.arithmetic("published")
    assert [e.value for e in means] == pytest.approx([5, 8, 3, 0])
    assert [e.n for e in means[:3]] == pytest.approx([100 / 68, 256 / 160, 2])
    assert (means[0].low, means[0].high) == (2, 8)
    half = SMALL.ratio("exact", "published", 1)
    assert (half.value, half.low, half.high) == pytest.approx((0.5, 0.5, 0.5))


def test_one_image_that_carries_all_shows_in_the_effective_number():
    """74 of 100 of the total: the geometric mean is not moved, the arithmetic one is."""
    norms = np.ones((1, 64, 4))
    norms[0, 0] = 63 * 74 / 26
    found = value(norms)
    assert found.arithmetic("published")[1].n == pytest.approx(1.8, abs=0.05)
    assert found.geometric("published")[1].value == pytest.approx(1.085, abs=1e-3)


def test_effective_ranges_by_both_means():
    norms = np.tile([1.0, 100, 100, 1], (2, 9, 1))
    assert value(norms).effective("published") == (1, 2)
    norms[:, 0] = [1e6, 1, 1, 1]
    assert value(norms).effective("published", 0.9) == (1, 2)
    assert value(norms).effective("published", 0.9, "arithmetic") == (0, 0)
    found = value(norms).effective_interval("published", 0.9, "arithmetic")
    assert (found.first.low, found.first.high) == (0, 1)
    assert (found.middle.low, found.middle.high) == (0, 1.5)


def test_local_factors_are_of_single_paths():
    norms = np.array(COUNTS) * 0.5 ** np.arange(4)
    found = value(np.tile(norms, (2, 5, 1))).local_factors()
    assert len(found) == 1
    assert (found[0].value, found[0].low, found[0].high) == pytest.approx((0.5, 0.5, 0.5))


def test_intervals_cover_what_was_simulated():
    """Examples that differ by a factor of e^2, estimates that are off by 30 %: 95 % intervals hold
    the truth of the examples' population in 95 of 100, give or take what 300 trials allow."""
    source, trials = np.random.default_rng(0), 300
    decay = np.array([1.0, 0.5, 0.3, 0.1])
    held = np.zeros(4)
    for _ in range(trials):
        level = np.exp(2 * source.normal(size=(20, 1)))
        share = 0.03 * np.exp(0.5 * source.normal(size=(20, 4)))
        truth = decay * level * np.exp(0.3 * source.normal(size=(20, 4)))
        noise = np.exp(0.3 * source.normal(size=(2, 20, 4)) - 0.045)
        found = value(truth * noise, truth * share)
        estimates = [
            (found.geometric("published")[1], 0.5),
            (found.ratio("exact", "published", 2), 0.03),
            (found.local_factors()[0], (0.1 / 1) ** (1 / 3)),
            (found.geometric("exact")[2], 0.3 * 0.03),
        ]
        held += [e.low <= true <= e.high for e, true in estimates]
    assert (held >= 0.91 * trials).all(), held
    assert (held <= 0.99 * trials).all(), held


def test_ranges_cover_what_was_simulated():
    source, held, trials = np.random.default_rng(1), 0, 12
    counts = tuple(np.round(np.exp(-((np.arange(12) - 5) ** 2) / 8) * 100).astype(int).tolist())
    true = value(np.array(counts, float)[None, None], counts=counts).effective("published")
    for _ in range(trials):
        levels = np.exp(source.normal(size=(16, 1)) + 0.3 * source.normal(size=(2, 16, 12)))
        found = value(counts * levels, counts=counts).effective_interval("published")
        held += found.first.low <= true[0] <= found.first.high
        held += found.last.low <= true[1] <= found.last.high
    assert held >= 0.9 * 2 * trials, held


def test_geometric_means_leave_zeros_out_and_say_so():
    found = geometric_mean(np.array([0.0, 1.0, 100.0]))
    assert (found.value, found.n) == (pytest.approx(10), 2)
    assert geometric_mean(np.zeros(3)).value == 0


def test_a_bootstrap_draws_with_replacement():
    values = np.arange(50.0)
    low, high = bootstrap(lambda at: values[at].mean(), 50)
    error = values.std() / 50**0.5
    assert low == pytest.approx(24.5 - 1.96 * error, abs=0.5)
    assert high == pytest.approx(24.5 + 1.96 * error, abs=0.5)
