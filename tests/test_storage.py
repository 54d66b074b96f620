"""Files: old or new and nothing between; every flipped bit noticed, and located."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest
import torch

from residuum import storage
from residuum.errors import CheckpointError, LockedError, ResourceError, UsageError
from residuum.storage import Lock, read_json, read_tensors, write_bytes, write_tensors
from residuum.training.checkpoint import Checkpoint, Checkpoints, State


def tensors():
    source = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(5, 3, generator=source),
        "b": torch.arange(7),
        "half": torch.randn(3, generator=source).half(),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "strided": torch.randn(2, 3, 4, 4, generator=source).to(memory_format=torch.channels_last),
        "turned": torch.randn(4, 3, generator=source).T,
    }


def test_round_trip_is_exact(tmp_path):
    entry = write_tensors(tmp_path, "x-{digest}.safetensors", tensors(), {"step": 3, "sum": 0.1})
    assert entry.sha256.startswith(entry.file.split("-")[1].split(".")[0])
    found = read_tensors(tmp_path / entry.file, entry)
    assert found.metadata == {"step": 3, "sum": 0.1}
    assert all(
        torch.equal(found.tensors[k], v) and found.tensors[k].dtype == v.dtype
        for k, v in tensors().items()
    )


@pytest.mark.row("T5", "T7")
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, call, number):
    path = tmp_path / "x"
    write_bytes(tmp_path, "x", b"old")

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    if call == "write":
        real = os.fdopen

        def fdopen(*a, **k):
            return Failing(real(*a, **k), fail)

        monkeypatch.setattr(storage.files.os, "fdopen", fdopen)
    else:
        monkeypatch.setattr(storage.files.os, call, fail)
    with pytest.raises(ResourceError if number == errno.ENOSPC else OSError):
        write_bytes(tmp_path, "x", b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


class Failing:
    """A file whose write fails."""

    def __init__(self, file, fail):
        self.file, self.write = file, fail

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@pytest.mark.row("T5")
def test_a_full_disk_really(tmp_path):
    """RLIMIT_FSIZE makes the kernel refuse; the checkpoint that was there is still good."""
    script = f"""
import resource, signal, torch, sys
from pathlib import Path
from residuum.training.checkpoint import Checkpoint, Checkpoints, State
from residuum.errors import ResourceError
store = Checkpoints(Path({str(tmp_path)!r}))
store.save(Checkpoint({{"w": torch.ones(10)}}, State(1)))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    store.save(Checkpoint({{"w": torch.ones(100_000)}}, State(2)))
except ResourceError as error:
    print(error.exit_code, store.latest().state.step, len(list(Path({str(tmp_path)!r}).glob(".*"))))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["6", "1", "0"], done.stderr


@pytest.mark.parametrize("name", ["../x", "a/x", "/x", "..", "", "a\0b"])
def test_a_name_never_leads_out_of_the_folder(tmp_path, name):
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError, match="no name of a file"):
        write_bytes(tmp_path / "a", name, b"")
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def save_three(folder) -> Checkpoints:
    store = Checkpoints(folder)
    for step in (1, 2, 3):
        store.save(Checkpoint({"w": torch.full((4,), float(step))}, State(step)))
    return store


def test_two_checkpoints_are_kept_and_the_newest_found(tmp_path):
    store = save_three(tmp_path)
    assert store.latest().state == State(3)
    assert len(list(tmp_path.glob("step-*"))) == 2


@pytest.mark.row("T17")
def test_one_writer_to_a_folder(tmp_path):
    script = "from residuum.storage import Lock; from pathlib import Path\n"
    script += f"with Lock(Path({str(tmp_path)!r})): print('held')"
    with Lock(tmp_path):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert "LockedError" in done.stderr
        with pytest.raises(LockedError, match=f"process {os.getpid()}"), Lock(tmp_path):
            pass
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
        == "held\n"
    )


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--output"):
        storage.make_folder(tmp_path / "file" / "run")
    (tmp_path / "file").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_json(tmp_path / "file")


def test_who_looks_at_a_lock_keeps_nobody_out(tmp_path, monkeypatch):
    """`holder` holds it for an instant, in which another process may come to take it."""
    (tmp_path / ".lock").touch()
    looking = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr("time.sleep", lambda seconds: fcntl.flock(looking, fcntl.LOCK_UN))
    with Lock(tmp_path):
        assert storage.holder(tmp_path) == f"process {os.getpid()}"
    os.close(looking)
