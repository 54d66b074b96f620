"""Jobs: what identifies one, the log that keeps them, the workers that carry them out, and what a
kill leaves."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.kill_study import kill_and_go_on, living, small_bench
from residuum.errors import CheckpointError, LockedError, NumericError, ResourceError, UsageError
from residuum.experiments.bench import Bench, Job, union
from residuum.experiments.executors import Local
from residuum.experiments.log import Finished, Log, job_key
from residuum.experiments.probe import (
    MEASUREMENTS,
    Probe,
    delete_each,
    delete_random,
    halved_sets,
    record,
    unit_map,
)
from residuum.experiments.trial import Trial
from residuum.storage import Lock, append_line, read_lines
from residuum.training import find_recipe

# ---- probes ----


def test_a_probe_is_its_word_and_what_differs_from_the_defaults():
    assert delete_each() == delete_each(None) == delete_each(examples=None) == Probe("delete each")
    assert delete_random([1, 2], 3) == delete_random(counts=(1, 2), repeats=3, seed=0)
    assert delete_random((1, 2), 3, seed=1).arguments == (
        ("counts", (1, 2)),
        ("repeats", 3),
        ("seed", 1),
    )
    assert len({delete_each(), delete_each(5), delete_each(examples=5)}) == 2
    with pytest.raises(UsageError, match="delete each"):
        Probe("delete eahc").version  # noqa: B018


@pytest.mark.row("S7")
def test_a_job_is_identified_by_all_that_its_value_depends_on(monkeypatch):
    base = job_key("run", "w", "d", delete_each(5))
    others = [
        job_key("other", "w", "d", delete_each(5)),
        job_key("run", "x", "d", delete_each(5)),
        job_key("run", "w", "e", delete_each(5)),
        job_key("run", "w", "d", delete_each(6)),
        job_key("run", "w", "d", unit_map()),
    ]
    assert len({base, *others}) == 6
    assert job_key("run", "w", "d", delete_each(examples=5)) == base
    monkeypatch.setattr(MEASUREMENTS["delete each"], "version", 2)
    assert job_key("run", "w", "d", delete_each(5)) != base


def test_random_sets_are_halved_on_the_dominant_unit():
    sets = halved_sets(6, 2, (0, 1, 3, 6), repeats=10, seed=4)
    assert sets == halved_sets(6, 2, (0, 1, 3, 6), repeats=10, seed=4)
    by_size = {k: [s for s in sets if len(s) == k] for k in (0, 1, 3, 6)}
    assert [len(some) for some in by_size.values()] == [10] * 4
    assert [sum(2 in s for s in some) for some in by_size.values()] == [0, 5, 5, 10]
    assert all(len(set(s)) == len(s) and set(s) <= set(range(6)) for s in sets)
    assert len({tuple(sorted(s)) for s in by_size[3]}) > 4


# ---- the log ----


def entry(key: str, value=1.5) -> Finished:
    return Finished(key, "preresnet8-abc", "delete each", {"examples": 5}, value, 0.25)


@pytest.fixture
def log(tmp_path) -> Log:
    found = Log(tmp_path / "store" / "jobs.jsonl")
    for key in "abc":
        found.add(entry(key, {"k": [1, 2**70, 0.1]}))
    return found


def test_what_is_added_is_read(log):
    assert log.read() == {key: entry(key, {"k": [1, 2**70, 0.1]}) for key in "abc"}
    assert Log(log.path.with_name("none")).read() == {}


@pytest.mark.row("T18", "S8")
def test_a_torn_last_line_is_dropped_and_the_next_takes_its_place(log, capsys, monkeypatch):
    monkeypatch.setattr("residuum.progress.quiet", False)
    whole = log.path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for cut in (1, 40, len(last) - 1):
        log.path.write_bytes(whole[: len(whole) - len(last) + cut])
        assert list(log.read()) == ["a", "b"]
        assert "cut short" in capsys.readouterr().err
    log.add(entry("c", {"k": [1, 2**70, 0.1]}))
    assert log.path.read_bytes() == whole
    log.path.write_bytes(b'{"torn')
    log.add(entry("z"))
    assert list(log.read()) == ["z"]


@pytest.mark.row("S8")
def test_any_other_damage_names_the_line(log):
    lines = log.path.read_bytes().splitlines(keepends=True)
    damaged = [
        lines[1].replace(b"0.25", b"0.26"),
        lines[1][:40] + b"\n",
        b"\n",
        b"[]\n",
        b'{"schema": 1}\n',
        b"\xff\xfe\n",
        b"[" * 5000 + b"\n",
    ]
    for line in damaged:
        log.path.write_bytes(lines[0] + line + lines[2])
        with pytest.raises(CheckpointError, match="line 2 is damaged"):
            log.read()
    log.path.write_bytes(lines[0] + lines[2] + damaged[0])
    with pytest.raises(CheckpointError, match="line 3 is damaged"):
        log.read()


@pytest.mark.row("S4")
def test_one_job_may_not_have_two_values(log):
    log.add(replace(entry("a", {"k": [1, 2**70, 0.1]}), seconds=9.0))
    assert len(log.read()) == 3
    log.add(entry("a", 2))
    with pytest.raises(CheckpointError, match="line 5 has another value than line 1"):
        log.read()


@pytest.mark.row("S2")
def test_numbers_that_are_not_finite_are_not_kept(log):
    before = log.path.read_bytes()
    with pytest.raises(NumericError, match="delete each of preresnet8-abc"):
        log.add(entry("d", [float("nan")]))
    assert log.path.read_bytes() == before


def test_many_append_at_once(tmp_path):
    path = tmp_path / "lines"
    words = [f"{i:04d}" * 500 for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda word: append_line(path, word), words))
    lines, torn = read_lines(path)
    assert not torn
    assert sorted(line.decode() for line in lines) == words


FULL = """
import resource, sys
from pathlib import Path
from residuum.storage import append_line
from residuum.errors import ResourceError
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
append_line(path, "a" * 3000)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    append_line(path, "b" * 3000)
except ResourceError as error:
    print(error)
