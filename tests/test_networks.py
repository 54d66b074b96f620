"""The networks of the literature against their equations, written out a second time."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from conftest import MENAGERIE, headed, image_batch, labels, lively
from torch import nn

from residuum.data import load
from residuum.errors import UsageError
from residuum.machine import Machine
from residuum.networks.gated import exclusive_gate, noisy_shortcut, scaled, shortcut_gate
from residuum.networks.resnet import cifar_resnet
from residuum.networks.rir import blocks, generalised, rir
from residuum.networks.ror import levels
from residuum.networks.sizes import require_size
from residuum.networks.stages import Place, flat, residual
from residuum.networks.stochastic import linear_from_one, survive, uniform
from residuum.networks.weighted import weighted_resnet
from residuum.networks.wide import dropping_out, wide, wide_resnet
from residuum.parts.activations import PELU
from residuum.parts.arrangements import modules
from residuum.parts.branches import Layer, grouped
from residuum.parts.merges import Gate
from residuum.parts.shortcuts import Pad, first_stream, option_b, option_b_bare
from residuum.parts.wrappers import Companion, Dropped, Noisy, Scaled, Settled, Weighted
from residuum.presets import CATALOGUE, find, preset
from residuum.presets.ensembles import active
from residuum.training import find_recipe, train
from residuum.units import ResidualUnit, Row
from residuum.views.own import leaves


def small(maker, units: int = 1, **named):
    """Of `units` units a stage, 8 channels in the first; in evaluation mode, double precision."""
    torch.manual_seed(0)
    depth = 3 * units * len(maker.block(8, 8, 1)) + 2
    return lively(cifar_resnet(depth, 10, maker, 8, **named)).double()


def images(size: int = 16):
    return image_batch(2, size).double()


# ---- He et al. 2016, table 1 ----


def follow(network, sum_of):
    """Stem, then ReLU(sum_of(unit, x, F(x))), then the head."""
    x = network.stem(images())
    for unit in network.units:
        x = F.relu(sum_of(unit, x, unit.branch(x)))
    return network.head(x)


def gate_of(convolution, x):
    bias = convolution.bias[None, :, None, None]
    return 1 / (1 + torch.exp(-(F.conv2d(x, convolution.weight, None, convolution.stride) + bias)))


def option_a_of(x, like):
    stride = x.shape[2] // like.shape[2]
    picked = x[:, :, ::stride, ::stride]
    return torch.cat([picked, torch.zeros_like(like[:, picked.shape[1] :])], 1)


def exclusive(unit, x, through):
    gate = gate_of(unit.merge.transform, x)
    return (1 - gate) * option_a_of(x, through) + gate * through


def shortcut_only(unit, x, through):
    return (1 - gate_of(unit.shortcut.transform, x)) * option_a_of(x, through) + through


TYPES = {
    "exclusive": (exclusive_gate(residual(), -1.0), exclusive),
    "shortcut-only": (shortcut_gate(residual(), -1.0), shortcut_only),
    "scaled": (
        scaled(residual(), 0.5, 0.25),
        lambda unit, x, through: 0.5 * option_a_of(x, through) + 0.25 * unit.branch.road(x),
    ),
    "dropped": (noisy_shortcut(residual()), lambda unit, x, f: option_a_of(x, f) + f),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_shortcut_type_is_its_equation(name):
    maker, equation = TYPES[name]
    network = small(maker)
    with torch.no_grad():
        torch.testing.assert_close(network(images()), follow(network, equation))


def test_gates_start_with_the_bias_of_their_name():
    for name, bias in (("exclusive-gate-b6", -6), ("exclusive-gate-b0", 0)):
        network = preset(f"resnet110-{name}", seed=0)
        merges = [unit.merge for unit in network.units]
        assert all(isinstance(merge, Gate) for merge in merges)
        assert {merge.transform.bias.unique().item() for merge in merges} == {bias}
        assert merges[0].transform.weight.std().item() == pytest.approx((2 / 16) ** 0.5, rel=0.2)


def test_rows_of_constant_scaling_say_their_constants():
    with torch.device("meta"):
        unit = preset("resnet110-scaled-0.5-0.5").units[18]
        half = preset("resnet110-scaled-0.5-1").units[18]
    assert isinstance(unit.shortcut.road, Pad)
    assert (unit.shortcut.factor, unit.branch.factor) == (0.5, 0.5)
    assert half.shortcut.factor == 0.5
    assert not isinstance(half.branch, Scaled)


def test_dropout_on_the_shortcut_drops_in_training_alone():
    unit = small(noisy_shortcut(residual())).units[0]
    x = torch.ones(1, 8, 30, 30, dtype=torch.double)
    assert torch.equal(unit.shortcut(x), x)
    assert unit.train().shortcut(x).unique().tolist() == [0, 2]


# ---- residual networks of residual networks ----


def test_three_levels_are_the_equations_of_the_paper():
    """y_L/3 = g(x_1) + h + F; y_L = g(x_1) + g(x_2L/3+1) + h + F; ReLU behind each."""
    network = small(residual(), 2, rows=levels(3))
    (root,) = network.units
    x = first = network.stem(images())
    for s, stage in enumerate(root.branch):
        entered = x
        for index, unit in enumerate(stage.branch):
            x = unit.shortcut(x) + unit.branch(x)
            if index == 0:
                x = F.relu(x)
        x = x + F.conv2d(entered, stage.shortcut.weight, stride=2 if s else 1)
        if s < 2:
            x = F.relu(x)
    x = F.relu(x + F.conv2d(first, root.shortcut.weight, stride=4))
    torch.testing.assert_close(network(images()), network.head(x))


def test_levels_are_added_to_an_unchanged_network():
    """Level shortcuts that carry nothing leave the base network, wherever its ReLUs stand."""
    torch.manual_seed(0)
    base, nested = small(residual(), 2), small(residual(), 2, rows=levels(4))
    for theirs, ours in zip(base.units, leaves(nested), strict=True):
        ours.branch.load_state_dict(theirs.branch.state_dict())
        ours.shortcut.load_state_dict(theirs.shortcut.state_dict())
    nested.stem.load_state_dict(base.stem.state_dict())
    nested.head.load_state_dict(base.head.state_dict())
    for unit in nested.modules():
        if isinstance(unit, ResidualUnit) and isinstance(unit.branch, Row):
            nn.init.zeros_(unit.shortcut.weight)
    torch.testing.assert_close(nested(images()), base(images()))


def shape(row):
    return [shape(u.branch) if isinstance(u.branch, Row) else 1 for u in row]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, [1] * 9), (2, [[1] * 9]), (3, [[[1] * 3] * 3]), (4, [[[[1, 1], [1]]] * 3])],
)
def test_levels_go_round_all_then_stages_then_halves(number, expected):
    with torch.device("meta"):
        network = cifar_resnet(20, 10, rows=levels(number))
    assert shape(network.units) == expected


def test_pre_activation_levels_read_the_raw_signal_and_end_without_an_activation():
    with torch.device("meta"):
        network = preset("ror3-wrn40-2")
    (root,) = network.units
    every = [root, *root.branch, *leaves(network)]
    assert all(
        isinstance(u.before, nn.Identity) and isinstance(u.after, nn.Identity) for u in every
    )
    projected = [u for u in leaves(network) if isinstance(u.shortcut, nn.Conv2d)]
    assert len(projected) == 3
    with torch.device("meta"):
        kept = [u.road for u in preset("ror3-164-stochastic").modules() if isinstance(u, Dropped)]
    assert len(kept) == 81  # units alone are dropped, levels never


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cifar_resnet(8, 10, rows=levels(4)), "halves each stage 1 time, .*has 1 unit$"),
        (lambda: cifar_resnet(20, 10, rows=levels(6)), "level 5 halves each stage 3 times"),
        (lambda: cifar_resnet(20, 10, rows=levels(0)), "at least 1 level"),
        (lambda: wide_resnet(20, 2, 10), r"depth 6n\+4.*not 20"),
        (lambda: wide_resnet(16, 0, 10), "at least 1 time"),
        (lambda: weighted_resnet(12, 10), r"depth 6n\+4.*not 12"),
        (lambda: Layer(16, 16, 3, groups=3).arranged("conv"), "16 to 16.*no 3 equal groups"),
        (lambda: cifar_resnet(11, 10, residual(grouped(4, 1), option_b)), "no channels at 16"),
        (lambda: cifar_resnet(8, 10, residual(shortcut=lambda *_: None)), "unit 1: the identity"),
        (lambda: first_stream(option_b)(15, 30, 1), "two streams take an even number"),
        (lambda: rir(10, width=15), "15.*even"),
        (lambda: cifar_resnet(20, 10, survive(residual(), uniform(1.2))), "survival"),
        (lambda: cifar_resnet(20, 10, survive(residual(), uniform(-0.1))), "survival"),
        (lambda: wide_resnet(10, 1, 10, wide(arrangement=dropping_out(1.5))), "dropout:0.5"),
        (lambda: modules("dropout", 4), "'dropout' takes a number, such as dropout:0.5"),
        (lambda: modules("dropout:half", 4), "not 'half'"),
        (lambda: modules("dropout:nan", 4), "not 'nan'"),
        (lambda: modules("dropuot:0.3", 4), "Did you mean 'dropout:0.5'"),
        (lambda: preset("wrresnet1192", shortcut="B"), "no option 'shortcut'. It takes none"),
        (lambda: preset("ror4-8"), "ror4-8: level 3 halves"),
    ],
)
def test_what_cannot_be_is_refused(build, message):
    with pytest.raises(UsageError, match=message), torch.device("meta"):
        build()


def test_roads_that_cannot_be_added_are_refused_with_unit_and_shapes(tmp_path):
    def wrong():
        units = [ResidualUnit(nn.Conv2d(8, 8, 1)), ResidualUnit(nn.Conv2d(8, 4, 1))]
        return headed([ResidualUnit(Row(units))], 8)

    told = r"units\.0\.branch\.1: the shortcut gives 8x16x16, the branch 4x16x16: Sum cannot join"
    with pytest.raises(UsageError, match=told):
        require_size(wrong(), (16, 16), "mine")
    digits = load("digits")
    with pytest.raises(UsageError, match="the shortcut gives 8x8x8, the branch 4x8x8"):
        train(wrong(), digits, find_recipe("digits"), tmp_path / "run", Machine(device="cpu"))
    assert not (tmp_path / "run").exists()
    require_size(MENAGERIE["RiR"](), (16, 16), "RiR")
    with pytest.raises(UsageError, match="plain: images of 16x16 pixels do not pass its layers"):
        require_size(nn.Linear(3, 3), (16, 16), "plain")


# ---- two streams ----


def literally(network, x, outer):
    """Targ et al. 2016 with two tensors: four convolutions a layer, normalised stream by stream."""

    def layer(unit, r, t):
        weight, stride = unit.branch[0].weight, unit.branch[0].stride
        c, k = r.shape[1], weight.shape[0] // 2

        def conv(to, of, x):
            return F.conv2d(x, weight[to][:, of], None, stride, 1)

        first, second = slice(None, k), slice(k, None)
        from_r, from_t = slice(None, c), slice(c, None)
        after_r = conv(first, from_r, r) + conv(first, from_t, t) + unit.shortcut.road(r)
        return after_r, conv(second, from_r, r) + conv(second, from_t, t)

    def normalised(norm, part, x):
        numbers = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return F.relu(F.batch_norm(x, *(n[part] for n in numbers), eps=norm.eps))

    def s(after, r, t):
        k = r.shape[1]
        return normalised(after[0], slice(None, k), r), normalised(after[0], slice(k, None), t)

    r, t = network.stem(x).chunk(2, 1)
    for block in network.units:
        if not isinstance(block.branch, Row):  # no outer shortcut
            r, t = s(block.after, *layer(block, r, t))
            continue
        begun = r
        one, two = block.branch
        r, t = layer(two, *s(one.after, *layer(one, r, t)))
        r, t = s(block.after, r + outer(block, begun), t)
    return network.head(torch.cat([r, t], 1))


@pytest.mark.parametrize("rows", [blocks(), blocks(option_b_bare), flat], ids=["A", "B", "none"])
def test_one_wide_signal_is_two_streams(rows):
    """A convolution of the concatenation is four convolutions, and normalisation goes channel by
    channel: so no second signal is needed."""
    torch.manual_seed(0)
    network = lively(rir(10, width=8, counts=(1, 2, 1), rows=rows)).double()
    expected = literally(network, images(), lambda block, r: block.shortcut.road(r))
    assert expected.std() > 0.01
    torch.testing.assert_close(network(images()), expected)


def test_the_outer_shortcut_of_a_block_changes_what_it_gives():
    torch.manual_seed(0)
    network = lively(rir(10, width=8, counts=(1, 1, 1))).double()
    without = literally(network, images(), lambda block, r: 0)
    assert not torch.allclose(network(images()), without)
    assert generalised().block(8, 8, 1) == [Layer(8, 8, 3)]


# ---- wide, weighted, noisy, exponential ----


def test_wide_units_drop_out_between_their_convolutions():
    with torch.device("meta"):
        network = preset("wrn16-4-dropout")
    words = [type(part).__name__ for part in network.units[1].branch]
    assert words == ["BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Dropout", "Conv2d"]
    assert network.units[1].branch[5].p == 0.4
    shared = [not isinstance(unit.before, nn.Identity) for unit in network.units]
    assert shared == [True, False] * 3
    with torch.device("meta"):
        narrow = preset("wrn40-1")
    assert isinstance(narrow.units[0].before, nn.Identity)  # 16 to 16 channels: nothing is shared


def test_wide_networks_start_as_torch7s():
    network = preset("wrn16-4", seed=0)
    scale = network.units[3].branch[0].weight
    assert network.initialisation == "he_normal fan-out, gamma U(0,1)"
    assert 0 <= scale.min() < 0.1
    assert 0.9 < scale.max() <= 1


def test_grouped_blocks_have_the_channels_of_their_name():
    maker = residual(grouped(32, 4))
    widths = [[layer.c_out for layer in maker.block(64, 64 * 2**s, 1)] for s in range(4)]
    assert widths == [[128, 128, 256], [256, 256, 512], [512, 512, 1024], [1024, 1024, 2048]]
    assert [layer.groups for layer in maker.block(64, 64, 1)] == [1, 32, 1]
    assert grouped(1, 100)(64, 128, 2)[1] == Layer(200, 200, 3, 2)


def test_weighted_units_are_the_identity_until_their_weight_moves():
    network = lively(MENAGERIE["weighted, widening"]()).double()
    x = network.stem(images())
    for number, unit in enumerate(network.units):
        x = unit.before(x)
        gives = unit.branch.road(x)
        assert gives.min() >= 0  # the sign is the weight's
        x = x + (0.3 - 0.2 * number) * gives
    torch.testing.assert_close(network(images()), network.head(x), rtol=1e-5, atol=1e-6)
    started = find("wrresnet10").start(weighted_resnet(10, 10), 0)
    assert [u.branch.weight.item() for u in started.units] == [0, 0, 0]
    assert [len(list(u.before.children())) for u in started.units] == [0, 4, 4]
    assert all(isinstance(u.branch, Weighted) for u in started.units)


def test_the_first_unit_of_swapout_keeps_all_and_the_last_half():
    with torch.device("meta"):
        units = preset("swapout-v2-20-w2").units
    for roads in ([u.branch for u in units], [u.shortcut for u in units]):
        assert all(isinstance(road, Noisy) for road in roads)
        keeps = [road.keep for road in roads]
        assert (keeps[0], keeps[-1]) == (1, 0.5)
        assert len({round(a - b, 12) for a, b in pairwise(keeps)}) == 1
    alone = Place(0, 1, 0, 0, 1, 8, 8, 8, 1)
    assert linear_from_one(0.5)(alone) == 1


def test_pelu_is_its_equation_and_stays_in_its_bounds():
    part, x = PELU(), torch.linspace(-3, 3, 13)
    torch.testing.assert_close(part(x), F.elu(x))
    with torch.no_grad():
        part.a.fill_(1.5)
        part.b.fill_(0.5)
    expected = torch.where(x >= 0, 3 * x, 1.5 * (torch.exp(x / 0.5) - 1))
    torch.testing.assert_close(part(x), expected)
    assert isinstance(part, Settled)
    assert not isinstance(nn.ReLU(), Settled)
    for a, b, settled in ((2.0, 5.0, (1.99, 5.0)), (0.1, -1.0, (0.11, 0.11)), (1, 1, (1, 1))):
        with torch.no_grad():
            part.a.fill_(a)
            part.b.fill_(b)
        part.settle()
        assert (part.a.item(), part.b.item()) == pytest.approx(settled)
    part.reset()
    assert (part.a.item(), part.b.item()) == (1, 1)


def test_exponential_networks_activate_neither_sum_nor_stem_twice():
    with torch.device("meta"):
        network = preset("pelu-resnet110")
    assert [type(part).__name__ for part in network.units[0].branch] == [
        "Conv2d", "PELU", "Conv2d", "BatchNorm2d",
    ]  # fmt: skip
    assert sum(isinstance(m, PELU) for m in network.modules()) == 56
    assert all(isinstance(u.after, nn.Identity) for u in network.units)


def test_23_of_54_units_at_test():
    with torch.device("meta"):
        network = preset("veit-preresnet110-23of54")
        bare = cifar_resnet(20, 10, active(scaling="none"))
    assert {u.branch.survival for u in network.units} == {23 / 54}
    assert {u.branch.scaling for u in network.units} == {"test"}
    assert {u.branch.scaling for u in bare.units} == {"none"}


# ---- all of them ----


@pytest.mark.parametrize("name", MENAGERIE)
def test_a_step_reaches_every_weight(name):
    network = MENAGERIE[name]().train()
    for part in network.modules():
        if isinstance(part, Dropped):
            part.drawn = True
    loss = F.cross_entropy(network(image_batch(8, 16)), labels(8))
    for part in network.modules():
        if isinstance(part, Companion):
            loss = loss + F.cross_entropy(part.logits, labels(8))
    loss.backward()
    companions = [m.head for m in network.modules() if isinstance(m, Companion)]
    aside = {p for head in companions for p in head.parameters()}  # for a loss of their own
    gradients = [p.grad for p in network.parameters() if p not in aside]
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)
    for part in network.modules():
        if isinstance(part, Settled):
            part.settle()


FAMILIES_OF = {
    "pre-ror3-164": "pre-ror",
    "ror3-wrn40-2-stochastic": "ror",
    "swapout-v2-32-w4": "swapout",
    "wide-resnet50-2": "wide-resnet",
    "resnext101-32x4d": "resnext",
    "resnet110-exclusive-gate-b6": "resnet",
    "wrn28-10-dropout": "wrn",
    "rir18": "rir",
}


@pytest.mark.parametrize(("name", "family"), FAMILIES_OF.items())
def test_families_of_names(name, family):
    assert find(name).family == family


def test_misquoted_numbers_say_so():
    said = {name: " ".join(map(str, row.published)) for name, row in CATALOGUE.items()}
    for name in ("ror3-164", "pre-ror3-1202", "ror3-wrn40-4"):
        assert not CATALOGUE[name].published
        assert "inferred" in said[f"{name}-stochastic"]
    for name in ("pre-ror3-164", "ror3-wrn40-2", "ror3-wrn58-4"):
        assert "leaves out of the name" in said[f"{name}-stochastic"]
    assert "often quoted as the error of WRN-28-10" in said["wrn16-4-dropout"]
    assert "SVHN" not in said["wrn28-10"]
    assert "1.64" in CATALOGUE["wrn28-10"].note
    assert "the row mixes two" in said["fitresnet19"]
    assert "quoted beside the errors of 110 layers" in said["resnet152-stochastic"]
    for name in ("rir18", "ror3-wrn58-4-stochastic", "pre-ror3-164-stochastic"):
        assert "counted" in CATALOGUE[name].note
    read = "swapout-v2-32-w4 fitresnet19 rir18 wrresnet1192-dropout resnet110-exclusive-gate-b6"
    for name in (*read.split(), "veit-preresnet110-23of54", "ror3-164", "elu-resnet110"):
        assert "interpretation" in CATALOGUE[name].note
