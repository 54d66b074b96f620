"""Telescoping sum boosting: its identities, its bound on a run, and that it goes on exactly."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import narrow

from residuum.data import load
from residuum.data.augment import Pixels
from residuum.data.images import Dataset
from residuum.data.normalise import fit
from residuum.errors import UsageError
from residuum.machine import Machine
from residuum.presets import preset
from residuum.task import Exponential
from residuum.training import Recipe, find_recipe
from residuum.training.boosting import Boosting, Grown, _Work, boost, changing
from residuum.training.limits import Limits
from residuum.training.optimisers import Adam
from residuum.training.schedules import Steps
from residuum.training.schemes import ActiveSubset
from residuum.training.votes import Votes

CPU = Machine(device="cpu", threads=1)
RECIPE = Recipe(
    "boost",
    16,
    "iterations",
    learning_rate=5e-3,
    schedule=Steps(()),
    batch_size=32,
    optimiser=Adam(),
    weight_decay=0.0,
    augmentation=None,
    limits=Limits(gradient=0.1),
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load("digits")
    return Dataset("digits", digits.train.first(96), digits.test.first(20), digits.classes)


@pytest.fixture(scope="module")
def binary(data) -> Dataset:
    """Below five, or not."""
    parts = (replace(p, labels=(p.labels >= 5).long()) for p in (data.train, data.test))
    return Dataset("halves", *parts, ("small", "large"))


def random_answers(m: int = 50, classes: int = 3, blocks: int = 4):
    source = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (m,), generator=source)
    for block in range(blocks):
        logits = torch.randn(m, classes, generator=source, dtype=torch.double)
        logits[torch.arange(m), labels] += 0.4 * (block + 1)
        yield logits.softmax(1), labels


def test_the_sum_of_votes_telescopes():
    """F = sum of h_t / a_{T+1} is the last block's answer, exactly but for rounding."""
    votes, parts = Votes.none(50, 3), []
    for answers, labels in random_answers():
        before, votes = votes, votes.joined(answers, labels)
        parts.append(votes.alpha * votes.answers - before.alpha * before.answers)
    torch.testing.assert_close(votes.total, sum(parts))
    torch.testing.assert_close(sum(parts) / votes.alpha, votes.answers, rtol=1e-12, atol=1e-12)


def test_costs_are_multiplied_by_the_votes():
    """C'(i, l) = C(i, l) exp(h(i, l) - h(i, y)); with two classes D exp(-y h), renormalised."""
    votes = Votes.none(50, 3)
    for answers, labels in random_answers():
        before, votes = votes, votes.joined(answers, labels)
        old, new, right = before.cost(labels), votes.cost(labels), labels[:, None]
        vote = votes.alpha * votes.answers - before.alpha * before.answers
        wanted = old * (vote - vote.gather(1, right)).exp()
        wrong = torch.ones_like(old).scatter(1, right, 0).bool()
        torch.testing.assert_close(new[wrong], wanted[wrong])
        torch.testing.assert_close(new.sum(1), torch.zeros(50, dtype=torch.double))
        assert (new[wrong] > 0).all()


def test_two_classes_are_the_papers_binary_algorithm():
    weights, votes = torch.full((50,), 1 / 50, dtype=torch.double), Votes.none(50, 2)
    alpha, edge, old = 0.0, 0.0, torch.zeros(50, dtype=torch.double)
    for answers, labels in random_answers(classes=2):
        y, o = 2.0 * labels - 1, answers[:, 1] - answers[:, 0]
        new_edge = (weights * y * o).sum().item()
        new_alpha = 0.5 * math.log((1 + new_edge) / (1 - new_edge))
        gain = (new_edge**2 - edge**2) / (1 - edge**2)
        weights = weights * (-y * (new_alpha * o - alpha * old)).exp()
        weights /= weights.sum()
        before, votes = votes, votes.joined(answers, labels)
        assert votes.edge == pytest.approx(new_edge)
        assert votes.alpha == pytest.approx(new_alpha)
        assert votes.gain(before) == pytest.approx(gain)
        found = votes.cost(labels).clamp_min(0).sum(1)
        torch.testing.assert_close(found / found.sum(), weights)
        alpha, edge, old = new_alpha, new_edge, o