"""


@pytest.mark.row("T5")
def test_a_full_disk_leaves_the_lines_before(tmp_path):
    path = tmp_path / "lines"
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True)
    assert "no room" in done.stdout, done.stderr
    assert path.read_bytes() == b"a" * 3000 + b"\n"


# ---- locks ----


def test_a_lock_waits_where_it_is_asked_to(tmp_path):
    got = []

    def second() -> None:
        with Lock(tmp_path, wait=True):
            got.append(time.monotonic())

    with Lock(tmp_path):
        with pytest.raises(LockedError):
            Lock(tmp_path).__enter__()
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        assert not got
        freed = time.monotonic()
    thread.join(5)
    assert got[0] >= freed


# ---- the bench ----


def tiny() -> Trial:
    return Trial("preresnet8", replace(find_recipe("digits").shortened(1), batch_size=128))


@pytest.fixture
def bench(tmp_path) -> Bench:
    return small_bench(tmp_path / "store")


def test_finished_jobs_are_found(bench, monkeypatch):
    job = Job(tiny(), (record(), unit_map()))
    assert bench.missing(job) == job.probes
    bench.carry_out(job)
    assert not bench.missing(job)
    values = bench.values(job)
    assert values[unit_map()].units[1].kind == "changes the shape"
    assert len(values[record()].epochs) == 1
    more = Job(tiny(), (unit_map(), delete_each(20)))
    assert list(bench.missing(more)) == [delete_each(20)]
    monkeypatch.setattr("residuum.training.loop.Trainer.advance", None)
    bench.carry_out(more)
    lines, _ = read_lines(bench.log.path)
    assert [json.loads(line)["what"] for line in lines] == ["record", "unit map", "delete each"]


@pytest.mark.row("S5")
def test_a_job_of_another_process_is_waited_for_and_found(bench):
    """Two at once, over the same store: each waits for the other, and nothing is done twice."""
    job = Job(tiny(), (record(), delete_each(20)))
    for _ in Local(2).map(bench.carry_out, [job, job]):
        pass
    lines, _ = read_lines(bench.log.path)
    assert [json.loads(line)["what"] for line in lines] == ["record", "delete each"]


def test_needs_are_united():
    first, second = tiny(), replace(tiny(), preset="preplain8")
    needs = [(first, record()), (second, record()), (tiny(), record()), (first, unit_map())]
    assert union(needs) == [Job(first, (record(), unit_map())), Job(second, (record(),))]


# ---- executors ----


def doubled(n: int) -> int:
    if n < 0:
        raise UsageError(f"{n} is negative")
    time.sleep(0.01)
    return 2 * n


def dies(n: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.row("S2")
@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_are_mapped(workers):
    assert sorted(Local(workers).map(doubled, range(6))) == [0, 2, 4, 6, 8, 10]
    with pytest.raises(UsageError, match="-1 is negative"):
        list(Local(workers).map(doubled, [1, 2, -1, 3]))
    assert list(Local(workers).map(doubled, [])) == []


@pytest.mark.row("S2")
def test_a_killed_worker_is_told():
    with pytest.raises(ResourceError, match="a worker process died"):
        list(Local(2).map(dies, [1, 2]))


MAIN = """
import os, subprocess, sys, time
from residuum.experiments.executors import Local
def work(n):
    child = subprocess.Popen(["sleep", "60"])
    os.write(1, f"ready {os.getpid()} {child.pid}\\n".encode())  # whole lines, from both
    while True:
        sum(range(1000))
for _ in Local(2).map(work, [1, 2]):
    pass
"""


@pytest.mark.row("T15")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_and_their_children_end_with_the_main_process(number):
    main = subprocess.Popen(
        [sys.executable, "-c", MAIN],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert main.stdout is not None
    try:
        lines = [main.stdout.readline().split() for _ in range(2)]
        assert all(line[0] == "ready" for line in lines)
        assert len(living(main.pid)) >= 5
        main.send_signal(number)
        main.wait(20)
        start = time.monotonic()
        while living(main.pid) and time.monotonic() - start < 6:
            time.sleep(0.05)
        assert not living(main.pid)
        assert time.monotonic() - start < 5
    finally:
        main.kill()
        main.wait()
        for process in living(main.pid):
            os.kill(process, signal.SIGKILL)
        main.stdout.close()


# ---- killed studies ----


@pytest.mark.row("S1")
@pytest.mark.slow
def test_a_killed_study_goes_on(tmp_path: Path):
    found = kill_and_go_on(3, 1, tmp_path, modes=(1,))
    assert found["kills"] >= 3
    assert (found["different"], found["something done twice"], found["processes left"]) == (
        0,
        0,
        False,
    )
