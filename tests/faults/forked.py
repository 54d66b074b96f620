"""Processes forked from this one, which has torch loaded: a command in them costs no start-up."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.fuzz.child import fork, redirect


class Ended(NamedTuple):
    """How a process ended; a negative code is the signal that killed it."""

    code: int
    out: str
    err: str


@dataclass
class Forked:
    """A process at work."""

    pid: int
    streams: tuple[Path, Path]

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, seconds: float = 60) -> Ended:
        """Waited for; killed, and an AssertionError, where it takes longer (on an idle machine)."""
        seconds *= max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        start, ended, status = time.monotonic(), 0, 0
        while not ended:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if time.monotonic() - start > seconds:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"still there after {seconds} s: {self.read()}")
            time.sleep(0.01)
        return Ended(os.waitstatus_to_exitcode(status), *self.read())

    def read(self) -> tuple[str, ...]:
        return tuple(
            file.read_text(errors="replace") if file.is_file() else "" for file in self.streams
        )


def started(
    place: Path,
    work: Callable[[], object],
    out: str | None = None,
    err: str | None = None,
    **environment: str,
) -> Forked:
    """The work in a process of its own; `out` and `err` are where its streams go."""
    streams = place / f"{time.monotonic_ns()}.out", place / f"{time.monotonic_ns()}.err"

    def begin() -> None:
        os.environ.update(environment)
        redirect(out or streams[0], err or streams[1])
        work()

    return Forked(fork(begin), streams)


def command(*arguments: object) -> Callable[[], None]:
    """The command line, as a shell starts it."""

    def work() -> None:
        from residuum.__main__ import main

        sys.argv = ["residuum", *map(str, arguments)]
        main()

    return work


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ranks(
    place: Path, work: Callable[[int], object], size: int = 2, **environment: str
) -> list[Forked]:
    """The processes of one run, as torchrun starts them; `work` is given the rank."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())} | environment
    return [
        started(
            place,
            lambda rank=rank: work(rank),
            RANK=str(rank),
            **({"WORLD_SIZE": str(size)} | meeting),
        )
        for rank in range(size)
    ]


def until(there: Callable[[], object], seconds: float = 60) -> None:
    """Waits until it is so."""
    start = time.monotonic()
    while not there():
        assert time.monotonic() - start < seconds, "did not come"
        time.sleep(0.01)
