"""The machine: threads, the allocator, the processor; a step in place; what a resume warns of."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import reseal
from torch import nn

from residuum import progress
from residuum.errors import NumericError, UsageError
from residuum.machine import Machine, processor
from residuum.parts.arrangements import ARRANGEMENTS
from residuum.parts.merges import Mean
from residuum.parts.shortcuts import Severed
from residuum.parts.wrappers import Dropped
from residuum.presets import preset
from residuum.training import Run
from residuum.training.schedules import Steps
from residuum.units import ResidualUnit
from residuum.views.in_place import in_place
from tests.test_training import CPU, data, run, short  # noqa: F401 - a fixture

GLIBC = sys.platform == "linux" and "glibc" in os.confstr("CS_GNU_LIBC_VERSION")


# ---- the machine ----


@pytest.mark.parametrize("word", ["cpu:7", "mps:1", "cuda:x", "cuda:"])
def test_a_device_is_spelled_as_it_is_found(word):
    with pytest.raises(UsageError, match="unknown device"):
        Machine(device=word).resolved()


def test_a_device_beyond_those_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert Machine(device="cuda:0").resolved().device == "cuda:0"
    with pytest.raises(UsageError, match="device cuda:1: torch sees 1, from cuda:0 on"):
        Machine(device="cuda:1").resolved()


@pytest.mark.parametrize("threads", [-1, 0, 100_000])
def test_threads_that_the_machine_has_not(threads):
    with pytest.raises(UsageError, match=f"threads.* must be at .*, not {threads}"):
        Machine(threads=threads).resolved()


FAULTS = """
import resource
import torch
from residuum.machine import Machine

def faults(release):
    Machine(threads=1, release_memory=release).prepare()
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        activations = [torch.zeros(1 << 21) for _ in range(8)]  # 8 MiB each, 2048 pages
        del activations
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(True), faults(False))
"""


@pytest.mark.skipif(not GLIBC, reason="only glibc is told")
def test_freed_memory_is_kept_and_used_again():
    """Counted in page faults: a fresh page is one, a page that was kept is none."""
    said = subprocess.check_output([sys.executable, "-c", FAULTS], text=True)
    released, kept = map(int, said.split())
    assert kept < 100
    assert released > 500


def test_the_processor_says_model_and_instructions(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    told = processor()
    assert told["processor"]
    capability = torch.backends.cpu.get_cpu_capability()
    assert told["instructions"] == f"{capability}, oneDNN at most AVX2"


# ---- ReLUs in place ----


def relus(network):
    return {name for name, m in network.named_modules() if isinstance(m, nn.ReLU) and m.inplace}


WHERE = {  # of each arrangement, in the first unit and in the second
    "original": {"branch.2", "after"},
    "bn_after_add": {"branch.2", "after.1"},
    "relu_before_add": {"branch.2", "branch.5"},
    "relu_preact": {"branch.3"},
    "preact": {"branch.1", "branch.4"},
}


@pytest.mark.parametrize("name", WHERE)
def test_relus_write_behind_a_normalisation_or_a_sum_only(name):
    from residuum.networks.resnet import cifar_resnet
    from residuum.networks.stages import residual

    network = cifar_resnet(20, 10, residual(arrangement=ARRANGEMENTS[name]))
    with in_place(network):
        found = relus(network)
    assert not relus(network)
    assert {f.removeprefix("units.1.") for f in found if f.startswith("units.1.")} == WHERE[name]
    assert "units.0.before" not in found
    assert ("units.0.before.1" in found) == (name == "preact")
    assert ("head.1" in found) == (name == "preact")
    assert "head.0" not in found


@pytest.mark.parametrize(
    "name",
    ["resnet8", "preresnet8", "resnet8-relu_preact", "plain8", "vgg15", "resnet8-stochastic"],
)
def test_gradients_in_place_are_the_same_bits(name):
    from residuum.networks.resnet import cifar_resnet
    from residuum.networks.stages import residual

    relu_preact = ARRANGEMENTS["relu_preact"]
    network = (
        cifar_resnet(8, 10, residual(arrangement=relu_preact))
        if name.endswith("relu_preact")
        else preset(name, 10, 0)
    )
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    for number, part in enumerate(m for m in network.modules() if isinstance(m, Dropped)):
        part.drawn = number != 1

    def gradients():
        network.zero_grad(set_to_none=False)
        output = network.train()(images)
        output.square().sum().backward()
        found = (p.grad for p in network.parameters() if p.grad is not None)
        return [output.detach().clone(), *(gradient.clone() for gradient in found)]

    plain = gradients()
    with in_place(network):
        assert relus(network)
        assert all(map(torch.equal, gradients(), plain))


def test_a_sum_of_one_road_is_not_written_into():
    """It is that road's own tensor, which a ReLU in front needs for its gradient."""
    branch = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
    unit = ResidualUnit(branch, Dropped(None, 0.5), nn.ReLU()).train()
    with in_place(unit):
        for unit.shortcut.drawn, written in ((False, False), (True, True)):
            unit(torch.randn(2, 4, 3, 3)).sum().backward()
            assert unit.after.inplace == written
    assert not relus(unit)
    assert not unit.merge._forward_pre_hooks


