"""The short fine-tune of a smaller model by the intact one's answers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import fingerprint, image_batch, lively, same_fingerprint
from foreign import ready
from torch import nn

import residuum
from residuum.anatomy import Examples
from residuum.errors import NumericError, UsageError
from residuum.networks.resnet import cifar_resnet
from residuum.surgery import Healing, heal, healing, removed, without_branches


def pair():
    torch.manual_seed(0)
    network = lively(cifar_resnet(8, 10, width=8))
    return network, removed(network, [1])


def examples(n: int = 20) -> Examples:
    return Examples(image_batch(n), torch.arange(n) % 10)


def test_healing_brings_the_answers_nearer_and_repeats_itself():
    network, small = pair()
    data, before = examples(), fingerprint(network)

    def distance() -> float:
        with torch.no_grad():
            theirs, ours = network(data.inputs).log_softmax(1), small(data.inputs).log_softmax(1)
        return float(F.kl_div(ours, theirs, log_target=True, reduction="batchmean"))

    apart = distance()
    healing = Healing(epochs=12, batch_size=8, learning_rate=3e-3, share=0.99)
    found = heal(small, network, data, healing)
    assert distance() < apart / 2
    assert found[-1] < found[0]
    assert same_fingerprint(before, fingerprint(network))
    assert not small.training
    again = pair()[1]
    assert heal(again, network, data, healing) == found
    assert all(map(torch.equal, again.parameters(), small.parameters()))


def test_the_loss_of_the_first_step_is_the_formula():
    network, small = pair()
    data, small = examples(8), small.train()
    twin = pair()[1].train()
    ours = twin(data.inputs)
    with torch.no_grad():
        theirs = network(data.inputs)
    p, q = (theirs / 3).softmax(1), (ours / 3).softmax(1)
    soft = (p * (p.log() - q.log())).sum(1).mean()
    expected = 0.25 * F.cross_entropy(ours, data.targets) + 0.75 * 9 * soft
    found = heal(small, network, data, Healing(1, 8, temperature=3.0, share=0.75))
    assert found[0] == pytest.approx(float(expected.detach()), rel=1e-4)


def test_noise_rests():
    """An intact copy has nothing to learn from the intact model: their answers are the same."""
    torch.manual_seed(0)
    data = examples(8)
    layer = nn.Linear(data.inputs[0].numel(), 10)
    intact = nn.Sequential(nn.Flatten(), layer, nn.Dropout(0.5)).eval()
    small = copy.deepcopy(intact)
    found = heal(small, intact, data, Healing(1, 8, learning_rate=1e-6, share=0.75))
    loss = F.cross_entropy(intact(data.inputs), data.targets)
    assert found == [pytest.approx(0.25 * float(loss.detach()), rel=1e-5)]


@pytest.mark.parametrize(("n", "batch", "steps"), [(9, 4, 2), (9, 3, 3), (1, 4, 1), (3, 1, 3)])
def test_no_batch_normalisation_of_one_example(n, batch, steps, monkeypatch):
    torch.manual_seed(0)
    layers = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)
    intact = nn.Sequential(*layers).eval()
    data = Examples(torch.randn(n, 4), torch.arange(n) % 3)
    seen = []
    monkeypatch.setattr(healing, "_step", lambda *given: seen.append(given))
    heal(copy.deepcopy(intact), intact, data, Healing(batch_size=batch))
    assert len(seen) == steps


def test_a_graph_is_healed_too():
    model, inputs = ready("vit", 6)
    small = without_branches(residuum.unravel(model, inputs), [1])
    data = Examples(inputs, torch.arange(6))
    found = heal(small, model, data, Healing(epochs=5, batch_size=3, learning_rate=1e-3))
    assert found[-1] < found[0]


def test_refused():
    with pytest.raises(UsageError, match="share"):
        Healing(share=1.5)
    network, small = pair()
    with torch.no_grad():
        small.head[-1].weight.fill_(torch.inf)
    with pytest.raises(NumericError, match="take a smaller learning rate"):
        heal(small, network, examples())
