"""Gates of our own networks and of foreign ones, against their formula."""

import numpy as np
import pytest
import torch
from conftest import MENAGERIE, fingerprint, image_batch, lively, same_fingerprint
from foreign import STEPS, VECTORS, Wide
from torch import nn

import residuum
from residuum import anatomy
from residuum.errors import UsageError


def check(found, gate: torch.Tensor) -> None:
    """gate: (N, ...), by hand."""
    wide = gate.double()
    assert found.mean.value == pytest.approx(float(wide.mean()), rel=1e-5)
    assert found.histogram == tuple(np.histogram(wide.numpy(), 20, (0, 1))[0])
    assert found.shut == pytest.approx(float((wide < 0.1).double().mean()), abs=1e-3)
    assert found.open == pytest.approx(float((wide >= 0.9).double().mean()), abs=1e-3)
    channels = wide.mean(0).flatten(1).mean(1) if wide.ndim > 2 else wide.mean(0)
    assert found.by_channel == pytest.approx(channels.tolist(), rel=1e-4)
    assert found.spread == pytest.approx(float(wide.std(0, unbiased=False).mean()), rel=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", ["highway", "exclusive gate", "shortcut gate, dropout"])
def test_gates_of_ours(name):
    network, x = lively(MENAGERIE[name]()), image_batch(5, 16)
    before = fingerprint(network)
    found = anatomy.gate_statistics(network, x, batch=3)
    assert same_fingerprint(before, fingerprint(network))
    assert [f.number for f in found] == list(range(len(network.units)))
    z = network.units[0].before(network.stem(x))
    part = network.units[0].shortcut if "shortcut" in name else network.units[0].merge
    part = part[0] if isinstance(part, nn.Sequential) else part
    check(found[0], torch.sigmoid(part.transform(z)))


@torch.no_grad()
@pytest.mark.parametrize("step", ["highway", "highway, lerp"])
def test_gates_of_a_foreign_model(step):
    torch.manual_seed(0)
    model, x = Wide(STEPS[step]).eval(), torch.randn(7, 8)
    for gate in model.gates:
        nn.init.normal_(gate.weight)
    found = anatomy.gate_statistics(residuum.unravel(model, *VECTORS), x, batch=4)
    assert [f.number for f in found] == [0, 1, 2]
    check(found[0], torch.sigmoid(model.gates[0](x)))


def test_a_gate_that_reads_nothing_has_no_spread():
    model = Wide(STEPS["highway"]).eval()
    nn.init.zeros_(model.gates[1].weight)
    found = anatomy.gate_statistics(residuum.unravel(model, *VECTORS), torch.randn(6, 8))
    assert found[1].spread < 1e-7 < found[0].spread


def test_no_gate_is_told():
    with pytest.raises(UsageError, match="no unit of this model has a gate"):
        anatomy.gate_statistics(residuum.unravel(Wide(STEPS["sum"]), *VECTORS), *VECTORS)
