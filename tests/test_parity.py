"""Our networks against torchvision's, timm's and fb.resnet.torch's, on copied weights, both ways:
independent implementations of the same papers. docs/weights.md lists what is compared."""

from functools import partial

import pytest
import torch
from conftest import lively
from safetensors.torch import save_file
from torch import nn

import residuum
from residuum.errors import CheckpointError, UsageError
from residuum.networks.stacks import vgg
from residuum.networks.stages import Stage, residual, row, share_after_activated_stem
from residuum.networks.weights import load_weights, weights_as
from residuum.parts.arrangements import ORIGINAL, PREACT
from residuum.parts.branches import basic, bottleneck_late_stride, grouped
from residuum.parts.heads import linear_head
from residuum.parts.shortcuts import Severed, option_b, option_b_bare
from residuum.parts.stems import imagenet_stem
from residuum.presets import preset
from residuum.units import ResidualNetwork, ResidualUnit

models = pytest.importorskip("torchvision.models")
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet  # noqa: E402
from torchvision.models.vgg import make_layers  # noqa: E402


def agree(ours: nn.Module, theirs: nn.Module, library: str, size: int = 40, batch: int = 2):
    """The same logits once their weights are here; and the same tensors on the way back."""
    lively(theirs)
    assert load_weights(ours, theirs.state_dict()) == library
    x = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = ours.eval()(x), theirs.eval()(x)
    limit = 1e-4 * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=limit)
    assert found.abs().max() > 0
    back = weights_as(ours, library)
    assert list(back) == list(theirs.state_dict()) or library == "timm"
    assert back.keys() == theirs.state_dict().keys()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(back[name], tensor), name
    theirs.load_state_dict(back)  # as a stranger would, shapes and all


DEPTHS = (18, 34, 50, 101, 152)


@pytest.mark.parametrize("depth", DEPTHS)
def test_resnets_of_torchvision(depth):
    theirs = getattr(models, f"resnet{depth}")(weights=None)
    agree(preset(f"resnet{depth}", seed=1), theirs, "torchvision", 32)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (grouped(1, 128), {"width_per_group": 128}),
        (grouped(32, 4), {"groups": 32, "width_per_group": 4}),
    ],
    ids=["wide", "next"],
)
def test_wide_and_grouped_networks_of_torchvision(block, words):
    theirs = ResNet(Bottleneck, [2, 1, 1, 2], num_classes=7, **words)
    maker = residual(block, option_b, opening=share_after_activated_stem)
    agree(imagenet(maker, 2048, ORIGINAL, (2, 1, 1, 2)), theirs, "torchvision", 32)


def test_resnets_of_timm():
    """timm names them as torchvision does."""
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("resnet18", num_classes=7)
    agree(preset("resnet18", 7, seed=1), theirs, "torchvision", 64)


def test_densenet121_of_torchvision():
    agree(preset("densenet121", seed=1), models.densenet121(weights=None), "torchvision", 64)


def bare_stem() -> nn.Sequential:
    convolution = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    return nn.Sequential(convolution, nn.MaxPool2d(3, 2, 1))


def preactivation(block, counts) -> ResidualNetwork:
    """He et al. 2016 as timm has it: nothing activated in the stem, projections read what is."""
    stages = [Stage(n, 64 * 2**s, 1 if s == 0 else 2) for s, n in enumerate(counts)]
    opening = lambda place, projects: "shared" if projects else "own"  # noqa: E731
    maker = residual(block, option_b_bare, PREACT, opening)
    head = linear_head(block(1, 64 * 2 ** (len(counts) - 1), 1)[-1].c_out, 7, PREACT)
    return ResidualNetwork(bare_stem(), row(64, stages, maker), head)


