"""Trainings: killed, interrupted, short of room, and the streams and signals of the command line.

Where a row names a part that we do not have (processes that load data, say), the test shows what
holds instead, and says so.
"""

import errno
import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

import residuum
from benchmarks.kill_resume import digest, small_data, with_dropout
from residuum import progress, storage
from residuum.data.images import Dataset
from residuum.errors import ResourceError
from residuum.storage import Lock
from residuum.training import Machine, find_recipe, train
from residuum.training.checkpoint import Checkpoint, Checkpoints, State
from residuum.training.loop import Trainer
from residuum.training.signals import caught

from .forked import command, started, until

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)


@pytest.fixture(scope="module")
def data() -> Dataset:
    whole = small_data()
    return Dataset("digits", whole.train.first(150), whole.test.first(40), whole.classes)


def run(data, folder, **changes):
    recipe = replace(find_recipe("digits").shortened(2), batch_size=32, **changes)
    return train(with_dropout(0), data, recipe, folder, CPU)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory) -> Path:
    return run(data, tmp_path_factory.mktemp("undisturbed") / "run").folder


# ---- storage ----

OPERATIONS = ("open", "fsync", "replace", "unlink", "chmod")


@pytest.mark.row("T2", "R6")
def test_killed_at_every_operation_on_files(tmp_path):
    """Old or new, never neither, and no file that the next save does not sweep away. (Only rank 0
    saves, so this is also what several ranks leave behind.) That nothing is renamed before it is
    synced, which is what a cut in power needs, is looked at in the order of the calls."""

    def save(step: int) -> None:
        weights = {"w": torch.full((50,), float(step))}
        Checkpoints(folder).save(Checkpoint(weights, State(step)))

    def die_at(number: int) -> None:
        calls = count()
        for name in OPERATIONS:
            real = getattr(os, name)

            def counted(*a, real=real, **k):
                if next(calls) == number:
                    os._exit(9)
                return real(*a, **k)

            setattr(os, name, counted)
        save(3)

    seen = set()
    for number in range(60):
        folder = tmp_path / str(number)
        save(1)
        save(2)
        code = started(tmp_path, lambda number=number: die_at(number)).end().code
        step = Checkpoints(folder).latest().state.step  # type: ignore[union-attr]
        seen.add(step)
        storage.sweep_temporaries(folder)
        save(4)
        assert len(list(folder.iterdir())) == 3
        if code == 0:
            break
    assert seen == {2, 3}
    assert 10 < number < 60


def test_nothing_is_renamed_before_it_is_synced(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))
        )
    storage.write_bytes(tmp_path, "x", b"new")
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.row("T6")
def test_an_error_that_passes(data, tmp_path, undisturbed, monkeypatch):
    """Not tried again on its own: the run ends, what was saved stands, the same command goes on."""
    calls, real = count(), os.fsync

    def fails_once(descriptor):
        if next(calls) == 9:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fails_once)
    with pytest.raises((OSError, ResourceError)):
        run(data, tmp_path / "run")
    assert not list(tmp_path.rglob("*.tmp"))
    assert digest(run(data, tmp_path / "run").folder) == digest(undisturbed)


# ---- signals ----


@pytest.mark.row("T3")
def test_a_second_interrupt_stops_at_once(tmp_path):
    def twice() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with caught():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)

    start = time.monotonic()
    ended = started(tmp_path, twice).end()
    assert ended.code == -signal.SIGINT
    assert time.monotonic() - start < 2 * max(1, os.getloadavg()[0])
    assert "stopping after this step" in ended.err


@pytest.mark.row("T4")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_while_it_starts(tmp_path, number):
    """Also in the middle of an import: no exception is raised that could be swallowed there."""
    (tmp_path / "slow.py").write_text(
        "import time\ntry:\n    time.sleep(60)\nexcept BaseException:\n    pass\n"
    )

    def work() -> None:
        sys.path.insert(0, str(tmp_path))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with progress.make_ready():
            print("importing", flush=True)
            progress.quiet = True  # says nothing of progress, but why it ends
            import slow  # type: ignore[import-not-found]  # noqa: F401

    process = started(tmp_path, work)
    until(lambda: "importing" in process.read()[0])
    process.send(number)
    ended = process.end(30)
    assert ended.code == 128 + number
    assert ended.err == f"residuum: error: stopped by {number.name}\n"


@pytest.mark.row("T4")
def test_sigterm_ends_a_command_that_trains_nothing(tmp_path):
    def work() -> None:
        with progress.make_ready():
            pass
        print("ready", flush=True)
        time.sleep(30)

    process = started(tmp_path, work)
    until(lambda: "ready" in process.read()[0])
    process.send(signal.SIGTERM)
    assert process.end(30).code == 143