class Kept(nn.Sequential):
    """Keeps what its first part gives."""


def unsafe():
    shared, hooked = nn.ReLU(), nn.BatchNorm2d(4)
    hooked.register_forward_hook(lambda module, given, out: None)
    return {
        "own class": Kept(nn.BatchNorm2d(4), nn.ReLU()),
        "in an own class": nn.Sequential(Kept(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))),
        "in two places": nn.Sequential(nn.BatchNorm2d(4), shared, nn.Conv2d(4, 4, 1), shared),
        "hook": nn.Sequential(hooked, nn.ReLU()),
        "behind another activation": nn.Sequential(nn.Sigmoid(), nn.ReLU()),
        "alone": nn.Sequential(nn.ReLU()),
        "another merge": ResidualUnit(nn.Conv2d(4, 4, 1), after=nn.ReLU(), merge=Mean()),
        "one road": ResidualUnit(nn.Sigmoid(), Severed(), after=nn.ReLU()),
        "a row that may be empty": ResidualUnit(nn.Sequential(), Severed(), after=nn.ReLU()),
    }


@pytest.mark.parametrize("name", unsafe())
def test_where_another_may_need_it_nothing_is_written(name):
    with in_place(module := unsafe()[name]):
        assert not relus(module)


# ---- one number, no traceback, a warning ----


def test_a_bfloat16_run_reports_the_error_that_eval_gives(data, tmp_path):  # noqa: F811
    recipe = replace(short(1), learning_rate=0.02)
    done = run(data, tmp_path / "run", recipe, replace(CPU, precision="bfloat16"))
    from residuum.subjects.trained import open_trained

    subject = open_trained(done, data)
    images, labels = subject.test()
    with torch.no_grad():
        logits = subject.network(images)
    last = done.outcome.last
    assert last.test_error == (logits.argmax(1) != labels).double().mean().item()
    wanted = nn.functional.cross_entropy(logits, labels).item()
    assert last.test_loss == pytest.approx(wanted, rel=1e-6)  # bfloat16 is off by 1e-3


def test_a_test_loss_that_is_not_finite_ends_the_run(data, tmp_path):  # noqa: F811
    """One step an epoch: the loss of the first is finite, the weights behind it are huge."""
    recipe = replace(short(3), learning_rate=1e30, schedule=Steps(), warmup=None, batch_size=150)
    with pytest.raises(NumericError, match=r"loss is no longer finite at step .*1e\+30"):
        run(data, tmp_path, recipe)
    assert not Run.open(tmp_path).finished


def test_another_machine_is_told_once(data, tmp_path, monkeypatch):  # noqa: F811
    run(data, tmp_path, short(1))
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["machine"] | processor() == told["machine"]
    assert told["machine"]["keeps_memory"] == GLIBC
    said = []
    monkeypatch.setattr(progress, "say", said.append)
    run(data, tmp_path, short(1), replace(CPU, release_memory=True))
    assert not any("bit-exactness" in line for line in said)  # the allocator changes no number
    before = {"threads": 7, "processor": "abacus", "instructions": "beads"}
    machine, versions = told["machine"] | before, told["versions"] | {"torch": "1.0"}
    reseal(tmp_path / "run.json", machine=machine, versions=versions)
    run(data, tmp_path, short(1))
    (line,) = [line for line in said if "bit-exactness is not promised" in line]
    for change in ("threads 7 -> 1", "processor abacus -> ", "beads -> ", "torch 1.0 -> "):
        assert change in line