@pytest.mark.parametrize(
    ("name", "block", "counts"),
    [
        ("resnetv2_18", basic, (2, 2, 2, 2)),
        ("resnetv2_50", bottleneck_late_stride, (3, 4, 6, 3)),
        ("resnetv2_101", bottleneck_late_stride, (3, 4, 23, 3)),
    ],
)
def test_preactivation_networks_of_timm(name, block, counts):
    timm = pytest.importorskip("timm")
    agree(preactivation(block, counts), timm.create_model(name, num_classes=7), "timm", 32)


class Table(nn.Sequential):
    """nn.ConcatTable and nn.CAddTable of Torch7 in one, the second without a number of its own."""

    def forward(self, x):
        branch, shortcut = self
        return branch(x) + shortcut(x)


def of_lua(stem, stages, head, preactivation: bool) -> nn.Sequential:
    """resnet.lua and preresnet.lua, add by add; a block is (before, branch, shortcut)."""

    def block(before, branch, shortcut):
        end = [] if preactivation else [nn.Identity(), nn.ReLU()]  # CAddTable, ReLU
        return nn.Sequential(*before, Table(nn.Sequential(*branch), shortcut), *end)

    rows = [nn.Sequential(*(block(*parts) for parts in stage)) for stage in stages]
    return nn.Sequential(*stem, *rows, *head)


def conv(c_in, c_out, kernel, stride=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)


def lua_resnet() -> nn.Sequential:
    """fb.resnet.torch on ImageNet, two stages of bottlenecks."""

    def stage(c_in, width, stride):
        for i in range(2):
            c_in, step = (c_in, stride) if i == 0 else (4 * width, 1)
            branch = [conv(c_in, width, 1), nn.BatchNorm2d(width), nn.ReLU()]
            branch += [conv(width, width, 3, step), nn.BatchNorm2d(width), nn.ReLU()]
            branch += [conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)]
            projection = [conv(c_in, 4 * width, 1, step), nn.BatchNorm2d(4 * width)]
            yield [], branch, nn.Sequential(*projection) if i == 0 else nn.Identity()

    stem = [conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 7)]
    return of_lua(stem, [stage(64, 64, 1), stage(256, 128, 2)], head, preactivation=False)


def lua_preresnet() -> nn.Sequential:
    """fb.resnet.torch's preresnet.lua on ImageNet, two stages of basic blocks."""

    def stage(c_in, width, stride):
        for i in range(2):
            c_in, step = (c_in, stride) if i == 0 else (width, 1)
            opening = [nn.BatchNorm2d(c_in), nn.ReLU()]
            shared = i == 0 and stride > 1  # "both_preact"; of the first stage "no_preact"
            branch = [conv(c_in, width, 3, step), nn.BatchNorm2d(width), nn.ReLU()]
            branch = [*(opening if i else []), *branch, conv(width, width, 3)]
            projects = i == 0 and c_in != width
            shortcut = conv(c_in, width, 1, step) if projects else nn.Identity()
            yield opening if shared else [], branch, shortcut

    stem = [conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    end = [nn.BatchNorm2d(128), nn.ReLU()]
    head = [*end, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 7)]
    return of_lua(stem, [stage(64, 64, 1), stage(64, 128, 2)], head, preactivation=True)


def imagenet(maker, width, arrangement, counts=(2, 2)) -> ResidualNetwork:
    stages = [Stage(n, 64 * 2**s, 1 if s == 0 else 2) for s, n in enumerate(counts)]
    return ResidualNetwork(
        imagenet_stem(64), row(64, stages, maker), linear_head(width, 7, arrangement)
    )


def test_networks_of_fb_resnet_torch():
    late = partial(residual, opening=share_after_activated_stem)
    post = imagenet(late(bottleneck_late_stride, option_b), 512, ORIGINAL)
    agree(post, lua_resnet(), "fb", 64)
    pre = imagenet(late(basic, option_b_bare, PREACT), 128, PREACT)
    agree(pre, lua_preresnet(), "fb", 64)