# ---- numbers ----


@pytest.mark.row("T9")
def test_a_loss_that_jumps_stands_in_the_metrics(data, tmp_path):
    """It is not flagged: whoever looks for it finds every epoch's loss."""
    wild = run(data, tmp_path / "wild", warmup=None, learning_rate=1.0)
    calm = run(data, tmp_path / "calm", warmup=None, learning_rate=0.001)
    rows = [json.loads(line) for line in (wild.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[0]["train_loss"] > calm.metrics[0].train_loss


# ---- what runs out ----


@pytest.mark.row("T10")
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["Python", "CUDA", "CPU"],
)
def test_out_of_memory(tmp_path, capsys, monkeypatch, error):
    from test_cli import call

    words = ["train", "preresnet8", "--epochs", 1, "--output", tmp_path / "run"]
    real = Trainer.advance

    def advance(self):
        if self.step == 3:
            raise error
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", advance)
        code, out, err = call(capsys, *words)
    assert (code, out) == (6, "")
    assert "--batch-size" in err
    assert len(err.strip().splitlines()) == 1
    assert call(capsys, *words)[0] == 0


@pytest.mark.row("T14")
def test_too_many_open_files(tmp_path):
    def few() -> None:
        import residuum.__main__  # noqa: F401 - needs a few itself

        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with suppress(OSError):
            while True:
                os.open(os.devnull, os.O_RDONLY)
        command("train", "preresnet8", "--epochs", 1, "--output", tmp_path / "run")()

    ended = started(tmp_path, few).end()
    assert ended.code == 6
    assert "Too many open files" in ended.err
    assert len(ended.err.splitlines()) == 1


# ---- no processes that load data ----


@pytest.mark.row("T11", "T13", "T20")
def test_images_are_loaded_by_no_other_process(data, tmp_path, monkeypatch):
    """Images lie in this process's memory: none that could be killed, hang, or differ in number,
    and nothing in shared memory."""
    real, seen = Trainer.advance, []

    def shared() -> set[str]:  # others of this process may have put some there
        return {line for line in Path("/proc/self/maps").read_text().splitlines() if "shm" in line}

    def advance(self):
        real(self)
        threads = Path("/proc/self/task").iterdir()
        seen.append("".join((thread / "children").read_text() for thread in threads))
        assert shared() <= already

    already = shared()
    before = {(Path("/proc/self/task") / str(os.getpid()) / "children").read_text()}
    monkeypatch.setattr(Trainer, "advance", advance)
    run(data, tmp_path / "run")
    assert len(seen) == 10
    assert set(seen) <= before | {""}


@pytest.mark.row("T19")
def test_there_is_no_other_way_to_ask_for_reproducible_runs(tmp_path, capsys, monkeypatch):
    """Every run is reproducible where torch is; the option of others is refused."""
    from test_cli import call

    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, "train", "preresnet8", "--strict-repro")
    assert code == 2
    assert "--strict-repro" in err


# ---- time, locks, callbacks ----


@pytest.mark.row("T16")
def test_clocks_count_for_nothing(data, tmp_path, undisturbed, monkeypatch):
    """Stopped, the clock set to 1999, files dated 2038 and later: the newest step goes on."""
    from laws.test_resume import stop_at

    folder = tmp_path / "run"
    for step, now in ((3, 4e9), (7, 9.2e8)):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda now=now: now)
            stop_at(patch, step)
            with pytest.raises(residuum.errors.Interrupted):
                run(data, folder)
        for file in (folder / "checkpoints").iterdir():
            os.utime(file, (now, now))
    assert Checkpoints(folder / "checkpoints").newest_step() == 7
    assert digest(run(data, folder).folder) == digest(undisturbed)


@pytest.mark.row("T17")
def test_a_lock_that_was_left_behind_is_taken(data, tmp_path):
    """The kernel holds it, so a file that names a process of yesterday, or this one, is nothing."""
    for left in (b"process 1\n", f"process {os.getpid()}\n".encode(), b"\0" * 99):
        (tmp_path / ".lock").write_bytes(left)
        with Lock(tmp_path):
            pass


@pytest.mark.row("T17")
@pytest.mark.parametrize("what", ["folder", "pipe", "link", "loop"])
def test_a_lock_that_is_no_file_of_its_own(tmp_path, what):
    lock, other = tmp_path / ".lock", tmp_path / "precious"
    other.write_text("kept")
    match what:
        case "folder":
            lock.mkdir()
        case "pipe":
            os.mkfifo(lock)
        case "link":
            lock.symlink_to(other)
        case "loop":
            lock.symlink_to(".lock")
    with pytest.raises(residuum.errors.UsageError, match=r"\.lock: cannot be used as a lock"):
        Lock(tmp_path).__enter__()
    assert storage.holder(tmp_path) is None
    assert other.read_text() == "kept"


