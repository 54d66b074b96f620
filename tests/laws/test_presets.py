"""Laws of every preset. The golden numbers are written anew by `python tests/golden/write.py`; a diff is reviewed."""

import json
from pathlib import Path

import pytest
import torch

from residuum.presets import CATALOGUE, preset
from residuum.verbs import info, paths
from residuum.views.own import leaves

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "presets.json").read_text())
# counted by hand in the papers' terms, independent of the golden file
KNOWN = {
    "resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586, "resnet56": 853_018, "resnet110": 1_727_962,
    "resnet1202": 19_421_274, "preresnet110": 1_727_962, "preresnet1202": 19_421_274, "resnet164": 1_704_154,
    "preresnet164": 1_703_258, "resnet1001": 10_328_602, "preresnet1001": 10_327_706, "vgg15": 1_794_314,
    "plain20": 269_722, "plain110": 1_727_962, "resnet110-bn_after_add": 1_727_962, "resnet164-relu_preact": 1_704_154,
    "resnet110-relu_before_add": 1_727_962, "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032,
    "resnet101": 44_549_160, "resnet152": 60_192_808,
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
    assert sum(p.numel() for p in network.parameters()) == golden["parameters"] == KNOWN.get(name, golden["parameters"])
    assert len(units) == golden["units"]
    weights = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    projections = [m for u in units for m in u.shortcut.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(weights) - len(projections) == row.depth == golden["depth"]
    plain = all(u.plain for u in units)
    assert int(paths(name).total) == (1 if plain else 2 ** len(units))


@pytest.mark.parametrize("name", [n for n in CATALOGUE if CATALOGUE[n].depth < 300])
def test_flops(name):
    assert info(name).flops == GOLDEN[name]["flops"]


@pytest.mark.parametrize("name", [n for n, g in GOLDEN.items() if "first_loss" in g])
def test_first_loss(name):
    """Initial weights, forward pass and loss are functions of the seed."""
    from golden.write import first_loss

    assert first_loss(name) == pytest.approx(GOLDEN[name]["first_loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["preresnet20", "plain20", "resnet164", "vgg15", "resnet18"])
def test_a_step_lowers_the_loss(name):
    network, size = preset(name, 10, seed=0), 32
    x, y = torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(0)), torch.arange(8)
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
    """Fan-in for the 2015 networks, fan-out for fb.resnet.torch's: seen where widths differ, 16 -> 32."""
    network = preset(name, seed=0)
    weights = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.weight.shape[:2] == (32, 16)]
    assert len(weights) == 1
    assert weights[0].std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.05)
