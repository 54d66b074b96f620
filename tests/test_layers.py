"""Stacks of layers, dense layers, gates, maxout and companions: what the builders put where."""

import pytest
import torch
from conftest import MENAGERIE, image_batch, leaf_units, lively
from torch import nn

from residuum.errors import UsageError
from residuum.networks.cost import cost
from residuum.networks.densenet import (
    bottleneck_layer,
    cifar_densenet,
    cifar_densenet_bc,
    dense_layer,
    dropout_behind,
    imagenet_densenet,
    shrink,
    window,
)
from residuum.networks.elu import ELU18, elu_network
from residuum.networks.fitnet import FITNET4, fitnet
from residuum.networks.fractalnet import fractalnet
from residuum.networks.highway import highway, highway_linear
from residuum.networks.mlp import mlp_resnet
from residuum.networks.nin import all_cnn, dsn, nin
from residuum.networks.stacks import Convolution, classified, max_pool, stack
from residuum.parts.init import HIGHWAY, NORMAL, ORTHONORMAL, UNIFORM, XAVIER
from residuum.parts.maxout import Maxout
from residuum.parts.stems import flat_stem
from residuum.parts.wrappers import Companion, Scaled
from residuum.presets import preset


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def original_densenet(stem: int) -> int:
    """Counted layer by layer: depth 40, growth 12, no compression."""
    total, c = 27 * stem, stem
    for block in range(3):
        for _ in range(12):
            total += 2 * c + 9 * c * 12
            c += 12
        total += 2 * c + (c * c if block < 2 else 10 * c + 10)
    return total


def test_counts_with_a_hundred_classes_and_in_variants():
    with torch.device("meta"):
        assert parameters(nin(100)) == 984_356
        assert parameters(all_cnn(100)) == 1_387_108
        assert parameters(dsn(10)) == 3_547_496
        assert cost(dsn(10), 32).parameters == 966_986
        assert parameters(fitnet(10, FITNET4, 2, 5)) == 2_742_102
        assert round(parameters(elu_network(10)) / 1e6, 1) == 39.2
        assert round(parameters(elu_network(100)) / 1e6, 1) == 39.3
        assert round(parameters(preset("elu11")) / 1e6, 2) == 1.67
        assert [round(parameters(fractalnet(10, c)) / 1e6, 1) for c in (1, 2, 3, 4)] == [
            3.9, 13.3, 33.7, 76.1
        ]  # fmt: skip

        def affine(c_in: int, width: int, rate: float) -> nn.Module:
            conv = nn.Conv2d(c_in, width, 3, padding=1, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())

        assert parameters(fractalnet(10, make=affine)) == 33_724_618
        assert parameters(cifar_densenet(40, 12, 10)) == original_densenet(16) == 1_019_722
        assert parameters(cifar_densenet(40, 12, 10, stem=24)) == original_densenet(24)


def test_layers_that_keep_the_shape_are_units():
    network = stack(
        [Convolution(6, 5), Convolution(6, 2), max_pool(), Convolution(6, padded=False),
         Convolution(6, stride=2), Convolution(8), Convolution(8, 4)],
        classified(8, 10),
    )  # fmt: skip
    kinds = [[type(m).__name__ for m in unit.branch] for unit in network.units]
    assert kinds == [["ZeroPad2d", "Conv2d", "ReLU"]] * 2
    assert [type(m).__name__ for m in network.units[0].after] == [
        "MaxPool2d", "Conv2d", "ReLU", "Conv2d", "ReLU", "Conv2d", "ReLU"
    ]  # fmt: skip
    x = torch.randn(2, 6, 16, 16)
    assert network.units[0].branch(x).shape == x.shape
    assert all(unit.plain and unit.opens for unit in network.units)


def test_an_even_kernel_sees_the_pixel_to_the_right_and_below():
    conv = nn.Sequential(*stack([Convolution(3, 2)], []).units[0].branch)[:2]
    conv[1].weight.data.fill_(1.0)
    conv[1].bias.data.zero_()
    x = torch.zeros(1, 3, 4, 4)
    x[0, 0, 2, 2] = 1
    assert conv(x)[0, 0].nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_five_pools_leave_one_pixel():
    with torch.device("meta"):
        network = elu_network(10, ELU18)
        x, sides = network.stem(torch.empty(1, 3, 32, 32)), []
        for unit in network.units:
            x = unit(x)
            sides.append(x.shape[-1])
    assert (sides[0], sides[-1]) == (16, 1)


def test_maxout_by_hand():
    x = torch.tensor([[1.0, 5.0, -2.0, -3.0]])
    assert Maxout(2)(x).tolist() == [[5.0, -2.0]]
    assert Maxout(4)(x).tolist() == [[5.0]]
    assert Maxout(2)(torch.randn(2, 6, 3, 3)).shape == (2, 3, 3, 3)
    with pytest.raises(UsageError, match="at least one piece"):
        Maxout(0)


