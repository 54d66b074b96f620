"""Runs of several processes: one is gone, silent, late, or was asked for something else.

Ranks are forked from this process and speak gloo on 127.0.0.1.
"""

import os
import signal
import socket
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from benchmarks.kill_resume import digest, small_data, with_dropout
from residuum.cli import main
from residuum.data import load
from residuum.data.images import Dataset
from residuum.training import Machine, Run, distributed, find_recipe, train
from residuum.training.distributed import Team
from residuum.training.loop import Trainer

from .forked import Ended, Forked, ranks, started

# short, but longer where more processes want to run than there are cores
PATIENCE = timedelta(seconds=int(4 * max(1, os.getloadavg()[0] / (os.cpu_count() or 1))))
SMALL = ("train", "preresnet8", "--epochs", "1", "--quiet", "--output")


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """What the forked ranks then need not import."""
    load("digits")


def two_ranks(place: Path, folder: Path, fault=None, **environment: str) -> list[Forked]:
    """A training of 151 digits by two ranks; `fault(trainer, rank)` is called ahead of a step."""

    def work(rank: int) -> None:
        real = Trainer.advance

        def advance(self):
            if fault is not None:
                fault(self, rank)
            real(self)

        Trainer.advance = advance
        distributed.MEETING = timedelta(seconds=120)
        distributed.PATIENCE = PATIENCE
        main(
            ["train", "preresnet8", "--epochs", "1", "--batch-size", "256", "--output", str(folder)]
        )

    return ranks(place, work, **environment)


def end(processes: list[Forked]) -> list[Ended]:
    return [process.end() for process in processes]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> str:
    place = tmp_path_factory.mktemp("ranks")
    assert [e.code for e in end(two_ranks(place, place / "run"))] == [0, 0]
    return digest(place / "run")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def silently_gone() -> None:
    os._exit(0)


def fails() -> None:
    raise ValueError("a fault of one rank")


@pytest.mark.row("R1")
@pytest.mark.parametrize("how", [killed, silently_gone, fails])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_rank_that_is_gone_is_named(tmp_path, undisturbed, how, lost):
    """Exit 7 with its name; the same command goes on to the same bits."""
    if lost == 0 and how is not killed:
        pytest.skip("rank 0 holds the meeting place: killed is the hardest")

    def fault(trainer, rank):
        if rank == lost and trainer.step == 2:
            how()

    ended = end(two_ranks(tmp_path, tmp_path / "run", fault))
    other = ended[1 - lost]
    assert other.code == 7, other.err
    assert f"rank {1 - lost} at step 2: rank {lost} of 2 no longer answers" in other.err
    assert other.err.count("residuum: error: ") == 1
    assert "Traceback" not in other.err
    if how is killed and lost:
        assert [e.code for e in end(two_ranks(tmp_path, tmp_path / "run"))] == [0, 0]
        assert digest(tmp_path / "run") == undisturbed


@pytest.mark.row("R2")
def test_a_stopped_rank_is_named(tmp_path):
    """The others wait for it 45 s (4 here), then two more to hear who is silent. Let go on, it
    finds them gone and ends too."""

    def fault(trainer, rank):
        if rank == 1 and trainer.step == 2:
            os.kill(os.getpid(), signal.SIGSTOP)

    first, second = two_ranks(tmp_path, tmp_path / "run", fault)
    ended = first.end()
    assert ended.code == 7
    assert "rank 1 of 2 no longer answers" in ended.err
    second.send(signal.SIGCONT)
    assert second.end().code == 7
    assert timedelta(seconds=60) >= distributed.PATIENCE + timedelta(seconds=3)


