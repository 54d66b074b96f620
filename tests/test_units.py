"""The unit's formula, the options of its shortcut, the order of its parts."""

import pytest
import torch
import torch.nn.functional as F
from conftest import MENAGERIE, image_batch
from torch import nn

from residuum.errors import UsageError
from residuum.networks.resnet import cifar_resnet, imagenet_resnet
from residuum.networks.stages import residual, share_stage_first
from residuum.parts.arrangements import ARRANGEMENTS, PREACT
from residuum.parts.branches import basic, bottleneck
from residuum.parts.merges import Concat, Gate, Mean, Sum
from residuum.parts.shortcuts import AveragePad, Pad, Severed, option_a, option_b, option_c
from residuum.units import ResidualUnit, Row
from residuum.views.own import leaves


def test_the_formula():
    h, f_branch, f, a = nn.Linear(3, 3), nn.Linear(3, 3), nn.Tanh(), nn.ReLU()
    x = torch.randn(5, 3)
    unit = ResidualUnit(f_branch, h, f, a)
    assert torch.equal(unit(x), torch.tanh(h(x.relu()) + f_branch(x.relu())))
    assert torch.equal(ResidualUnit(f_branch)(x), x + f_branch(x))


def test_a_severed_shortcut_makes_a_plain_layer():
    branch, x = nn.Linear(3, 3), torch.randn(5, 3)
    unit = ResidualUnit(branch, Severed(), nn.ReLU())
    assert unit.plain
    assert torch.equal(unit(x), branch(x).relu())


MERGES = {  # each written out: m(h, F; z), and what is left without F
    "sum": (Sum, lambda h, f, t: h + f, lambda h, f, t: h),
    "gate": (lambda: Gate(TRANSFORM), lambda h, f, t: (1 - t) * h + t * f, lambda h, f, t: h),
    "concat": (
        lambda: Concat(3),
        lambda h, f, t: torch.cat([h, f], 1),
        lambda h, f, t: F.pad(h, (0, 3)),
    ),
    "mean": (Mean, lambda h, f, t: (h + f) / 2, lambda h, f, t: h / 2),
}
TRANSFORM = nn.Linear(3, 3)


@pytest.mark.parametrize("name", MERGES)
def test_merges(name):
    build, whole, left = MERGES[name]
    merge, (h, f, z) = build(), torch.randn(3, 5, 3)
    gate, zero = torch.sigmoid(TRANSFORM(z)), torch.zeros(5, 3)
    unit = ResidualUnit(nn.Linear(3, 3), nn.Linear(3, 3), merge=merge)
    torch.testing.assert_close(merge(h, f, z), whole(h, f, gate))
    around, through = merge.halves(h, f, z)
    torch.testing.assert_close(around, whole(h, zero, gate))
    torch.testing.assert_close(through, whole(zero, f, gate))
    torch.testing.assert_close(around + through, merge(h, f, z))
    torch.testing.assert_close(merge.bypass(h, z), left(h, f, gate))
    torch.testing.assert_close(merge.bypass(h, z, strict=True), whole(h, zero, gate))
    torch.testing.assert_close(unit.bypass(z), left(unit.shortcut(z), None, gate))
    torch.testing.assert_close(unit(z), whole(unit.shortcut(z), unit.branch(z), gate))
    assert merge.halves(h, None, z)[1] is None
    assert merge.halves(None, f, z)[0] is None
    if name != "mean":  # in a mean, None is a road that is not there
        torch.testing.assert_close(merge(h, None, z), whole(h, zero, gate))
        torch.testing.assert_close(merge(None, f, z), whole(zero, f, gate))
    else:
        assert merge(h, None, z) is h
        assert merge(None, f, z) is f
    with pytest.raises(UsageError, match="both cut"):
        merge(None, None, z)


def test_a_road_that_carries_nothing_costs_nothing():
    h = torch.randn(2, 3)
    assert Sum()(h, None, h) is h
    assert Sum().bypass(h, h) is h


def test_option_a_picks_pixels_and_appends_zeros():
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    y = Pad(2, 5, 2)(x)
    assert y.shape == (1, 5, 2, 2)
    assert y[0, 0].tolist() == [[0, 2], [8, 10]]
    assert not y[:, 2:].any()
    assert AveragePad(2, 5, 2)(x)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_which_shortcuts_have_weights():
    same, other = (16, 16, 1), (16, 32, 2)
    assert option_a(*same) is option_b(*same) is None
    assert isinstance(option_a(*other), Pad)
    assert sum(p.numel() for p in option_b(*other).parameters()) == 16 * 32 + 64
    assert option_c(*same) is not None
    with pytest.raises(ValueError, match="option B"):
        option_a(32, 16, 1)


def words(sequence) -> str:
    names = {nn.Conv2d: "conv", nn.BatchNorm2d: "bn", nn.ReLU: "relu"}
    modules = [sequence] if not isinstance(sequence, nn.Sequential) else sequence
    return " ".join(names[type(m)] for m in modules if type(m) in names)


FIGURE_4 = {  # He et al. 2016, fig. 4: a later unit's branch, what follows the addition
    "original": ("conv bn relu conv bn", "relu"),
    "bn_after_add": ("conv bn relu conv", "bn relu"),
    "relu_before_add": ("conv bn relu conv bn relu", ""),
    "relu_preact": ("relu conv bn relu conv bn", ""),
    "preact": ("bn relu conv bn relu conv", ""),
}


@pytest.mark.parametrize("name", FIGURE_4)
def test_arrangements_are_those_of_figure_4(name):
    network = cifar_resnet(20, 10, residual(arrangement=ARRANGEMENTS[name]))
    branch, after = FIGURE_4[name]
    first, later = network.units[0], network.units[1]
    assert words(later.branch) == branch
    assert words(later.after) == after
    shared = branch.partition("conv")[0].strip()
    assert words(first.before) == shared  # the first activation stands before the split
    assert f"{words(first.before)} {words(first.branch)}".strip() == branch
    assert words(later.before) == ""
    # every activation that opens a branch stands at the end of the network once more
    assert words(network.head).split() == shared.split()


def test_projections_of_preactivation_bottlenecks_read_the_activated_input():
    network = cifar_resnet(29, 10, residual(bottleneck, option_b, PREACT))
    for unit in network.units:
        projects = any(True for _ in unit.shortcut.parameters())
        assert (words(unit.before) == "bn relu") == projects
    network = cifar_resnet(20, 10, residual(arrangement=PREACT, opening=share_stage_first))
    shared = [bool(words(u.before)) for u in network.units]
    assert shared == [True, False, False] * 3


def test_bottlenecks_stride_where_they_should():
    paper = imagenet_resnet(50, 10).units[3].branch
    assert [m.stride[0] for m in paper if isinstance(m, nn.Conv2d)] == [2, 1, 1]


@pytest.mark.parametrize(
    ("depth", "block", "words"), [(21, None, "6n"), (2, None, "6n"), (30, bottleneck, "9n")]
)
def test_wrong_depths_teach(depth, block, words):
    with pytest.raises(ValueError, match=words):
        cifar_resnet(depth, 10, residual(block or basic))
    with pytest.raises(ValueError, match="18, 34"):
        imagenet_resnet(35, 10)


def test_leaves_are_in_signal_order():
    network = MENAGERIE["nested"]()
    seen, x = [], network.stem(image_batch(1))
    hooks = [u.branch.register_forward_hook(lambda m, *_: seen.append(m)) for u in leaves(network)]
    network.units(x)
    assert seen == [u.branch for u in leaves(network)]
    assert not any(isinstance(m, Row) for m in seen)
    for hook in hooks:
        hook.remove()
