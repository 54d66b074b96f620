"""The menagerie: one small specimen of every kind of network, that every law is tested on."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from residuum import progress
from residuum.networks.densenet import bottleneck_layer, densenet, shrink, window
from residuum.networks.fitresnet import fitresnet
from residuum.networks.fractalnet import fractalnet
from residuum.networks.gated import exclusive_gate, noisy_shortcut, shortcut_gate
from residuum.networks.highway import highway as make_highway
from residuum.networks.highway import highway_linear
from residuum.networks.mlp import mlp_resnet
from residuum.networks.resnet import cifar_network, cifar_resnet, three_stages
from residuum.networks.rir import rir
from residuum.networks.ror import levels
from residuum.networks.stacks import Convolution, classified, dropout, max_pool, stack, vgg
from residuum.networks.stages import Stage, residual, row, share_nothing
from residuum.networks.stochastic import linear, linear_from_one, survive, swap_out
from residuum.networks.weighted import weighted, widening
from residuum.networks.wide import dropping_out, wide
from residuum.parts.arrangements import ORIGINAL, PELUS, PREACT
from residuum.parts.branches import basic, grouped
from residuum.parts.heads import linear_head
from residuum.parts.maxout import Maxout
from residuum.parts.merges import Concat, Gate, Mean
from residuum.parts.shortcuts import Severed, option_a, option_b, projection
from residuum.parts.stems import cifar_stem
from residuum.parts.wrappers import Dropped, Noisy, Scaled, Weighted
from residuum.presets import preset
from residuum.storage import seal
from residuum.units import ResidualNetwork, ResidualUnit, Row

torch.set_num_threads(1)
# torch.export makes autograd start threads on its first use behind it, and a process with such
# threads cannot be forked; on its first use ahead of it, it starts none
torch.ones(1, requires_grad=True).backward()
# a shell that starts the suite in the background has it ignore SIGINT, and its children too
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def told(monkeypatch):
    """The lines that are said beside the results."""
    lines: list[str] = []
    monkeypatch.setattr(progress, "say", lines.append)
    return lines


def nested(seed: int = 0, units: int = 2, width: int = 8, halving: int = 2) -> ResidualNetwork:
    """Residual networks of residual networks in small: a shortcut round each stage and one round
    all (RoR-3)."""
    torch.manual_seed(seed)
    stages, c_in = [], width
    for stage in range(3):
        stride = halving if stage else 1
        c_out = c_in * stride
        inner = list(row(c_in, [Stage(units, c_out, stride)], residual(basic, option_b)))
        stages.append(ResidualUnit(Row(inner), projection(c_in, c_out, stride), nn.ReLU()))
        c_in = c_out
    whole = ResidualUnit(Row(stages), projection(width, c_in, halving**2), nn.ReLU())
    return ResidualNetwork(cifar_stem(width, ORIGINAL), [whole], linear_head(c_in, 10, ORIGINAL))


def narrow(arrangement=PREACT, shortcut=option_a, units: int = 2) -> ResidualNetwork:
    stages = [Stage(units, 8, 1), Stage(units, 16, 2)]
    rows = row(8, stages, residual(basic, shortcut, arrangement))
    return ResidualNetwork(cifar_stem(8, arrangement), rows, linear_head(16, 10, arrangement))


def convolution(c_in: int, c_out: int, bias: float | None = None) -> nn.Sequential:
    """BN, ReLU, 3x3 convolution: a branch, or with `bias` the transform of a gate."""
    conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=bias is not None)
    if bias is not None:
        nn.init.constant_(conv.bias, bias)
    return nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU(), conv)


def headed(units, channels: int) -> ResidualNetwork:
    return ResidualNetwork(cifar_stem(8, ORIGINAL), units, linear_head(channels, 10, ORIGINAL))


def highway(units: int = 4, seed: int = 0) -> ResidualNetwork:
    torch.manual_seed(seed)
    return headed(
        [
            ResidualUnit(convolution(8, 8), merge=Gate(convolution(8, 8, -1.0)))
            for _ in range(units)
        ],
        8,
    )


def dense(units: int = 4, seed: int = 0) -> ResidualNetwork:
    """Growth 4, a transition to half the channels and half the size behind the second unit."""
    torch.manual_seed(seed)
    built, channels = [], 8
    for i in range(units):
        after = None
        if i == 1:
            after = nn.Sequential(nn.Conv2d(channels + 4, 8, 1), nn.AvgPool2d(2))
        built.append(ResidualUnit(convolution(channels, 4), after=after, merge=Concat(4)))
        channels = 8 if after else channels + 4
    return headed(built, channels)


def fractal(seed: int = 0) -> ResidualNetwork:
    """Joins of a column of one convolution and a column of two; and of two single convolutions."""
    torch.manual_seed(seed)

    def join():
        column = Row(ResidualUnit(convolution(8, 8), Severed()) for _ in range(2))
        return ResidualUnit(column, convolution(8, 8), nn.ReLU(), merge=Mean())

    return headed(
        [join(), ResidualUnit(convolution(8, 8), convolution(8, 8), merge=Mean()), join()], 8
    )


def gated_nest(seed: int = 0) -> ResidualNetwork:
    """A gate, a concatenation and a plain nest round rows of units; inside the first another nest,
    which ends with it."""
    torch.manual_seed(seed)
    innermost = ResidualUnit(Row([ResidualUnit(convolution(8, 8))]), convolution(8, 8), nn.ReLU())
    inner = Row([ResidualUnit(convolution(8, 8)), innermost])
    gated = ResidualUnit(inner, merge=Gate(convolution(8, 8, 0.5)), after=nn.ReLU())
    grown = ResidualUnit(
        Row([ResidualUnit(convolution(8, 4), nn.Conv2d(8, 4, 1))]), merge=Concat(4)
    )
    plain = ResidualUnit(
        Row([ResidualUnit(convolution(12, 12)), ResidualUnit(convolution(12, 12))]), Severed()
    )
    return headed([gated, grown, plain], 12)


def wrapped(seed: int = 0) -> ResidualNetwork:
    """Each wrapper round a branch, a shortcut or both."""
    torch.manual_seed(seed)
    units = [
        ResidualUnit(Scaled(convolution(8, 8), 0.7), Scaled(None, 0.5), nn.ReLU()),
        ResidualUnit(Noisy(convolution(8, 8), 0.6), Noisy(None, 0.8)),
        ResidualUnit(Weighted(convolution(8, 8)), nn.Conv2d(8, 8, 1)),
        ResidualUnit(Dropped(convolution(8, 8), 0.5, "sample", "training")),
        ResidualUnit(convolution(8, 8), Dropped(None, 0.9)),
    ]
    nn.init.constant_(units[2].branch.weight, -0.4)
    return headed(units, 8)


def beside_projections(seed: int = 0) -> ResidualNetwork:
    """Branches that may be dropped beside projections, and a shortcut that alone is scaled."""
    torch.manual_seed(seed)
    units = [
        ResidualUnit(Dropped(convolution(8, 8), 0.8), nn.Conv2d(8, 8, 1)),
        ResidualUnit(Dropped(convolution(8, 8), 0.6), projection(8, 8, 1), nn.ReLU()),
        ResidualUnit(convolution(8, 8), Scaled(None, 0.5)),
    ]
    return headed(units, 8)


def widened(seed: int = 0) -> ResidualNetwork:
    torch.manual_seed(seed)
    network = cifar_network(8, three_stages(2, 8), 10, weighted(), widening())
    for number, unit in enumerate(network.units):
        nn.init.constant_(unit.branch.weight, 0.3 - 0.2 * number)
    return network


def seeded(build: Callable[..., ResidualNetwork], *arguments, **named) -> ResidualNetwork:
    torch.manual_seed(0)
    return build(*arguments, **named)


PRE = residual(arrangement=PREACT)
RAW = residual(arrangement=PREACT, opening=share_nothing)
HALF = linear_from_one(0.5)
SMALL_FITNET = (Stage(1, 8, 1), Stage(1, 12, 1), Stage(3, 16, 1), Stage(3, 24, 1))


def columns(count: int = 3, seed: int = 0) -> ResidualNetwork:
    """One block of FractalNet: `count` columns of 1, 2, 4 layers, all of whose layers are units."""
    torch.manual_seed(seed)
    return fractalnet(10, count, (6,), (0.1,))


def two_blocks(seed: int = 0) -> ResidualNetwork:
    """DenseNet-BC that looks back two layers; a transition between its blocks."""
    torch.manual_seed(seed)
    layer = window(bottleneck_layer, 2)
    return densenet(10, cifar_stem(8, PREACT), 8, (2, 2), 4, layer, shrink(0.5, 0.1))


def stacked(seed: int = 0) -> ResidualNetwork:
    """Maxout layers, of which three keep the shape; an even kernel, a companion, pools, dropout."""
    torch.manual_seed(seed)

    def head(width: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(width * 64, 10))

    items = [dropout(0.1), Convolution(6, 5), Convolution(6, 2), max_pool(3),
             Convolution(6, head=head), dropout(0.5), Convolution(8), Convolution(8, 1),
             Convolution(8, stride=2)]  # fmt: skip
    return stack(items, classified(8, 10), Maxout, 2)


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
    "highway": highway,
    "dense": dense,
    "fractal": fractal,
    "gated nest": gated_nest,
    "stochastic depth": lambda: preset("resnet20-stochastic", seed=0),
    "wrapped roads": wrapped,
    "dropped beside projections": beside_projections,
    "shortcut gate": lambda: seeded(cifar_resnet, 8, 10, shortcut_gate(residual(), -1), 8),
    "exclusive gate": lambda: seeded(cifar_resnet, 14, 10, exclusive_gate(residual(), -1), 8),
    "shortcut gate, dropout": lambda: seeded(
        cifar_resnet, 8, 10, noisy_shortcut(shortcut_gate(residual(), -1)), 8
    ),
    "RoR-4": lambda: seeded(cifar_resnet, 14, 10, residual(), 8, levels(4)),
    "pre-RoR-3, stochastic depth": lambda: seeded(
        cifar_resnet, 8, 10, survive(RAW, linear(0.5)), 8, levels(3)
    ),
    "wide, dropout": lambda: seeded(
        cifar_network, 8, three_stages(1, 16), 10, wide(arrangement=dropping_out(0.3))
    ),
    "ResNeXt": lambda: seeded(cifar_resnet, 11, 10, residual(grouped(2, 32), option_b), 8),
    "Swapout": lambda: seeded(cifar_resnet, 8, 10, swap_out(PRE, HALF, HALF), 8),
    "RiR": lambda: seeded(rir, 10, width=8, counts=(1, 1, 1)),
    "PELU": lambda: seeded(cifar_resnet, 8, 10, residual(arrangement=PELUS), 8),
    "weighted, widening": widened,
    "FitResNet": lambda: seeded(fitresnet, 10, stages=SMALL_FITNET),
    "columns": columns,
    "dense blocks": two_blocks,
    "stack": stacked,
    "convolutional highway": lambda: seeded(make_highway, 10, (4, 6), (1, 2)),
    "flat highway": lambda: seeded(highway_linear, 10, 4, 6, size=16),
    "flat": lambda: seeded(mlp_resnet, 10, 3, 6, size=16),
}


def lively(network: nn.Module, seed: int = 1) -> nn.Module:
    """As after training: statistics and scales away from 0 and 1, so that a forgotten one shows.

    Evaluation mode.
    """
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.2, generator=source)
                module.running_var.uniform_(0.5, 1.5, generator=source)
                if module.affine:
                    module.weight.uniform_(0.5, 1.5, generator=source)
                    module.bias.normal_(0, 0.2, generator=source)
    return network.eval()


@pytest.fixture(params=MENAGERIE)
def specimen(request) -> ResidualNetwork:
    return lively(MENAGERIE[request.param]())  # type: ignore[return-value]


def reseal(file: Path, change: Callable[[str], str] | None = None, **fields: object) -> None:
    """Edit a sealed JSON file (its text, or fields of it) as one who knows of the digest would."""
    text = file.read_text()
    value = json.loads(change(text) if change else text) | fields
    value.pop("sha256")
    file.write_text(json.dumps(seal(value, value.pop("schema"))))


def image_batch(n: int = 6, size: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def labels(n: int = 6) -> Tensor:
    return torch.arange(n) % 10


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """The user's cache is neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def silence(monkeypatch):
    monkeypatch.setattr(progress, "quiet", True)


def fingerprint(network: nn.Module) -> list:
    """All that an analysis must leave as it was."""
    modules = [
        (name, id(m), m.training, len(m._forward_hooks), len(m._backward_hooks))
        for name, m in network.named_modules()
    ]
    tensors = [(name, t.clone()) for name, t in network.state_dict().items()]
    flags = [(p.requires_grad, p.grad is None) for p in network.parameters()]
    return [modules, flags, torch.get_rng_state(), tensors]


def same_fingerprint(before: list, after: list) -> bool:
    tensors = all(
        a == b and torch.equal(x, y) for (a, x), (b, y) in zip(before[3], after[3], strict=True)
    )
    return before[:2] == after[:2] and torch.equal(before[2], after[2]) and tensors


def all_units(row):
    """Leaves and nests, depth first."""
    for unit in row:
        yield unit
        for road in (unit.shortcut, unit.branch):
            if isinstance(road, Row):
                yield from all_units(road)


def leaf_units(network):
    return [unit for unit in all_units(network.units) if not isinstance(unit.branch, Row)]


def ordinary_gradient(network, x, targets):
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(network(x), targets, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient


class Zeroed(nn.Module):
    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return torch.zeros_like(self.branch(x))
