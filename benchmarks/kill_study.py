"""SIGKILL a small study at random instants, start it again, and compare with one that was never
disturbed.

    python benchmarks/kill_study.py --kills 20

A killed study is started again until it finishes; then its study.json must be the reference's
(dates and seconds aside), no finished job may have been done again, and no process may be left five
seconds after a kill. Every other study runs in two worker processes. Children are forked from a
process that has already imported torch, so that kills land in training and measuring. Prints one
JSON object; exits 1 on a fault.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from residuum import progress
from residuum.data import load
from residuum.data.images import Dataset
from residuum.experiments.bench import Bench
from residuum.experiments.executors import Local
from residuum.studies import Request, run_study
from residuum.training import Machine

REQUEST = Request("veit2016", "smoke", depth=14)
PATIENCE = 5.0  # seconds that a killed study's processes may live on


def small_bench(store: Path) -> Bench:
    """300 digits to train on, 60 to test on; a checkpoint ten times a second."""
    digits = load("digits")
    data = Dataset("digits", digits.train.first(300), digits.test.first(60), digits.classes)
    return Bench(store, data, Machine(device="cpu", threads=1, save_seconds=0.1))


def in_child(bench: Bench, output: Path, workers: int) -> int:
    """The study in a forked process that leads a session: what it starts is known by that."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)  # loky warns of what a kill left
            run_study(REQUEST, bench, output, Local(workers))
            os._exit(0)
        except BaseException as error:
            print(f"child failed: {error!r}")
            os._exit(1)
    return child


def living(session: int) -> list[int]:
    """The processes of a session, zombies aside."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, belongs = entry.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(belongs) == session and state != "Z":
            found.append(int(entry.parent.name))
    return found


def seconds_until_gone(session: int) -> float:
    """How long the processes of a killed study live on; infinite where we lose patience."""
    start = time.monotonic()
    while living(session):
        if time.monotonic() - start > PATIENCE:
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - start


def kept(store: Path) -> tuple[bytes, dict[str, int]]:
    """What is finished: the whole lines of the log, and when each training ended."""
    log = store / "jobs.jsonl"
    lines = log.read_bytes() if log.exists() else b""
    ended = {f.parent.name: f.stat().st_mtime_ns for f in store.glob("*/done.json")}
    return lines[: lines.rfind(b"\n") + 1], ended


def repeated(before: tuple[bytes, dict[str, int]], after: tuple[bytes, dict[str, int]]) -> bool:
    """Whether something that was finished was done again, or is gone."""
    keys = [json.loads(line)["key"] for line in after[0].splitlines()]
    same = all(after[1].get(name) == ended for name, ended in before[1].items())
    return len(set(keys)) < len(keys) or not after[0].startswith(before[0]) or not same


def essence(output: Path) -> dict:
    """study.json without dates and seconds, and without the digest of the whole."""
    study = json.loads((output / "study.json").read_text())
    study.pop("sha256")
    study["provenance"].pop("date")
    for trial in study["provenance"]["trials"]:
        trial.pop("training seconds")
    return study


def kill_and_go_on(kills: int, seed: int, root: Path, modes: tuple[int, ...] = (1, 2)) -> dict:
    """At least `kills` kills, spread over as many whole studies as that takes, in these numbers of
    workers in turn."""
    torch.set_num_threads(1)
    progress.quiet = True
    source, started, seconds = random.Random(seed), time.monotonic(), {}
    for workers in modes:
        begun, output = time.monotonic(), root / f"reference-{workers}"
        bench = small_bench(output)
        if os.waitpid(in_child(bench, output, workers), 0)[1]:
            raise SystemExit("the undisturbed study failed")
        seconds[workers] = time.monotonic() - begun
    references = [essence(root / f"reference-{workers}") for workers in modes]
    expected, different = references[0], sum(r != references[0] for r in references)
    done, studies, twice, slowest, in_log = 0, 0, 0, 0.0, 0
    while done < kills:
        output, workers = root / "killed", modes[studies % len(modes)]
        shutil.rmtree(output, ignore_errors=True)
        before = kept(output)
        while True:
            child = in_child(small_bench(output), output, workers)
            deadline = time.monotonic() + source.uniform(0.0, seconds[workers])
            finished = 0
            while not finished and time.monotonic() < deadline:
                finished, status = os.waitpid(child, os.WNOHANG)
                time.sleep(0.005)
            if finished:
                if status:
                    raise SystemExit(
                        f"a study that went on failed with status {status}; seed {seed}"
                    )
                break
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done += 1
            slowest = max(slowest, seconds_until_gone(child))
            after = kept(output)
            twice += repeated(before, after)
            in_log += len(after[0]) > len(before[0])
            before = after
        studies += 1
        twice += repeated(before, kept(output))
        different += essence(output) != expected
    return {
        "kills": done,
        "whole studies": studies,
        "different": different,
        "something done twice": twice,
        "sessions that added to the log before their kill": in_log,
        "processes left": slowest == float("inf"),
        "slowest end of a process, seconds": round(min(slowest, PATIENCE), 2),
        "undisturbed, seconds": {str(k): round(v, 1) for k, v in seconds.items()},
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = kill_and_go_on(options.kills, options.seed, Path(place))
    print(json.dumps(result))
    faults = ("different", "something done twice", "processes left")
    sys.exit(1 if any(result[fault] for fault in faults) else 0)
