"""Laws of splitting: on average what enumeration and second moments say, and draws that are a
function of their numbers."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from conftest import convolution, headed, image_batch, labels, leaf_units, lively, narrow, nested
from test_gradients import SMALL, gradients_of_paths

from residuum import anatomy
from residuum.anatomy import splitting, unravel
from residuum.anatomy.recording import Recording, certain
from residuum.anatomy.splitting import chances
from residuum.errors import UsageError
from residuum.task import CLASSIFICATION
from residuum.units import ResidualUnit

COPIES = 100


def close(estimates: np.ndarray, truth: np.ndarray) -> bool:
    """Means over the copies within four standard errors, by length."""
    error = estimates.std(0, ddof=1) / len(estimates) ** 0.5
    return bool((np.abs(estimates.mean(0) - truth) <= 4 * error + 1e-9 * truth).all())


def split_copies(network, x, targets, particles: int):
    """The sums of norms and of squares by length of the one example, COPIES times."""
    many, same = x.expand(COPIES, *x.shape[1:]), targets.expand(COPIES)
    found = anatomy.path_gradients(network, many, same, particles, replicates=1, seed=3)
    return np.array(found.norms[0]), np.array(found.squares[0])


@pytest.mark.parametrize("name", SMALL)
def test_splitting_is_unbiased(name):
    build = {"pre": narrow, "nested": lambda: nested(units=1)}.get(name, SMALL[name])
    network, x, targets = lively(build()).double(), image_batch(1, 8).double(), labels(1)
    paths = gradients_of_paths(network, x, targets)
    lengths = range(len(leaf_units(network)) + 1)
    norms = [[g.norm().item() for g in paths.get(k, ())] for k in lengths]
    found, squares = split_copies(network, x, targets, 2)
    assert close(found, np.array([sum(n) for n in norms]))
    assert close(squares, np.array([sum(v * v for v in n) for n in norms]))


def second_moments(network, x, targets) -> torch.Tensor:
    """The sum of |g_p|^2 by length, exactly: M_k = sum of g_p g_p^T over the paths of length k,
    carried back through a row of units, M_k <- H^T M_k H + J^T M_(k-1) J."""
    with anatomy.at_rest(network):
        recording = Recording(unravel(network), x, targets, CLASSIFICATION)
        g = recording.gradient.flatten() * recording.scale
        moments = [g.outer(g)]

        def both_sides(pull, moment):
            for _ in range(2):  # symmetric: one side, then the other
                rows = moment.T
                moment = certain(pull(rows.reshape(-1, *shape))).reshape(len(rows), -1)
            return moment

        for crossing in reversed(recording.tape.crossings):
            shape = crossing.value.shape
            around = [both_sides(lambda v, c=crossing: c.around(v), m) for m in moments]
            through = [both_sides(lambda v, c=crossing: c.through(v), m) for m in moments]
            nothing = torch.zeros_like(around[0])
            pairs = zip([*around, nothing], [nothing, *through], strict=True)
            moments = [a + b for a, b in pairs]
        shape = recording.tape.stem.value.shape
        return torch.stack([both_sides(recording.tape.stem.pull, m).trace() for m in moments])


def row_of(units: int):
    """Gains of its branches differ a hundredfold."""
    torch.manual_seed(0)
    network = lively(headed([ResidualUnit(convolution(8, 8)) for _ in range(units)], 8)).double()
    for unit, gain in zip(network.units, np.logspace(-1, 1, units)[::-1], strict=True):
        unit.branch[-1].weight.data *= gain
    return network


def test_squares_are_those_of_second_moments():
    x, targets = image_batch(1, 4).double(), labels(1)
    small = row_of(3)
    paths = gradients_of_paths(small, x, targets)
    enumerated = torch.stack([sum(g.square().sum() for g in paths[k]) for k in range(4)])
    torch.testing.assert_close(second_moments(small, x, targets), enumerated)
    network = row_of(7)
    truth = second_moments(network, x, targets).numpy()
    assert close(split_copies(network, x, targets, 4)[1], truth)


def test_draws_are_a_function_of_seed_replicate_and_example(monkeypatch):
    network, x, targets = lively(narrow()).double(), image_batch(4).double(), labels(4)
    whole = anatomy.path_gradients(network, x, targets, 2, 2, seed=5)
    monkeypatch.setattr(splitting, "MEMORY", 1)  # one example at a time
    assert np.allclose(anatomy.path_gradients(network, x, targets, 2, 2, seed=5).norms, whole.norms)
    fewer = anatomy.path_gradients(network, x[:2], targets[:2], 2, 1, seed=5)
    assert np.allclose(fewer.norms[0], np.array(whole.norms)[0, :2])
    assert not np.allclose(whole.norms[0], whole.norms[1])
    other = anatomy.path_gradients(network, x, targets, 2, 1, seed=6)
    assert not np.allclose(other.norms[0], whole.norms[0])


def test_examples_that_are_alike_are_drawn_apart():
    network, x = lively(narrow()).double(), image_batch(1).double().expand(2, 3, 16, 16)
    found = anatomy.path_gradients(network, x, labels(1).expand(2), 1, 1)
    assert found.exact[0] == pytest.approx(found.exact[1])
    assert found.norms[0][0] != pytest.approx(found.norms[0][1])


def test_chances_add_up_and_follow_the_scores():
    source = torch.Generator().manual_seed(0)
    scores = torch.exp(3 * torch.randn(4, 9, 50, generator=source).double())
    for particles in (1, 3, 8):
        found = chances(scores, particles)
        torch.testing.assert_close(found.sum(1), torch.full((4, 50), particles).double())
        assert (found > 0).all()
        assert (found <= 1).all()
        rest = torch.where(found < 1, found / scores, torch.nan)
        low, high = rest.nan_to_num(torch.inf).amin(1), rest.nan_to_num(0).amax(1)
        torch.testing.assert_close(low, high)  # in proportion, where not certain
        assert (torch.where(found == 1, scores, torch.inf).amin(1) * high >= 1 - 1e-9).all()
    scores[:, 2:] = 0
    assert torch.equal(chances(scores, 3), (scores > 0).double())


def test_gradients_of_nearly_perfect_examples_keep_their_digits():
    """In float32, p - 1 at p = 1 - 1e-8 is zero."""
    network, x = lively(narrow()), image_batch(1)
    with torch.no_grad():
        for _ in range(3):  # there is a bias, too
            first, second = network(x).topk(2).values[0]
            next(network.head.parameters()).mul_(18 / (first - second))
        sure = network(x).argmax(1)
        assert 1e-9 < 1 - network(x).double().softmax(1).max() < 1e-6
    found = anatomy.path_gradients(network, x, sure, 2, 1)
    exact = anatomy.path_gradients(deepcopy(network).double(), x.double(), sure, 2, 1)
    assert np.allclose(found.exact, exact.exact, rtol=1e-4, atol=0)


def test_uniform_samples_are_told_or_none():
    network, x, targets = lively(narrow()), image_batch(4), labels(4)
    found = anatomy.path_gradients(network, x, targets, 2, 1)
    assert found.uniform == found.uniform_error == (None,) * 5
    found = anatomy.path_gradients(network, x, targets, 2, 1, samples=6, batch=2)
    norms = anatomy.sampled_paths(network, x, targets, range(5), 6, batch=2)
    assert found.uniform == pytest.approx(norms.mean((1, 2)).tolist())
    assert found.uniform_error == pytest.approx((norms.mean(2).std(1) / 6**0.5).tolist())


@pytest.mark.parametrize("wrong", [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match="at least one particle"):
        anatomy.path_gradients(narrow(), image_batch(1), labels(1), *wrong)