@pytest.mark.row("R2", "R5")
def test_a_rank_that_does_not_come_is_named(tmp_path):
    """It lives, but is in an endless loop, or took another branch: the step is told, and that it
    lives; not the operation, which is torch's."""

    def fault(trainer, rank):
        if rank == 1 and trainer.step == 2:
            time.sleep(600)

    first, second = two_ranks(tmp_path, tmp_path / "run", fault)
    ended = first.end()
    assert ended.code == 7
    late = f"rank 1 lives but has not come within {PATIENCE.seconds} s"
    assert f"rank 0 at step 2: {late}" in ended.err
    second.send(signal.SIGKILL)
    second.end()


@pytest.mark.row("R3")
def test_ranks_that_were_asked_for_different_runs(tmp_path):
    def work(rank: int) -> None:
        main([*SMALL, str(tmp_path / "run"), "--seed", str(rank + 3)])

    for ended in end(ranks(tmp_path, work)):
        assert ended.code == 7
        assert "recipe.seed on rank 0 3, on rank 1 4" in ended.err
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.row("R7")
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE is '-2'"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is '2', not a number from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "x"}, "RANK is 'x'"),
        ({"RANK": "1"}, "RANK is '1', not a number from 0 to 0"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "no contact at None:None"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"}, ":x"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_environments_that_describe_no_team(capsys, tmp_path, monkeypatch, environment, words):
    from test_cli import call

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, out, err = call(capsys, *SMALL, tmp_path / "run")
    assert (code, out) == (7, "")
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert call(capsys, "info", "resnet20")[0] == 0


@pytest.mark.row("R7")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_port_that_is_taken(tmp_path, monkeypatch, rank):
    """Rank 0 cannot open it; rank 1 would wait for ever for whoever has it."""
    assert timedelta(seconds=30) > distributed.MEETING
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        meeting = dict(zip(("MASTER_ADDR", "MASTER_PORT"), address.split(":"), strict=True))

        def work() -> None:
            distributed.MEETING = timedelta(seconds=2)
            main([*SMALL, str(tmp_path / "run")])

        ended = started(tmp_path, work, RANK=str(rank), WORLD_SIZE="2", **meeting).end()
    assert ended.code == 7
    assert f"rank {rank} of 2: no " in ended.err
    assert address in ended.err


@pytest.mark.row("R8")
def test_another_number_of_ranks_goes_on(tmp_path):
    """It warns, and every example is seen once an epoch: the shares are disjoint and whole."""
    whole = small_data()
    data = Dataset("digits", whole.train.first(151), whole.test.first(41), whole.classes)
    recipe = replace(find_recipe("digits").shortened(2), batch_size=32)
    machine = Machine(device="cpu", threads=1)
    folder = tmp_path / "run"

    def work(rank: int) -> None:
        if os.environ["WORLD_SIZE"] == "1":
            real = Trainer.advance

            def advance(self):
                real(self)
                if self.step == 3:
                    os.kill(os.getpid(), signal.SIGTERM)

            Trainer.advance = advance
        train(with_dropout(0), data, recipe, folder, machine)

    assert ranks(tmp_path, work, size=1)[0].end().code != 0
    first, second = end(ranks(tmp_path, work))
    assert (first.code, second.code) == (0, 0), first.err
    assert "bit-exactness is not promised: processes 1 -> 2" in first.err
    assert [row.test_n for row in Run.open(folder).metrics] == [41, 41]
    for size in (1, 2, 3):
        batch = torch.arange(11)
        shares = torch.cat([Team(rank, size).share(batch) for rank in range(size)])
        assert torch.equal(shares.sort().values, batch)


@pytest.mark.row("R11")
def test_running_statistics_are_rank_0s(tmp_path, undisturbed):
    """They are handed out at every step and evaluation, so those of another rank change nothing."""

    def fault(trainer, rank):
        if rank == 1:
            for name, buffer in trainer.network.named_buffers():
                if "running" in name:
                    buffer.fill_(7)

    assert [e.code for e in end(two_ranks(tmp_path, tmp_path / "run", fault))] == [0, 0]
    assert digest(tmp_path / "run") == undisturbed