def test_certain_answers_have_a_finite_weight():
    labels = torch.arange(3)
    votes = Votes.none(3, 3).joined(torch.eye(3, dtype=torch.double), labels)
    assert 1 < votes.alpha < 20
    votes = votes.joined(torch.eye(3, dtype=torch.double), labels)
    assert math.isfinite(votes.gain(votes))


def test_the_exponential_loss():
    output, targets = torch.tensor([[0.3, -0.2], [1.0, 2.0]]), torch.tensor([0, 0])
    wanted = torch.tensor([1 + math.exp(-0.5), 1 + math.exp(1.0)])
    torch.testing.assert_close(Exponential().loss(output, targets), wanted)


def test_only_the_block_and_the_way_to_the_answers_learn(data):
    network = preset("resnet8", 10, 0)
    assert changing(network, torch.zeros(2, 3, 8, 8)) == [False, True, True]
    before = {n: t.clone() for n, t in network.state_dict().items()}
    work = _Work(network, data, RECIPE, CPU, Boosting(look=3))
    block, _ = work.block(1, Votes.none(96, 10))
    moved = {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}
    places = {".".join(n.split(".")[:2]) if n.startswith("units") else "head" for n in moved}
    assert block.batches == 3
    assert places == {"units.0", "units.1", "units.2", "head"}  # block 1 is units.0
    images = torch.randn(3, 3, 8, 8)
    grown = Grown(network, 3, work.changing).eval()
    with torch.no_grad():
        torch.testing.assert_close(grown(images), network.eval()(images))


@pytest.mark.parametrize("classes", [2, 10])
def test_the_bound_holds_on_a_run(data, binary, tmp_path, classes):
    chosen = binary if classes == 2 else data
    torch.manual_seed(0)
    network = narrow()
    network.head[-1] = torch.nn.Linear(16, classes)
    done = boost(network, chosen, RECIPE, tmp_path, CPU)
    assert [b.number for b in done.blocks] == list(range(5))
    gains = 0.0
    for count, block in enumerate(done.blocks, 1):
        gains += block.gain
        assert block.train_error <= (classes - 1) * math.exp(-gains / 2)
        least = max(0.0, min(b.gain for b in done.blocks[:count]))
        assert block.train_error <= (classes - 1) * math.exp(-count * least / 2)
    assert done.blocks[-1].edge > 0.5
    assert done.blocks[-1].train_error < 0.3
    images, labels = Pixels(chosen.train, fit(chosen.train, "channel"), "cpu").batch(
        torch.arange(96)
    )
    with torch.no_grad():
        wrong = (network.eval()(images).argmax(1) != labels).double().mean().item()
    assert wrong == done.blocks[-1].train_error  # the deployed network is the last hypothesis


def test_boosting_goes_on_after_the_last_finished_block(data, tmp_path, monkeypatch):
    whole, parts = (narrow_from(0) for _ in "ab")
    fine = replace(find_recipe("digits").shortened(1), batch_size=32)
    first = boost(whole, data, RECIPE, tmp_path / "whole", CPU, fine_tuning=fine)
    real, asked = _Work.block, []

    def block(self, number, votes):
        asked.append(number)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(self, number, votes)

    monkeypatch.setattr(_Work, "block", block)
    with pytest.raises(KeyboardInterrupt):
        boost(parts, data, RECIPE, tmp_path / "parts", CPU, fine_tuning=fine)
    again = narrow_from(0)
    second = boost(again, data, RECIPE, tmp_path / "parts", CPU, fine_tuning=fine)
    assert asked == [0, 1, 2, 2, 3, 4]
    assert second.blocks == first.blocks
    assert second.weights == first.weights
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert boost(narrow_from(0), data, RECIPE, tmp_path / "parts", CPU).blocks == first.blocks
    with pytest.raises(UsageError, match="another network, recipe or data"):
        boost(narrow_from(0), data, replace(RECIPE, length=17), tmp_path / "parts", CPU)


def narrow_from(seed: int):
    torch.manual_seed(seed)
    return narrow()


def test_what_cannot_be_boosted_is_refused(data, tmp_path):
    with pytest.raises(UsageError, match="a loss of its own"):
        boost(narrow(), data, replace(RECIPE, scheme=ActiveSubset(1)), tmp_path, CPU)
    with pytest.raises(UsageError, match="ResidualNetwork"):
        boost(torch.nn.Linear(2, 2), data, RECIPE, tmp_path, CPU)
    with pytest.raises(UsageError, match="look"):
        Boosting(look=0)
