"""What must hold on a CUDA device: `make gpu`. Skipped where there is none."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import fingerprint, image_batch, labels, same_fingerprint

from residuum import anatomy
from residuum.anatomy import intact, sweep, without
from residuum.anatomy.sweeps import naive
from residuum.data import load
from residuum.data.images import Dataset
from residuum.errors import Interrupted
from residuum.machine import Machine
from residuum.presets import preset
from residuum.training import Run, find_recipe, train
from residuum.training.loop import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
GPU = Machine(device="cuda", save_seconds=1e9)


@pytest.fixture(autouse=True)
def plain_arithmetic(monkeypatch):
    """No TF32, and the same algorithms each time: laws are compared to float rounding, resuming to
    the bit."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load("digits")
    return Dataset("digits", digits.train.first(150), digits.test.first(40), digits.classes)


# ---- dissection: each law as on a CPU ----


def test_sweeps_equal_the_naive_way(specimen):
    network, x = specimen.cuda(), image_batch(5)
    n = len(anatomy.unravel(network).units)
    variants = [
        intact(network),
        *(without(network, [i]) for i in range(n)),
        without(network, [0, n - 1]),
    ]
    expected, found = naive(network, x, variants), sweep(network, x, variants)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    small = sweep(network, x, variants, memory=1)
    torch.testing.assert_close(small, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_gradients_by_length_sum_to_the_gradient(specimen):
    network, x, targets = specimen.double().cuda(), image_batch(3).double(), labels(3)
    before = fingerprint(network)
    found = anatomy.gradient_by_length(network, x, targets)
    assert same_fingerprint(before, fingerprint(network))
    there = x.cuda().requires_grad_()
    loss = F.cross_entropy(network(there), targets.cuda(), reduction="sum")
    torch.testing.assert_close(
        found.sum(0), torch.autograd.grad(loss, there)[0], rtol=1e-8, atol=1e-11
    )
    on_the_cpu = anatomy.gradient_by_length(network.cpu(), x, targets)
    torch.testing.assert_close(found.cpu(), on_the_cpu, rtol=1e-7, atol=1e-11)


def test_estimates_are_those_of_the_cpu(specimen):
    network, x, targets = specimen.double(), image_batch(3).double(), labels(3)
    tools = (
        lambda: anatomy.signed_sweep(network, x, targets, draws=2),
        lambda: anatomy.sampled_paths(network, x, targets, [0, 1, 2], 3),
        lambda: torch.tensor([r.std for r in anatomy.layer_responses(network, x)]),
    )
    for tool in tools:
        expected = tool()
        network.cuda()
        torch.testing.assert_close(tool(), expected, rtol=1e-5, atol=1e-9)
        network.cpu()


# ---- training ----


def recipe(epochs: int = 2):
    return replace(find_recipe("digits").shortened(epochs), batch_size=32)


MACHINES = {
    "float32": GPU,
    "bfloat16": replace(GPU, precision="bfloat16"),
    "float16": replace(GPU, precision="float16"),
    "compiled": replace(GPU, compile=True),
    "compiled bfloat16": replace(GPU, precision="bfloat16", compile=True),
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_stopped_run_ends_with_the_same_bits(data, tmp_path, monkeypatch, name):
    machine = MACHINES[name]
    whole = train(preset("preresnet8", 10, 0), data, recipe(3), tmp_path / "whole", machine)
    advance = Trainer.advance

    def stopping(trainer):
        advance(trainer)
        if trainer.step == 7:
            os.kill(os.getpid(), 15)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", stopping)
        with pytest.raises(Interrupted):
            train(preset("preresnet8", 10, 0), data, recipe(3), tmp_path / "stopped", machine)
    again = train(preset("preresnet8", 10, 0), data, recipe(3), tmp_path / "stopped", machine)
    assert again.outcome.weights.sha256 == whole.outcome.weights.sha256
    assert whole.metrics[-1].train_loss < whole.metrics[0].train_loss


def test_one_rank_of_nccl(tmp_path):
    command = [
        *(
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node=1",
            "-m",
            "residuum",
        ),
        *(
            "train",
            "preresnet8",
            "--epochs",
            "1",
            "--device",
            "cuda",
            "--output",
            str(tmp_path / "run"),
            "--json",
        ),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Run.open(tmp_path / "run").finished
