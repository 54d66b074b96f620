"""Laws of every preset.

The golden numbers are written anew by `python tests/golden/write.py`; a diff is reviewed.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import cache
from math import prod
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from residuum.errors import UsageError
from residuum.parts.wrappers import Companion
from residuum.presets import CATALOGUE, FAMILIES, Published, describe, find, preset, preset_cost
from residuum.presets.index import PATH, listed
from residuum.presets.write_index import on_meta, rows, text
from residuum.training import RECIPES
from residuum.units import ResidualUnit, Row
from residuum.verbs import paths
from residuum.views.own import leaves

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "presets.json").read_text())
# counted by hand in the papers' terms, independent of the golden file
KNOWN = {
    "resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586, "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274, "preresnet110": 1_727_962, "preresnet1202": 19_421_274,
    "resnet164": 1_704_154,
    "preresnet164": 1_703_258, "resnet1001": 10_328_602, "preresnet1001": 10_327_706,
    "vgg15": 1_794_314,
    "plain20": 269_722, "plain110": 1_727_962, "resnet110-bn_after_add": 1_727_962,
    "resnet164-relu_preact": 1_704_154,
    "resnet110-relu_before_add": 1_727_962, "resnet18": 11_689_512, "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160, "resnet152": 60_192_808,
    **{f"resnet110-exclusive-gate-b{bias}": 1_824_186 for bias in range(8)},
    "resnet110-shortcut-gate-b0": 1_824_186, "resnet110-shortcut-gate-b6": 1_824_186,
    "resnet110-projected": 1_826_202, "resnet110-dropped-shortcut": 1_727_962,
    "resnet110-scaled-0.5-1": 1_727_962, "resnet110-scaled-0.5-0.5": 1_727_962,
    "resnet110-stochastic": 1_727_962, "resnet152-stochastic": 2_408_474,
    "resnet1202-stochastic": 19_421_274,
    "preresnet164-basic": 2_602_906, "preresnet164-basic-stochastic": 2_602_906,
    "ror3-164": 2_606_746, "ror3-164-stochastic": 2_606_746,
    "pre-ror3-164": 2_606_746, "pre-ror3-164-stochastic": 2_606_746,
    "pre-ror3-1202": 19_425_114, "pre-ror3-1202-stochastic": 19_425_114,
    "ror3-wrn40-2": 2_256_346, "ror3-wrn40-2-stochastic": 2_256_346,
    "ror3-wrn40-4": 8_995_290, "ror3-wrn40-4-stochastic": 8_995_290,
    "ror3-wrn58-4": 13_645_530, "ror3-wrn58-4-stochastic": 13_645_530,
    "wrn16-4": 2_748_890, "wrn16-8": 10_961_370, "wrn16-10": 17_116_634,
    "wrn28-10": 36_479_194, "wrn28-10-dropout": 36_479_194, "wrn40-1": 563_930,
    "wrn40-2": 2_243_546, "wrn40-4": 8_949_210, "wrn40-8": 35_748_314, "wrn58-4": 13_599_450,
    "resnext101-32x4d": 44_177_704, "resnet101-1x100d": 85_611_336,
    "resnext101-2x64d": 84_198_184, "resnext101-64x4d": 83_455_272, "preresnet200": 64_666_152,
    "resnext29-8x64d": 34_426_698, "resnext29-16x64d": 68_155_210,
    "swapout-v2-20-w2": 1_073_962, "swapout-v2-20-w4": 4_286_026, "swapout-v2-32-w4": 7_386_186,
    "rir18": 9_492_980, "rir18-100": 10_299_920, "wrresnet1192": 19_273_708,
    "wrresnet1192-dropout": 19_273_708, "elu-resnet110": 1_723_898, "pelu-resnet110": 1_724_010,
    "boost-resnet50": 755_802, "veit-preresnet110": 1_727_962,
    "veit-preresnet110-23of54": 1_727_962,
    "highway1": 239_158, "highway2": 2_256_838, "highway19": 2_256_838, "highway3": 1_405_526,
    "highway4": 1_255_270,
    # 784-50, 49 x two layers of 50, classifier; its twin: one layer of 71 each
    "highway-fc-50": 784 * 50 + 50 + 49 * 2 * 2550 + 510,
    "plain-fc-50": 784 * 71 + 71 + 49 * 5112 + 720,
    "densenet40-12": 1_019_722, "densenet100-12": 6_979_642, "densenet100-24": 27_249_082,
    "densenet-bc100-12": 769_162, "densenet-bc250-24": 15_324_406,
    "densenet-bc190-40": 25_624_430, "densenet121": 7_978_856, "densenet169": 14_149_480,
    "densenet201": 20_013_928, "densenet161": 28_681_000,
    # 7 convolutions a block, 3 of them from the narrower width
    "fractalnet20": sum(9 * w * (3 * c + 4 * w) + 7 * w for c, w in (
        (3, 64), (64, 128), (128, 256), (256, 512), (512, 512))) + 5130,
    "nin": 966_986, "dsn": 966_986, "allcnn-c": 1_369_738,
    "fitnet1": 251_194, "fitnet2": 864_122, "fitnet3": 1_506_138, "fitnet4": 2_548_602,
    # WRN-28-10, an LSTM from 640 to 1000, 1000 more inputs of the classifier
    "crmn28": 36_479_194 + 4 * 1000 * (640 + 1000 + 2) + 10_000,
    "mlp-resnet": 10 * (2 * 784 * 1024 + 784 + 1024) + 7850,
}  # fmt: skip
built = cache(on_meta)


def uncounted(name: str) -> int:
    """Layers that are not on the way: the authors of WRN count three projections, but not the
    linear layer."""
    return 2 if "-wrn" in f"-{name}" else 0


def same_cost(name: str) -> tuple[int, int]:
    return GOLDEN[name]["parameters"], GOLDEN[name]["flops"]


# of those that cost the same, stochastic twins say, one; and one of the very deep
WHOLE = {same_cost(name): name for name in GOLDEN if CATALOGUE[name].depth < 300}.values()
WHOLE = {*WHOLE, "resnet1202"}


def number_of_paths(row: Iterable[ResidualUnit]) -> int:
    """Through all units every way round each, and every way through."""

    def inside(road) -> int:
        return number_of_paths(road) if isinstance(road, Row) else 1

    return prod(inside(u.branch) + (0 if u.plain else inside(u.shortcut)) for u in row)


def test_every_preset_is_golden():
    assert set(GOLDEN) == set(CATALOGUE)
    assert set(KNOWN) <= set(GOLDEN)


@pytest.mark.parametrize("name", CATALOGUE)
def test_counts_shape_and_paths(name):
    """What is counted once per distinct unit and multiplied is what the whole network has."""
    row, golden, network = CATALOGUE[name], GOLDEN[name], built(name)
    assert golden.items() >= asdict(preset_cost(name)).items()
    if name in WHOLE:
        size = min(row.size, 64)
        counting = FlopCounterMode(display=False) if row.depth < 300 else nullcontext()
        with torch.no_grad(), counting as counter:
            logits = network.eval()(torch.empty(1, 3, size, size, device="meta"))
        assert logits.shape == (1, row.classes)
        if counter:
            assert preset_cost(name, size=size).flops == counter.get_total_flops()
    units = list(leaves(network))
    assert used(network) == golden["parameters"] == KNOWN.get(name, golden["parameters"])
    assert len(units) == golden["units"]
    assert len(list(layers(network))) == golden["depth"]
    assert golden["depth"] == row.depth - uncounted(name)
    assert int(paths(name).total) == number_of_paths(network.units)


def layers(network):
    """Convolutions and linear layers, but not those beside the way through the branches."""
    every = [unit for unit in network.modules() if isinstance(unit, ResidualUnit)]
    aside = {m for u in every for m in (*u.shortcut.modules(), *u.merge.modules())}
    aside |= {*in_training_alone(network), *getattr(network, "memory", nn.Identity()).modules()}
    kinds = (nn.Conv2d, nn.Linear)
    return (m for m in network.modules() if isinstance(m, kinds) and m not in aside)


def in_training_alone(network):
    """The layers of companions' heads."""
    return [m for c in network.modules() if isinstance(c, Companion) for m in c.head.modules()]


