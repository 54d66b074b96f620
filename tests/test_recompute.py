"""Activation checkpointing: the same numbers to the bit, in little memory."""

import copy
from dataclasses import replace

import pytest
import torch
from conftest import MENAGERIE, image_batch, labels
from torch import nn

from residuum.data import load
from residuum.data.images import Dataset
from residuum.errors import UsageError
from residuum.machine import Machine
from residuum.presets import preset
from residuum.training import find_recipe, train
from residuum.views.recompute import RecomputedRow, recomputed

CPU = Machine(device="cpu", threads=1)


def step(network, x, y):
    """Gradients and buffers after a step in training mode; draws are a function of the seed."""
    torch.manual_seed(3)
    network.train().zero_grad()
    nn.functional.cross_entropy(network(x), y).backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return gradients, dict(network.named_buffers())


@pytest.mark.parametrize("name", MENAGERIE)
def test_gradients_and_statistics_are_the_same_to_the_bit(name):
    network, x, y = MENAGERIE[name](), image_batch(), labels()
    twin, names = copy.deepcopy(network), list(network.state_dict())
    wanted = step(network, x, y)
    with recomputed(twin):
        assert any(isinstance(m, RecomputedRow) for m in twin.modules())
        assert list(twin.state_dict()) == names
        found = step(twin, x, y)
    assert not any(isinstance(m, RecomputedRow) for m in twin.modules())
    for part, other in zip(found, wanted, strict=True):
        assert part.keys() == other.keys()
        for key in part:
            same = part[key] is other[key] is None or torch.equal(part[key], other[key])
            assert same, key


def kept_bytes(network, x) -> int:
    """Of the distinct tensors that the graph keeps for the backward pass, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that none is reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _graph = network.train()(x)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize(("name", "share"), [("preresnet164", 1 / 5), ("ror3-110", 1 / 4)])
def test_a_deep_network_keeps_little(name, share):
    """Rows inside a nest too, though each is a third as long."""
    network, x = preset(name, seed=0), image_batch(2, 8)
    whole = kept_bytes(network, x)
    with recomputed(network):
        assert kept_bytes(network, x) < whole * share


def test_a_run_is_the_same_with_and_without(tmp_path):
    digits = load("digits")
    data = Dataset("digits", digits.train.first(64), digits.test.first(20), digits.classes)
    recipe = replace(find_recipe("digits").shortened(2), batch_size=32)
    weights = []
    for machine in (CPU, replace(CPU, recompute=True)):
        folder = tmp_path / str(machine.recompute)
        run = train(preset("resnet20-stochastic", 10, 0), data, recipe, folder, machine)
        assert run.description.machine.recompute == machine.recompute
        weights.append(run.weights())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    with pytest.raises(UsageError, match="exclude each other"):
        replace(CPU, recompute=True, compile=True).resolved()
