"""Laws of every preset.

The golden numbers are written anew by `python tests/golden/write.py`; a diff is reviewed.
"""

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from residuum.errors import UsageError
from residuum.networks.fractalnet import FractalNetwork
from residuum.parts.wrappers import Companion
from residuum.presets import CATALOGUE, FAMILIES, Published, describe, find, preset, preset_cost
from residuum.presets.index import PATH, listed
from residuum.presets.write_index import rows, text
from residuum.training import RECIPES
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


def test_every_preset_is_golden():
    assert set(GOLDEN) == set(CATALOGUE)
    assert set(KNOWN) <= set(GOLDEN)


@pytest.mark.parametrize("name", CATALOGUE)
def test_counts_shape_and_paths(name):
    row, golden = CATALOGUE[name], GOLDEN[name]
    with torch.device("meta"):
        network = preset(name)
        logits = network.eval()(torch.empty(2, 3, row.size, row.size))
    assert logits.shape == (2, row.classes)
    units = list(leaves(network))
    assert used(network) == golden["parameters"] == KNOWN.get(name, golden["parameters"])
    assert len(units) == golden["units"]
    weights = [
        name
        for name, m in network.named_modules()
        if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
        and not {"shortcut", "merge", "memory"} & set(name.split("."))
        and m not in set(in_training_alone(network))
    ]
    assert len(weights) == row.depth == golden["depth"]
    total = 1 if all(u.plain for u in units) else 2 ** len(units)
    if isinstance(network, FractalNetwork):
        total = (1, 1, 2, 5, 26)[network.columns] ** 5
    assert int(paths(name).total) == total


def in_training_alone(network):
    """The layers of companions' heads."""
    return [m for c in network.modules() if isinstance(c, Companion) for m in c.head.modules()]


def used(network):
    alone = {p for m in in_training_alone(network) for p in m.parameters()}
    return sum(p.numel() for p in network.parameters() if p not in alone)


@pytest.mark.parametrize("name", CATALOGUE)
def test_cost(name):
    """What is counted once per distinct unit and multiplied is what the golden file has."""
    assert GOLDEN[name].items() >= asdict(preset_cost(name)).items()


# units that a maker makes may be counted once for several places; of the others a few will do
MADE_ALIKE = [n for n, row in CATALOGUE.items() if row.depth < (300 if row.maker else 50)]


@pytest.mark.parametrize("name", MADE_ALIKE)
def test_cost_equals_a_count_of_the_whole_network(name):
    row = CATALOGUE[name]
    size = min(row.size, 64)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = preset(name, 7).eval()
        network(torch.empty(1, 3, size, size))
    found = preset_cost(name, 7, size=size)
    assert found.flops == counter.get_total_flops()
    assert found.parameters == used(network)
    assert found.units == len(list(leaves(network)))


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
        loss = torch.nn.functional.cross_entropy(network(x), y)
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
        if isinstance(m, torch.nn.Conv2d) and m.weight.shape[:2] == (32, 16)
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
    assert PATH.read_text() == text(rows()), "run `python -m residuum.presets.write_index`"
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
        none = row.size == 224 or "no recipe is here" in row.note
        assert row.recipe in RECIPES or (row.recipe == "" and none), row.name
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
    for depth in (family.step + 2, 4 * family.step + 2):
        name = family.named(depth)
        assert find(name).depth == preset_cost(name).depth == depth
    for depth in (2, family.step + 3):
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
