"""The menagerie: one small specimen of every kind of network, that every law is tested on."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from residuum import progress
from residuum.networks.stacks import vgg
from residuum.networks.stages import Stage, residual, row
from residuum.parts.arrangements import ORIGINAL, PREACT
from residuum.parts.branches import basic
from residuum.parts.heads import linear_head
from residuum.parts.shortcuts import option_a, option_b, projection
from residuum.parts.stems import cifar_stem
from residuum.presets import preset
from residuum.units import ResidualNetwork, ResidualUnit, Row

torch.set_num_threads(1)


def nested(seed: int = 0) -> ResidualNetwork:
    """Residual networks of residual networks in small: a shortcut round each stage and one round all (RoR-3)."""
    torch.manual_seed(seed)
    stages = []
    for c_in, width, stride in ((8, 8, 1), (8, 16, 2), (16, 32, 2)):
        units = list(row(c_in, [Stage(2, width, stride)], residual(basic, option_b)))
        stages.append(ResidualUnit(Row(units), projection(c_in, width, stride), nn.ReLU()))
    whole = ResidualUnit(Row(stages), projection(8, 32, 4), nn.ReLU())
    return ResidualNetwork(cifar_stem(8, ORIGINAL), [whole], linear_head(32, 10, ORIGINAL))


def narrow(arrangement=PREACT, shortcut=option_a, units: int = 2) -> ResidualNetwork:
    stages = [Stage(units, 8, 1), Stage(units, 16, 2)]
    rows = row(8, stages, residual(basic, shortcut, arrangement))
    return ResidualNetwork(cifar_stem(8, arrangement), rows, linear_head(16, 10, arrangement))


MENAGERIE: dict[str, Callable[[], ResidualNetwork]] = {
    "post-activation A": lambda: preset("resnet20", seed=0),
    "pre-activation A": lambda: preset("preresnet20", seed=0),
    "bn_after_add": lambda: preset("resnet20", seed=0, arrangement="bn_after_add"),
    "relu_before_add": lambda: preset("resnet20", seed=0, arrangement="relu_before_add"),
    "relu_preact": lambda: preset("resnet20", seed=0, arrangement="relu_preact"),
    "A, averaged": lambda: preset("resnet20", seed=0, shortcut="A-avg"),
    "B": lambda: preset("resnet20", seed=0, shortcut="B"),
    "C": lambda: preset("resnet20", seed=0, shortcut="C"),
    "pre-activation B": lambda: preset("preresnet20", seed=0, shortcut="B-bare"),
    "plain": lambda: preset("plain20", seed=0),
    "plain pre-activation": lambda: preset("preplain20", seed=0),
    "VGG": lambda: vgg(10, width=8, size=16),
    "nested": nested,
}


def lively(network: nn.Module, seed: int = 1) -> nn.Module:
    """As after training: statistics and scales away from 0 and 1, so that a forgotten one shows. Evaluation mode."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.2, generator=source)
                module.running_var.uniform_(0.5, 1.5, generator=source)
                module.weight.uniform_(0.5, 1.5, generator=source)
                module.bias.normal_(0, 0.2, generator=source)
    return network.eval()


@pytest.fixture(params=MENAGERIE)
def specimen(request) -> ResidualNetwork:
    return lively(MENAGERIE[request.param]())  # type: ignore[return-value]


def pictures(n: int = 6, size: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def labels(n: int = 6) -> Tensor:
    return torch.arange(n) % 10


@pytest.fixture(autouse=True)
def silence(monkeypatch):
    monkeypatch.setattr(progress, "quiet", True)


def fingerprint(network: nn.Module) -> list:
    """All that an analysis must leave as it was."""
    modules = [
        (name, id(m), m.training, len(m._forward_hooks), len(m._backward_hooks)) for name, m in network.named_modules()
    ]
    tensors = [(name, t.clone()) for name, t in network.state_dict().items()]
    flags = [(p.requires_grad, p.grad is None) for p in network.parameters()]
    return [modules, flags, torch.get_rng_state(), tensors]


def same_fingerprint(before: list, after: list) -> bool:
    tensors = all(a == b and torch.equal(x, y) for (a, x), (b, y) in zip(before[3], after[3], strict=True))
    return before[:2] == after[:2] and torch.equal(before[2], after[2]) and tensors
