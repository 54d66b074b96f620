"""Rank agreement and the prediction of joint removal."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import image_batch, labels, lively
from foreign import ready
from scipy import stats

import residuum
from residuum import anatomy
from residuum.anatomy import Examples, without
from residuum.anatomy.ranks import agreements, chosen, kendall, predictions, spearman
from residuum.errors import UsageError
from residuum.networks.resnet import cifar_resnet
from residuum.networks.stages import residual
from residuum.task import NextToken
from residuum.views.inputs import take


def test_rank_correlations_against_scipy():
    source = np.random.default_rng(0)
    first, second = source.integers(0, 5, (6, 12)), source.integers(0, 7, (6, 12))  # with ties
    for a, b, tau, rho in zip(
        first, second, kendall(first, second), spearman(first, second), strict=True
    ):
        assert tau == pytest.approx(stats.kendalltau(a, b).statistic)
        assert rho == pytest.approx(stats.spearmanr(a, b).statistic)
    assert kendall(np.ones(4), np.arange(4)) == spearman(np.ones(4), np.arange(4)) == 0


def test_a_score_that_is_the_harm_agrees_and_noise_does_not():
    source = np.random.default_rng(1)
    truth = np.linspace(0, 3, 10)
    harm = truth[:, None] + source.normal(size=(10, 400))
    swapped = truth[[0, 1, 2, 4, 3, 5, 6, 7, 8, 9]]  # one of 45 pairs
    scores = {"true": truth, "near": swapped, "not": abs(np.arange(10) - 4.5)}
    found = {a.score: a for a in agreements(scores, harm)}
    assert found["true"].kendall.value == 1.0
    assert found["true"].kendall.low > 0.8
    assert found["near"].kendall.value == pytest.approx(1 - 2 / 45)
    assert found["near"].spearman.value == pytest.approx(1 - 6 * 2 / (10 * 99))
    assert found["not"].spearman.value == pytest.approx(0)
    few = agreements({"true": truth}, harm[:, :10])[0].kendall
    assert few.high - few.low > found["true"].kendall.high - found["true"].kendall.low


def test_joint_prediction_where_harm_is_additive_but_for_one_pair():
    """Units 0 and 1 stand in for each other: each alone is harmless, both are not."""
    alone = np.array([0.0, 0.01, 1, 2, 3, 4])
    base = np.zeros(5)
    losses = lambda s: base + alone[list(s)].sum() + 9 * ({0, 1} <= set(s))  # noqa: E731
    sets = [(a, b) for a in range(6) for b in range(a)]
    drawn = {2: (sets, np.array([losses(s) for s in sets]))}
    scores = {"deletion": alone.tolist(), "aware": [4, 0.01, 1, 2, 3, 3.5]}
    picked = {(name, 2): losses(chosen(values, 2)) for name, values in scores.items()}
    first, second = predictions(scores, base, drawn, picked)
    assert (first.chosen, second.chosen) == ((0, 1), (1, 2))
    assert first.harm.change.value == pytest.approx(9.01)
    assert first.better == 14 / 15
    assert second.better == pytest.approx(1 / 15)  # (0, 2) alone does less
    assert first.harm.among == 2
    sums = [alone[list(s)].sum() for s in sets]
    expected = stats.spearmanr(sums, drawn[2][1].mean(1)).statistic
    assert first.spearman.value == pytest.approx(expected)
    assert first.random.value == pytest.approx(drawn[2][1].mean())


@pytest.mark.parametrize("kind", ["own", "decoder"])
def test_agreement_on_a_model(kind):
    if kind == "own":
        model, inputs = lively(cifar_resnet(14, 10, residual(), 4)), image_batch(8, 8)
        view, examples = residuum.unravel(model), Examples(inputs, labels(8))
    else:
        model, inputs = ready("decoder", 6)
        view = residuum.unravel(model, **take(inputs, slice(2)))
        examples = Examples(inputs, inputs["input_ids"], NextToken())
    scores = anatomy.cheap_scores(anatomy.redundancy(view, inputs))
    assert list(scores) == ["influence", "angle", "ratio", "distance", "response"]
    single, joint = anatomy.agreement(view, examples, scores, (2, 3), repeats=6, seed=3)
    assert [a.score for a in single] == list(scores)
    assert [(j.score, j.count) for j in joint] == [
        (name, k) for k in (2, 3) for name in (*scores, "deletion")
    ]
    rows = anatomy.scores(view, examples, [without(view, s) for s in ((), joint[0].chosen)])
    assert joint[0].harm.change.value == pytest.approx((rows[1] - rows[0]).mean(), rel=1e-4)
    each = [without(view, [u]) for u in range(len(view.units))]
    harm = (anatomy.scores(view, examples, each) - rows[0]).mean(1)
    expected = stats.kendalltau(scores["influence"], harm).statistic
    assert single[0].kendall.value == pytest.approx(expected)
    again = anatomy.agreement(view, examples, scores, (2, 3), repeats=6, seed=3)
    assert again == (single, joint)


def test_the_page_of_analyses_runs():
    page = (Path(__file__).parents[1] / "docs" / "analyses.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    model, inputs = ready("decoder", 4)
    found = {"decoder": model, "tokens": inputs["input_ids"], "other_inputs": inputs}
    exec(block, found)  # noqa: S102 - a page of ours
    assert len(found["effects"]) == 2
    assert len(found["joint"]) == 2 * 6


def test_what_cannot_be_compared():
    model = lively(cifar_resnet(8, 10, residual(), 4))
    examples = Examples(image_batch(4, 8), labels(4))
    for scores, words in (
        ({}, "no scores"),
        ({"a": [1.0, 2.0]}, "2 numbers for 3 units"),
        ({"a": [1.0, None, 2.0]}, "2 numbers for 3 units"),
        ({"deletion": [1.0, 2.0, 3.0]}, "call the score otherwise"),
    ):
        with pytest.raises(UsageError, match=words):
            anatomy.agreement(model, examples, scores)
    with pytest.raises(UsageError, match="counts from 1 to 3"):
        anatomy.agreement(model, examples, {"a": [1, 2, 3]}, (4,))
    plain = anatomy.redundancy(residuum.preset("plain20", seed=0).eval(), torch.rand(4, 3, 8, 8))
    assert list(anatomy.cheap_scores(plain)) == ["response"]