def test_companions_act_in_training_alone():
    network, x = dsn(10, size=8), image_batch(2, 8)
    found = [m for m in network.modules() if isinstance(m, Companion)]
    network.train()(x)
    assert [c.logits.shape for c in found] == [(2, 10)] * 3
    sum(c.logits.sum() for c in found).backward()
    assert all(p.grad is not None for c in found for p in c.parameters())
    before = found[0].road(x)
    assert (before < 0).any()  # ahead of the ReLU
    torch.testing.assert_close(found[0].logits, found[0].head(before))
    network.eval()
    with torch.no_grad():
        expected = network(x)
        for companion in found:
            nn.init.normal_(companion.head[1].weight)
        assert torch.equal(network(x), expected)


def test_gates_start_at_their_bias():
    network = preset("highway1", seed=0)
    for unit in network.units:
        assert (unit.merge.transform.bias == -2).all()
        weight = unit.merge.transform.weight
        deviation = (2 / weight[0].numel()) ** 0.5
        assert weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert (unit.branch[0].bias == 0).all()
    assert network.stem[1].weight.std().item() == pytest.approx(0.05, rel=0.1)
    code = preset("highway19", seed=0)
    assert code.stem[1].weight.std().item() == pytest.approx(1, rel=0.1)
    assert (preset("highway-fc-10", seed=0).units[3].merge.transform.bias == -1).all()


@pytest.mark.parametrize(
    ("rule", "deviation"),
    [(HIGHWAY, (2 / 144) ** 0.5), (XAVIER, (2 / 288) ** 0.5), (NORMAL, 0.05),
     (UNIFORM, 0.005 / 3**0.5), (ORTHONORMAL, 1 / 12)],
)  # fmt: skip
def test_rules_of_initial_weights(rule, deviation):
    network = rule(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3)), seed=0)
    weight = network[1].weight
    assert weight.std().item() == pytest.approx(deviation, rel=0.05)
    assert (network[1].bias == 0).all()
    rows = weight.flatten(1)
    if rule is ORTHONORMAL:
        torch.testing.assert_close(rows @ rows.T, torch.eye(16), atol=1e-5, rtol=0)
    again = rule(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3)), seed=0)
    assert torch.equal(weight, again[1].weight)


def test_a_window_reads_the_last_layers_alone():
    layers = window(dense_layer, 2)(20, 4)
    branch = nn.Sequential(*layers).eval()
    x = torch.randn(2, 20, 4, 4)
    changed = x.clone()
    changed[:, :12] += 1
    assert torch.equal(branch(x), branch(changed))
    assert not torch.equal(branch(x), branch(x + 1))
    assert len(window(dense_layer, 5)(20, 4)) == 3  # nothing to leave out
    with pytest.raises(UsageError, match="at least one layer"):
        window(dense_layer, 0)


def test_dropout_stands_behind_every_convolution_but_the_first():
    network = cifar_densenet_bc(10, 4, 10, dropout=0.2)
    modules = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Dropout)]
    kinds = ["conv" if isinstance(m, nn.Conv2d) else "drop" for m in modules]
    assert kinds == ["conv", *["conv", "drop"] * (len(kinds) // 2)]
    assert len(dropout_behind(bottleneck_layer, 0.2)(8, 4)) == 8


def test_a_dense_block_by_hand():
    network, x = lively(cifar_densenet(7, 4, 10)), image_batch(2, 8)
    with torch.no_grad():
        signal = network.stem(x)
        for number, unit in enumerate(network.units):
            signal = torch.cat([signal, unit.branch(signal)], 1)
            if number < 2:
                norm, relu, conv, pool = unit.after
                signal = pool(conv(relu(norm(signal))))
                assert conv.in_channels == conv.out_channels == signal.shape[1]
        torch.testing.assert_close(network(x), network.head(signal))


def test_networks_on_flat_images():
    grey = torch.randn(4, 1, 8, 8)
    assert torch.allclose(flat_stem()(grey.expand(4, 3, 8, 8)), grey.flatten(1), atol=1e-6)
    network = highway_linear(10, 3, 5, size=8).eval()
    unit, x = network.units[0], torch.randn(4, 5)
    gate = torch.sigmoid(unit.merge.transform(x))
    expected = gate * unit.branch(x) + (1 - gate) * x
    torch.testing.assert_close(unit(x), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cifar_densenet(41, 12, 10), "depth 3n\\+4"),
        (lambda: cifar_densenet_bc(103, 12, 10), "depth 6n\\+4"),
        (lambda: imagenet_densenet(120, 10), "121, 161, 169, 201"),
        (lambda: dsn(10, size=30), "do not divide by 4"),
        (lambda: highway(10, (8,), (0,)), "has a unit"),
        (lambda: shrink(0), "above 0 and at most 1"),
        (lambda: shrink(1.5), "above 0 and at most 1"),
        (lambda: Scaled(None, float("nan")), "a finite number, not nan"),
        (lambda: highway_linear(10, 1), "depth 2 and more"),
        (lambda: mlp_resnet(10, 0), "at least one unit"),
        (lambda: flat_stem()(torch.zeros(1, 5, 4, 4)), "3 channels, not 5"),
    ],
)
def test_what_cannot_be_built_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_the_units_of_the_menagerie_are_what_they_are_named_for():
    assert len(leaf_units(MENAGERIE["stack"]())) == 3
    assert len(leaf_units(MENAGERIE["columns"]())) == 7
