"""Cheap scores of redundancy and CKA, against literal formulas."""

from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import MENAGERIE, fingerprint, image_batch, lively, same_fingerprint
from foreign import ready
from torch import nn

import residuum
from residuum import anatomy
from residuum.anatomy.kernels import MinibatchCKA, hsic
from residuum.anatomy.similarity import pixels, tokens, whole
from residuum.errors import NumericError, UsageError
from residuum.networks.resnet import cifar_resnet
from residuum.networks.stages import residual
from residuum.parts.arrangements import PREACT
from residuum.views.discovery import discover
from residuum.views.foreign import ForeignView
from residuum.views.inputs import take


def features(n=6, seed=0):
    source = np.random.default_rng(seed)
    x = source.normal(size=(n, 5))
    return x, x @ source.normal(size=(5, 7)) + 0.5 * source.normal(size=(n, 7))


def test_hsic_is_the_mean_over_all_four_different_examples():
    """Its definition as a U-statistic, by enumeration."""
    x, y = features()
    k, l = x @ x.T, y @ y.T  # noqa: E741
    terms = [
        k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in permutations(range(6), 4)
    ]
    assert hsic(k, l) == pytest.approx(np.mean(terms))
    assert hsic(l, k) == pytest.approx(hsic(k, l))
    with pytest.raises(ValueError, match="needs 4"):
        hsic(k[:3, :3], l[:3, :3])


def test_hsic_is_unbiased():
    """Its mean over small batches is the value of a large one; independent features have none."""
    x, y = features(4000)
    large = hsic(x @ x.T, y @ y.T)
    batches = [slice(i, i + 8) for i in range(0, 4000, 8)]
    small = [hsic(x[b] @ x[b].T, y[b] @ y[b].T) for b in batches]
    assert abs(np.mean(small) - large) < 4 * np.std(small) / len(small) ** 0.5
    other = np.random.default_rng(9).normal(size=(4000, 7))
    nothing = [hsic(x[b] @ x[b].T, other[b] @ other[b].T) for b in batches]
    assert abs(np.mean(nothing)) < 4 * np.std(nothing) / len(nothing) ** 0.5


def test_cka_of_one_batch_and_its_invariances():
    x, y = features(30)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(5, 5)))[0]
    found = MinibatchCKA(4)
    found.add([f @ f.T for f in (x, y, 3 * x @ turn + 2, np.ones((30, 2)))])
    k, l = x @ x.T, y @ y.T  # noqa: E741
    by_hand = hsic(k, l) / (hsic(k, k) * hsic(l, l)) ** 0.5
    assert found.values[0, 1] == found.values[1, 0] == pytest.approx(by_hand)
    assert found.values[0, 2] == pytest.approx(1)  # turned, scaled and moved
    assert np.diag(found.values)[:3] == pytest.approx(1)
    assert np.isnan(found.values[0, 3])  # features that do not vary


def network():
    maker = residual(arrangement=PREACT)
    return lively(cifar_resnet(8, 10, maker, 4)), image_batch(12, 8)


@torch.no_grad()
def test_scores_by_their_formulas():
    model, x = network()
    found = anatomy.redundancy(model, x, batch=6)
    first = model.units[0]
    read = first.before(model.stem(x))  # both roads of the first unit read what is activated
    before, after = read.double().flatten(1), (read + first.branch(read)).double().flatten(1)
    cosine = F.cosine_similarity(before, after)
    assert found[0].influence.value == pytest.approx(float((1 - cosine).mean()), rel=1e-5)
    assert found[0].angle.value == pytest.approx(float(cosine.arccos().mean()) / np.pi, rel=1e-5)
    ratio = (after - before).norm(dim=1) / before.norm(dim=1)
    assert found[0].ratio.value == pytest.approx(float(ratio.mean()), rel=1e-5)
    assert found[0].response == pytest.approx(float((after - before).std(unbiased=False)), rel=1e-5)
    sums = np.zeros(3)
    for at in (slice(0, 6), slice(6, 12)):
        k, l = (t[at].numpy() @ t[at].numpy().T for t in (before, after))  # noqa: E741
        sums += [hsic(k, l), hsic(k, k), hsic(l, l)]
    assert found[0].distance == pytest.approx(1 - sums[0] / (sums[1] * sums[2]) ** 0.5)
    assert found[0].influence.low < found[0].influence.value < found[0].influence.high


def test_vectors_of_tokens_and_pixels():
    stream = torch.arange(24.0).view(2, 3, 2, 2)
    assert torch.equal(pixels(stream)[1, 3], stream[1, :, 1, 1])
    assert torch.equal(tokens(stream)[1, 5], stream[1, 2, 1])
    assert whole(stream).shape == (2, 1, 12)
    assert tokens(torch.zeros(2, 5)).shape == pixels(torch.zeros(2, 5)).shape == (2, 1, 5)
    model, inputs = ready("decoder", 4)
    view = residuum.unravel(model, **take(inputs, slice(2)))
    found = anatomy.redundancy(view, inputs, tokens)
    ((_, parts),) = anatomy.activations(view, inputs)
    by_hand = 1 - F.cosine_similarity(parts[2].before.double(), parts[2].after.double(), dim=-1)
    assert found[2].influence.value == pytest.approx(float(by_hand.mean()), rel=1e-4)


def test_ours_and_the_same_taken_for_a_foreign_one():
    model, x = network()
    before = fingerprint(model)
    own, foreign = (anatomy.redundancy(v, x) for v in (model, ForeignView(discover(model, x[:2]))))
    for a, b in zip(own, foreign, strict=True):
        assert a.influence.value == pytest.approx(b.influence.value, rel=1e-4)
        assert a.distance == pytest.approx(b.distance, rel=1e-3, abs=1e-6)
        assert a.response == pytest.approx(b.response, rel=1e-4)
    both = anatomy.cka(model, x), anatomy.cka(ForeignView(discover(model, x[:2])), x)
    np.testing.assert_allclose(*both, rtol=1e-4)
    np.testing.assert_allclose(both[0], both[0].T)
    assert same_fingerprint(before, fingerprint(model))


def test_a_unit_that_does_nothing_and_one_without_a_shortcut():
    model, x = network()
    last = list(model.units[1].branch.modules())[-1]
    nn.init.zeros_(last.weight)
    found = anatomy.redundancy(model, x)[1]
    assert found.influence.value == found.angle.value == found.response == 0
    plain = anatomy.redundancy(lively(MENAGERIE["plain"]()), image_batch(4, 8))
    assert plain[3].influence is None
    assert plain[3].response > 0
    assert anatomy.redundancy(model, x[:2])[0].distance is None  # too few for CKA


def test_what_cannot_be_scored():
    model, x = network()
    with pytest.raises(NumericError, match="unit 0"):
        anatomy.redundancy(model, x * torch.nan)
    with pytest.raises(UsageError, match="CKA needs 4"):
        anatomy.cka(model, x[:3])
    with pytest.raises(UsageError, match="a batch holds 4"):
        anatomy.redundancy(model, x, batch=3)