def used(network) -> int:
    """How many parameters it has where it is deployed."""
    alone = {p for m in in_training_alone(network) for p in m.parameters()}
    return sum(p.numel() for p in network.parameters() if p not in alone)


@pytest.mark.parametrize("name", ["resnet110", "vgg15", "resnet50", "ror3-wrn40-2"])
def test_cost_of_other_classes(name):
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = preset(name, 7).eval()
        network(torch.empty(1, 3, 32, 32))
    found = preset_cost(name, 7, size=32)
    assert found.flops == counter.get_total_flops()
    assert found.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", [n for n, g in GOLDEN.items() if "first_loss" in g])
def test_first_loss(name):
    """Initial weights, forward pass and loss are functions of the seed."""
    from golden.write import first_loss

    assert first_loss(name) == pytest.approx(GOLDEN[name]["first_loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["preresnet20", "plain20", "resnet164", "vgg15", "resnet18"])
def test_a_step_lowers_the_loss(name):
    network, size = preset(name, 10, seed=0), 32
    x, y = (
        torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(0)),
        torch.arange(8),
    )
    optimiser, losses = torch.optim.SGD(network.parameters(), 0.01), []
    for _ in range(3):
        loss = nn.functional.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_weights_are_a_function_of_the_seed():
    a, b, c = (preset("resnet20", seed=s).state_dict() for s in (3, 3, 4))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["stem.0.weight"], c["stem.0.weight"])


