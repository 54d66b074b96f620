"""Grouped and wide networks against torchvision's and pytorchcv's on copied weights.

Both list a unit's layers in signal order and the projection behind them, as ours do, so tensors are
copied in order; loading them checks every shape.
"""

import pytest
import torch
from conftest import lively
from torch import nn

from residuum.networks.resnet import cifar_resnet
from residuum.networks.stages import residual
from residuum.networks.wide import wide_resnet
from residuum.parts.branches import grouped
from residuum.parts.shortcuts import option_b
from residuum.presets import preset


def agree(ours: nn.Module, theirs: nn.Module, size: int) -> None:
    """`ours` is on the meta device: its weights are theirs."""
    lively(theirs)
    tensors = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(tensors), assign=True)
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = ours.eval()(x), theirs(x)
    limit = 1e-4 * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=limit)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("resnext50-32x4d", "resnext50_32x4d"),
        ("resnext101-64x4d", "resnext101_64x4d"),
        ("wide-resnet50-2", "wide_resnet50_2"),
    ],
)
def test_same_logits_as_torchvision(name, theirs):
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        ours, other = preset(name), getattr(models, theirs)()
    other = other.to_empty(device="cpu")
    torch.manual_seed(0)
    for tensor in other.state_dict().values():
        if tensor.ndim > 1:  # a tenth of the time that torchvision's own start takes
            tensor.uniform_(-1, 1).mul_((3 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.zero_()
    agree(ours, other, 64)


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wide_resnet50_2", "wide_resnet101_2"])
def test_same_parameter_counts_as_torchvision(name):
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in network.parameters())
            for network in (preset(name.replace("_", "-")), getattr(models, name)())
        ]
    assert counts[0] == counts[1]


def test_wide_networks_are_those_of_pytorchcv():
    theirs = pytest.importorskip("pytorchcv.models.wrn_cifar").get_wrn_cifar(10, 16, 2)
    with torch.device("meta"):
        ours = wide_resnet(16, 2, 10)
    agree(ours, theirs, 32)


def test_small_grouped_networks_are_those_of_pytorchcv():
    theirs = pytest.importorskip("pytorchcv.models.resnext_cifar").get_resnext_cifar(10, 20, 4, 16)
    with torch.device("meta"):
        ours = cifar_resnet(20, 10, residual(grouped(4, 16), option_b), width=64)
    agree(ours, theirs, 32)
