"""Tasks that are no classification of images, and edits compared by their losses."""

import math

import numpy as np
import pytest
import torch
from conftest import image_batch, labels, lively
from foreign import ready, tokens
from scipy import stats

import residuum
from residuum import anatomy
from residuum.anatomy import Examples, comparisons, without
from residuum.anatomy.statistics import exponential, holm, student_mean, student_p
from residuum.errors import NumericError, UsageError
from residuum.networks.resnet import cifar_resnet
from residuum.networks.stages import residual
from residuum.task import Classification, Metric, NextToken, logits


def test_top_five():
    output = torch.tensor([[0.0, 1, 2, 3], [3, 2, 1, 0]])
    targets = torch.tensor([1, 1])
    assert Classification(top=3).right(output, targets).tolist() == [True, True]
    assert Classification(top=2).right(output, targets).tolist() == [False, True]
    assert Classification().right(output, targets).tolist() == [False, False]
    with pytest.raises(UsageError, match="top 5 of 4 classes"):
        Classification(top=5).right(output, targets)
    with pytest.raises(UsageError, match="NextToken"):
        Classification().right(output[None], targets)


def test_next_token_by_hand():
    source = torch.Generator().manual_seed(0)
    output, read = (
        torch.randn(2, 4, 5, generator=source),
        torch.tensor([[1, 2, 3, 4], [4, 0, 1, 2]]),
    )
    targets = read.clone()
    targets[1, 3] = -100  # padding
    by_hand = []
    for n, last in ((0, 4), (1, 3)):
        chances = [output[n, t].softmax(0)[read[n, t + 1]] for t in range(last - 1)]
        by_hand.append(-sum(map(math.log, chances)) / len(chances))
    torch.testing.assert_close(NextToken().loss(output, targets), torch.tensor(by_hand))
    right = [output[0, 2].argmax() == 4, output[1, 1].argmax() == 1]
    assert NextToken().right(output, targets).tolist() == right
    aligned = NextToken(ahead=0).loss(output[:, :-1], targets[:, 1:])
    torch.testing.assert_close(aligned, torch.tensor(by_hand))
    sure = torch.nn.functional.one_hot(read[:, 1:], 5) * 9.0
    assert NextToken(ahead=0).right(sure, targets[:, 1:]).all()
    with pytest.raises(UsageError, match="no token that counts"):
        NextToken().loss(output, torch.full((2, 4), -100))
    with pytest.raises(UsageError, match=r"\(N, T, V\)"):
        NextToken().loss(output, targets[:, 0])


def test_any_callable():
    metric = Metric(lambda output, targets: (logits(output) - targets[:, None]).abs().mean(1))
    output = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    assert metric.loss(output, torch.tensor([2, 1])).tolist() == [1.0, 1.0]
    assert metric.right(output, torch.tensor([2, 1])) is None
    with pytest.raises(UsageError, match=r"not torch.float32 \(\)"):
        Metric(lambda o, t: o.mean()).loss(output, torch.tensor([2, 1]))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_student_against_scipy():
    values = np.random.default_rng(0).normal(0.3, 1, 12)
    assert student_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    wide = student_mean(values, among=7)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / 7)
    assert (wide.low, wide.high) == pytest.approx((low, high))
    assert student_p(np.zeros(4)) == 1.0 == student_p([3.0])
    assert student_p(np.ones(4)) == 0.0
    assert exponential(student_mean([1.0, 1.0])).value == pytest.approx(math.e)


def test_simultaneous_intervals_and_p_values_keep_their_promise():
    """Of 6 edits that do nothing: any of them called an effect in at most 5 % of 400 trials."""
    source, alarms = np.random.default_rng(1), np.zeros(2)
    for _ in range(400):
        base = source.normal(size=20)
        found = comparisons.effects(base, base + source.normal(size=(6, 20)))
        alarms += [
            any(e.p_value < 0.05 for e in found),
            any(not e.change.low <= 0 <= e.change.high for e in found),
        ]
    assert (alarms <= stats.binom.ppf(0.999, 400, 0.05)).all()
    assert (alarms > 0).all()


@pytest.mark.parametrize("kind", ["own", "decoder"])
def test_effects_are_those_of_plain_passes(kind):
    if kind == "own":
        model, inputs = lively(cifar_resnet(8, 10, residual(), 4)), image_batch(5, 8)
        view, targets, task = residuum.unravel(model), labels(5), Classification()
    else:
        model, inputs = ready("decoder", 5)
        view = residuum.unravel(model, **tokens(2))
        targets, task = inputs["input_ids"], NextToken()
    examples = Examples(inputs, targets, task)
    mean, found = anatomy.effects(view, examples, [without(view, [0]), without(view, [1, 2])])
    with torch.no_grad():
        base = task.loss(model(inputs) if kind == "own" else model(**inputs), targets)
        with view.edited({1: residuum.views.DELETE, 2: residuum.views.DELETE}):
            less = task.loss(model(inputs) if kind == "own" else model(**inputs), targets)
    assert mean.value == pytest.approx(float(base.mean()), rel=1e-5)
    assert found[1].change.value == pytest.approx(float((less - base).mean()), rel=1e-3, abs=1e-6)
    assert found[1].change.low < found[1].change.value < found[1].change.high


def test_interactions_by_the_definition():
    model = lively(cifar_resnet(8, 10, residual(), 4))
    examples = Examples(image_batch(5, 8), labels(5))
    found = anatomy.interactions(model, examples)
    assert [f.pair for f in found] == [(0, 1), (0, 2), (1, 2)]
    sets = [(), (0,), (2,), (0, 2)]
    rows = anatomy.scores(model, examples, [without(model, s) for s in sets])
    by_hand = (rows[3] - rows[1] - rows[2] + rows[0]).mean()
    assert found[1].excess.value == pytest.approx(by_hand, rel=1e-6)
    some = anatomy.interactions(model, examples, [2, 0])
    assert some[0].excess.value == pytest.approx(by_hand, rel=1e-5)
    with pytest.raises(UsageError, match="two units"):
        anatomy.interactions(model, examples, [1])


def test_a_loss_that_is_not_finite_is_told():
    model = lively(cifar_resnet(8, 10, residual(), 4))
    bad = Metric(lambda output, targets: output.sum(1) * torch.inf)
    examples = Examples(image_batch(2, 8), labels(2), bad)
    with pytest.raises(NumericError, match="variant 0 on example 0"):
        anatomy.effects(model, examples, [anatomy.without(model, [0])])
    with pytest.raises(UsageError, match="no variants to compare with the intact model"):
        anatomy.effects(model, examples, [])