@pytest.mark.parametrize(("name", "fan"), [("resnet110", 9 * 16), ("preresnet110", 9 * 32)])
def test_he_initialisation(name, fan):
    """Fan-in for the 2015 networks, fan-out for fb.resnet.torch's: seen where widths differ, 16 ->
    32."""
    network = preset(name, seed=0)
    weights = [
        m.weight
        for m in network.modules()
        if isinstance(m, nn.Conv2d) and m.weight.shape[:2] == (32, 16)
    ]
    assert len(weights) == 1
    assert weights[0].std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.05)


def test_the_network_names_its_initialisation():
    assert (
        preset("resnet20", seed=0).initialisation
        == find("resnet20").initialisation
        == "he_normal fan-in"
    )
    assert preset("preresnet20", seed=0).initialisation == "he_normal fan-out"


def test_the_index_is_true():
    assert PATH.read_text() == text(rows(built)), "run `python -m residuum.presets.write_index`"
    assert list(listed()) == list(CATALOGUE)
    for name in ("resnet20", "plain110", "vgg15"):
        assert replace(listed()[name], structure="") == describe(name)


def test_the_index_needs_no_torch():
    script = "import sys; from residuum.presets.index import listed; listed(); "
    script += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_very_deep_networks_are_counted_from_their_shapes():
    found = describe("resnet9998")
    assert found.expression == [4998, "1+t"]
    assert found.parameters == 269_722 + 1663 * sum(2 * (9 * w * w + 2 * w) for w in (16, 32, 64))


def test_rows_say_what_can_be_looked_up():
    for row in CATALOGUE.values():
        none = row.recipe == "" and "no recipe is here" in row.note
        assert none or row.recipe in RECIPES, row.name
        for number in row.published:
            assert number.source
            assert number.data
            assert number.error == "fail" or 0 < number.error < 100


def test_published_numbers_say_how_they_were_obtained():
    failed = next(p for p in find("plain110").published if p.statistic)
    assert str(failed).startswith("CIFAR-10: fail (median of 5; He et al. 2016")
    small = find("preresnet1001").published[0]
    assert str(small).startswith("CIFAR-10: 4.62 % (median of 5; ")
    assert "batches of 64; often quoted as" in str(small)
    assert [(p.error, p.statistic) for p in find("resnet110").published] == [
        (6.61, "median of 5"),
        (6.43, "best of 5"),
        (6.61, "mean of 5"),
    ]
    assert str(Published("CIFAR-10", 5.0)) == "CIFAR-10: 5 %"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{f.prefix}{f.suffix}")
def test_families_have_every_depth_of_their_rule_and_no_other(family):
    for n in (4, 5) if "ror" in family.prefix else (1, 4):  # five levels need some units
        depth = n * family.step + family.offset
        name = family.named(depth)
        assert find(name).depth == preset_cost(name).depth + uncounted(name) == depth
    for depth in (2, family.step + family.offset + 1):
        with pytest.raises(UsageError, match=re.escape(family.rule)):
            find(family.named(depth))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet21", "resnet20"), ("resnet35", "resnet34"), ("plain5", "plain8"),
     ("resnet163-bottleneck", "resnet164-bottleneck")],
)  # fmt: skip
def test_refused_depths_name_the_nearest(name, nearest):
    with pytest.raises(UsageError, match=f"nearest is '{nearest}'"):
        find(name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preset(5), "a preset has a name.*got 5"),
        (lambda: preset(["resnet20"]), "a preset has a name"),
        (lambda: preset("resnet020"), "unknown preset"),
        (lambda: preset("resnet20", "10"), "classes: expected int, got"),
        (lambda: preset("resnet20", True), "classes: expected int, got"),
        (lambda: preset("resnet20", seed=1.5), "seed: expected int"),
        (lambda: preset("resnet20", shortcut=["B"]), "unknown shortcut"),
        (lambda: preset("resnet20", arrangement="preactivation"), "Did you mean 'preact'"),
        (lambda: preset("resnet20", shortcuts="B"), "Did you mean 'shortcut'"),
        (lambda: preset("vgg15", size="32"), "size: expected int, got"),
        (lambda: preset("vgg15", size=30), "vgg15: VGG halves its images 4 times"),
    ],
)
def test_what_a_preset_does_not_take_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
