"""Schemes on two ranks: the same weights on both, to the bit, also where parts are left out of a
step, where weights come from data, and after a stop."""

import hashlib
import signal
from dataclasses import replace
from datetime import timedelta

import pytest
import torch
from conftest import convolution, headed
from faults.forked import ranks
from torch import nn

from benchmarks.kill_resume import digest
from residuum.data import load
from residuum.data.images import Dataset
from residuum.machine import Machine
from residuum.parts.wrappers import Companion
from residuum.presets import preset
from residuum.training import distributed, find_recipe, train
from residuum.training.loop import Trainer
from residuum.training.schemes import Companions, Lsuv
from residuum.units import ResidualUnit

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)


def supervised():
    torch.manual_seed(0)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    units = [ResidualUnit(Companion(convolution(8, 8), head)), ResidualUnit(convolution(8, 8))]
    return headed(units, 8)


CASES = {
    "stochastic depth": (lambda: preset("resnet8-stochastic", 10, 0), None),
    "lsuv": (lambda: preset("resnet8", 10, 0), Lsuv()),
    "companions": (supervised, Companions(1)),
}


def trained(place, folder, name, stop=None):
    """Codes of both ranks, and what each says its weights are."""
    digits = load("digits")
    data = Dataset("digits", digits.train.first(64), digits.test.first(20), digits.classes)
    make, scheme = CASES[name]
    short = replace(find_recipe("digits").shortened(2), batch_size=32, scheme=scheme)

    def work(rank: int) -> None:
        real = Trainer.advance

        def advance(self):
            real(self)
            if self.step == stop and rank == 1:
                signal.raise_signal(signal.SIGTERM)

        Trainer.advance = advance
        distributed.MEETING = timedelta(seconds=120)
        network = make()
        try:
            train(network, data, short, folder, CPU)
        finally:
            weights = b"".join(t.numpy().tobytes() for t in network.state_dict().values())
            print(hashlib.sha256(weights).hexdigest())

    ended = [process.end() for process in ranks(place, work)]
    return [e.code for e in ended], [e.out.split()[-1] if e.out.split() else e.err for e in ended]


@pytest.mark.parametrize("name", CASES)
def test_both_ranks_end_with_the_same_bits(tmp_path, name):
    codes, weights = trained(tmp_path, tmp_path / "run", name)
    assert codes == [0, 0], weights
    assert weights[0] == weights[1]
    if name == "stochastic depth":
        codes, stopped = trained(tmp_path, tmp_path / "parts", name, stop=2)
        assert 0 not in codes
        assert stopped != weights
        codes, again = trained(tmp_path, tmp_path / "parts", name)
        assert codes == [0, 0]
        assert again == weights
        assert digest(tmp_path / "parts") == digest(tmp_path / "run")