def test_files_of_torch7_converted():
    """Without counters, and the linear layer behind a reshaping of its own number."""
    ours = preset("resnet20", seed=0)
    state = weights_as(lively(ours), "fb")
    assert list(state)[:2] == ["0.weight", "1.weight"]
    assert list(state)[-1] == "8.bias"
    converted = {
        name.replace("8.", "8.1."): tensor
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    other = preset("resnet20", seed=1)
    assert load_weights(other, converted) == "fb"
    assert all(torch.equal(t, other.state_dict()[n]) for n, t in ours.state_dict().items())


def test_vgg_of_torchvision():
    """Two groups, a pool behind each; its linear layers are 4096 wide there, and so not taken."""
    theirs = models.VGG(make_layers([4, "M", 6, 6, "M"], batch_norm=True), 7, init_weights=False)
    theirs.classifier = nn.Sequential(nn.Linear(6 * 49, 7))

    def layer(c_in, c_out):
        return nn.Sequential(nn.Conv2d(c_in, c_out, 3, 1, 1), nn.BatchNorm2d(c_out))

    stem = nn.Sequential(*layer(3, 4), nn.ReLU(), nn.MaxPool2d(2))
    after = nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    units = [ResidualUnit(layer(4 + 2 * i, 6), Severed(), after[i]) for i in range(2)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(6 * 49, 7))
    agree(ResidualNetwork(stem, units, head), theirs, "torchvision", 28)


def small(block=BasicBlock) -> nn.Module:
    """torchvision's ResNet with one unit a stage."""
    return ResNet(block, [1, 1, 1, 1], num_classes=7)


def small_ours() -> ResidualNetwork:
    return imagenet(residual(basic, option_b), 512, ORIGINAL, (1,) * 4)


def test_what_does_not_fit_is_named_and_nothing_is_loaded(tmp_path):
    ours, state = small_ours(), small().state_dict()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    without = {k: v for k, v in state.items() if k != "layer3.0.bn2.bias"}
    wrong = [
        (without, r"lacks layer3\.0\.bn2\.bias"),
        (state | {"layer9.0.conv1.weight": torch.ones(1)}, r"besides layer9\.0\.conv1\.weight"),
        (state | {"conv1.weight": torch.ones(64, 3, 3, 3)}, r"tensor conv1\.weight is \(64, 3, 3"),
        (state | {"fc.weight": torch.ones(9, 512)}, "made for 9 classes, not 7"),
        (state | {"bn1.bias": state["bn1.bias"].half()}, "tensor bn1.bias is torch.float16"),
        (state | {"bn1.running_var": -torch.ones(64)}, "bn1.running_var holds negative"),
        (small(Bottleneck).state_dict(), "another network"),
        (preset("resnet20").state_dict(), "another network"),
        ([*state.items()], "not a state dict or a file's name, list"),
        ({"state_dict": state}, "state_dict is a OrderedDict, not a tensor"),
    ]
    for source, message in wrong:
        with pytest.raises(CheckpointError, match=message):
            residuum.load_weights(ours, source)
        assert all(torch.equal(t, before[n]) for n, t in ours.state_dict().items())
    save_file(state, tmp_path / "theirs.safetensors")
    assert residuum.load_weights(ours, tmp_path / "theirs.safetensors") == "torchvision"
    (tmp_path / "theirs.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        residuum.load_weights(ours, tmp_path / "theirs.safetensors")


def test_networks_that_a_library_has_not_are_refused():
    for network, library, reason in (
        (preset("plain20"), "torchvision", "units.0 is plain"),
        (preset("preresnet20"), "torchvision", r"head\.4 has no name there"),
        (preset("resnet20", arrangement="bn_after_add"), "fb", r"after\.0 has no name there"),
        (vgg(10, width=8, size=16), "torchvision", r"branch\.1 has no name there"),
        (preset("resnet20"), "keras", "Valid: fb, timm, torchvision"),
    ):
        with pytest.raises(UsageError, match=reason):
            weights_as(network, library)