@pytest.mark.row("T21")
def test_a_failing_evaluation_costs_nothing(data, tmp_path, undisturbed, monkeypatch):
    """The step before it is not lost twice: the run goes on from its checkpoint to the same end."""
    real, calls = Trainer.evaluate, count()

    def evaluate(self):
        if next(calls) == 1:
            raise ValueError("a measurement of one's own")
        return real(self)

    recipe = replace(find_recipe("digits").shortened(2), batch_size=32)
    network, before = with_dropout(0), torch.get_rng_state()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", evaluate)
        with pytest.raises(ValueError, match="of one's own"):
            train(network, data, recipe, tmp_path / "run", CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert digest(run(data, tmp_path / "run").folder) == digest(undisturbed)


# ---- streams ----


@pytest.mark.row("T22")
@pytest.mark.parametrize("json", [(), ("--json",)], ids=["words", "JSON"])
@pytest.mark.parametrize(("out", "why"), [("/dev/full", "No space"), ("closed", "Bad file")])
def test_a_result_that_cannot_be_written_is_told(tmp_path, out, why, json):
    ended = shown(tmp_path, out, None, "ls", *json)
    assert ended.code == 6
    assert f"stdout cannot be written ({why}" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.row("T22")
@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("--version",)])
def test_help_that_cannot_be_written_is_told(tmp_path, words):
    for out in ("/dev/full", "closed"):
        ended = shown(tmp_path, out, None, *words)
        assert ended.code == 6
        assert len(ended.err.splitlines()) == 1


@pytest.mark.row("T22")
@pytest.mark.parametrize("err", ["/dev/full", "closed"])
@pytest.mark.parametrize("out", ["/dev/full", "closed", None])
def test_a_training_ends_whatever_becomes_of_its_streams(tmp_path, out, err):
    """The exit code is that of the work; no file of the run gets a stream's number."""
    words = ("train", "preresnet8", "--epochs", 1, "--seed", 5, "--output", tmp_path / "run")
    ended = shown(tmp_path, out, err, *words)
    assert ended.code == 0
    assert residuum.Run.open(tmp_path / "run").outcome.last.test_n == 898
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.row("T22")
def test_a_message_that_cannot_be_written_leaves_the_code(tmp_path):
    for err in ("/dev/full", "closed"):
        assert shown(tmp_path, None, err, "info", "resnet21").code == 2


@pytest.mark.row("T22")
def test_readers_that_go_away(tmp_path):
    """Help and results into a pipe that nobody reads: the work is done."""
    for words in (("--help",), ("ls",), ("info", "resnet20", "--json")):

        def work(words=words) -> None:
            read, write = os.pipe()
            os.close(read)
            os.dup2(write, 1)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
            command(*words)()

        ended = started(tmp_path, work).end()
        assert (ended.code, ended.err) == (0, "")


@pytest.mark.row("T22")
def test_plain_terminals(tmp_path):
    """Characters that the terminal lacks are escaped; JSON is JSON everywhere."""

    def ascii_only(*words):
        def work() -> None:
            sys.stdout.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]
            sys.stderr.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]
            command(*words)()

        return started(tmp_path, work).end()

    assert ascii_only("info", "résnet").err.startswith("residuum: error: unknown preset 'r\\xe9")
    assert ascii_only("--help").code == ascii_only("ls").code == 0
    (tmp_path / "é" / "run").mkdir(parents=True)
    (tmp_path / "é" / "run" / "run.json").write_text("{")
    (entry,) = json.loads(ascii_only("runs", tmp_path / "é", "--json").out)["entries"]
    assert entry["folder"] == str(tmp_path / "é" / "run")


@pytest.mark.row("T22")
def test_a_verbose_fault_keeps_its_code(capsys, tmp_path, monkeypatch):
    from test_cli import call

    monkeypatch.chdir(tmp_path)
    for words, code in ((("info", "resnet21"), 2), (("eval", "nowhere"), 4)):
        found, _, err = call(capsys, *words, "--verbose")
        assert found == code
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("residuum: error: ")


def test_names_with_a_nul(capsys):
    from test_cli import call

    code, out, err = call(capsys, "eval", "a\0b")
    assert (code, out) == (2, "")
    assert "NUL" in err


def shown(place, out, err, *words):
    """A command whose streams are closed, or go where they are told."""

    def work() -> None:
        for number, where in ((1, out), (2, err)):
            if where == "closed":
                os.close(number)
                setattr(sys, "stdout" if number == 1 else "stderr", None)
        command(*words)()

    paths = [None if where == "closed" else where for where in (out, err)]
    return started(place, work, *paths).end()
