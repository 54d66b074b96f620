"""Sweeps and studies: what is measured when everything or nothing changes, and for how much room.

A fault of one job ends a study with that job's exit code; finished jobs are kept and not done
again (`tests/test_experiments.py`).
"""

import math

import pytest
import torch
from conftest import image_batch, labels, lively, narrow

from residuum.anatomy import Examples, delete, delete_each
from residuum.anatomy.statistics import Change, Rate, student_mean
from residuum.networks.stacks import vgg
from residuum.views import unravel


@pytest.mark.row("S9")
def test_memory_does_not_grow_with_the_units():
    """10,000 lesions, in ten sweeps: less than 1 kB more for each."""
    network, few = lively(narrow()), Examples(image_batch(2, 8), labels(2))
    sets = [[i % 4] for i in range(1000)]
    delete(network, few, sets)
    before = resident()
    for _ in range(10):
        delete(network, few, sets)
    assert resident() - before < 10_000 * 1024


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.row("S10")
def test_everything_deleted_and_nothing_changed():
    """No 0/0: an interval and a p-value also where nothing varies."""
    network, few = lively(narrow()), Examples(image_batch(8), labels(8))
    _, (all_gone,) = delete(network, few, [range(4)])
    assert 0 <= all_gone.error.value <= 1
    same = Change(0, 0, 8)
    assert (same.value, same.p_value) == (0, 1)
    assert -1 < same.interval()[0] < 0 < same.interval()[1] < 1
    alike = student_mean((0.5, 0.5, 0.5))
    assert alike.low == alike.high == 0.5
    for count in (0, 8):
        low, high = Rate(count, 8).interval
        assert 0 <= low < high <= 1
        assert math.isfinite(all_gone.change.p_value)


@pytest.mark.parametrize("size", [8, 32, 64, 96])
def test_every_unit_of_a_vgg_can_be_deleted(size):
    """The linear one too, whatever the size of the images."""
    network = lively(vgg(10, width=4, size=size))
    few = Examples(image_batch(2, size), labels(2))
    _, found = delete_each(network, few)
    assert [deletion.deleted for deletion in found] == [(n,) for n in range(13)]
    (shape,) = {unit.shape_out for unit in unravel(network, few.inputs).units[-1:]}
    assert shape == (4,)
    assert torch.isfinite(network(few.inputs)).all()
