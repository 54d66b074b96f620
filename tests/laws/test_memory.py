"""Laws of networks with a memory: the signal is wider, lesions and sweeps are the same."""

import pytest
import torch
from conftest import fingerprint, image_batch, labels, lively, same_fingerprint
from torch import nn

from residuum import anatomy
from residuum.anatomy import count_paths, sweep, unravel, without
from residuum.anatomy.sweeps import naive
from residuum.errors import UsageError
from residuum.networks.crmn import MemoryNetwork, crmn
from residuum.units import ResidualUnit, Row
from residuum.views.view import DELETE, KEEP


def small() -> MemoryNetwork:
    torch.manual_seed(0)
    return lively(crmn(10, units=1, width=4, hidden=5))  # type: ignore[return-value]


def by_hand(network: MemoryNetwork, x: torch.Tensor, gone: set[int]) -> torch.Tensor:
    """torch's own LSTM cell over the pooled outputs."""
    cell = nn.LSTMCell(16, 5)
    order = (1, 0, 3, 2)  # torch has input, forget, cell, output; here forget, input, output, cell
    for name, part in (("ih", network.memory.input), ("hh", network.memory.state)):
        for kind in ("weight", "bias"):
            parts = getattr(part, kind).chunk(4)
            getattr(cell, f"{kind}_{name}").data = torch.cat([parts[i] for i in order])
    x = network.stem(x)
    state = None
    for number, unit in enumerate(network.units):
        x = unit.shortcut(unit.before(x)) if number in gone else unit(x)
        pooled = torch.relu(x).mean((2, 3))
        state = cell(nn.functional.pad(pooled, (0, 16 - pooled.shape[1])), state)
    features = network.head.closing(x)
    return network.head.linear(torch.cat([features, state[0]], 1))


@pytest.mark.parametrize("gone", [set(), {0}, {1}, {0, 2}])
def test_forward_lesion_sweep_and_steps_agree(gone):
    network, x = small(), image_batch(3)
    view = unravel(network)
    with torch.no_grad():
        expected = by_hand(network, x, gone)
        with view.edited(dict.fromkeys(gone, DELETE)):
            torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-6)
        stages = view.stages(x)
        signal = stages.begin(x)
        for place in range(3):
            signal = stages.step(place, signal, DELETE if place in gone else KEEP)
        assert len(signal) == 3
        torch.testing.assert_close(stages.finish(signal), expected, rtol=1e-4, atol=1e-5)
    variants = [without(network, s) for s in ([], gone, [0, 1])]
    found = sweep(network, x, variants)
    torch.testing.assert_close(found, naive(network, x, variants), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], expected, rtol=1e-4, atol=1e-5)


def test_lesions_leave_no_residue():
    network, x = small(), image_batch(4)
    before = fingerprint(network)
    base, _ = anatomy.delete_each(network, anatomy.Examples(x, labels(4)))[:2]
    assert base.n == 4
    assert same_fingerprint(before, fingerprint(network))
    assert [u.shape_out for u in unravel(network, x).units] == [(4, 16, 16), (8, 8, 8), (16, 4, 4)]


def test_paths_are_those_of_the_units_and_there_is_no_tape():
    network = small()
    assert count_paths(network).counts == (1, 3, 3, 1)
    with pytest.raises(UsageError, match="cannot be run alone"):
        anatomy.gradient_by_length(network, image_batch(1), labels(1))


def test_a_memory_reads_no_nest():
    network = small()
    nest = ResidualUnit(Row([ResidualUnit(nn.Identity())]))
    with pytest.raises(UsageError, match="not a nest"):
        MemoryNetwork(network.stem, [nest], network.head, network.memory)
