"""Where jobs are carried out. Other backends can stand in for `Local`."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .. import progress
from ..errors import Interrupted, ResourceError

J = TypeVar("J")
R = TypeVar("R")
LOOK_SECONDS = 0.5  # how often a worker looks whether its parent still lives


class Executor(Protocol):
    """Carries jobs out, somewhere."""

    def map(self, work: Callable[[J], R], jobs: Sequence[J]) -> Iterator[R]:
        """`work(job)` of every job as they finish. The first error stops the others, is raised."""
        ...


@dataclass(frozen=True)
class Local:
    """In this process, or in `workers` processes, which end when this one does, however it ends."""

    workers: int = 1

    def map(self, work: Callable[[J], R], jobs: Sequence[J]) -> Iterator[R]:
        """ResourceError: a worker was killed, which is what happens when memory runs out."""
        at_a_time = min(self.workers, len(jobs))
        if at_a_time <= 1:
            yield from map(work, jobs)
            return
        from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

        greeting = (os.getpid(), progress.quiet)
        pool = ProcessPoolExecutor(at_a_time, initializer=begin_worker, initargs=greeting)
        try:
            with stopped_by_sigterm():
                yield from _in_pool(pool, work, deque(jobs), at_a_time)
        except BrokenProcessPool as error:
            advice = "If memory ran out, take fewer workers. Run it again to go on"
            raise ResourceError(f"a worker process died. {advice}") from error
        except BaseException:
            _stop(pool)
            raise
        finally:
            pool.shutdown(wait=True)


def _stop(pool: Any) -> None:
    """SIGTERM to the workers, and SIGKILL to what they have started once they have ended."""
    workers = list(pool._processes)
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGTERM)
    pool.shutdown(wait=True)
    for worker in workers:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(worker, signal.SIGKILL)


def _in_pool(pool: Any, work: Callable[[J], R], waiting: deque[J], at_a_time: int) -> Iterator[R]:
    """No more jobs are handed over than workers are free, so that none begins after an error."""
    running: set[Future[R]] = set()
    while waiting or running:
        while waiting and len(running) < at_a_time:
            running.add(pool.submit(_in_worker, work, waiting.popleft()))
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def begin_worker(parent: int, quiet: bool) -> None:
    """Run first in a worker. It leads a process group, so that its own children end with it."""
    progress.quiet = quiet
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # without a job there is nothing to stop
    os.setpgid(0, 0)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _in_worker(work: Callable[[J], R], job: J) -> R:
    with stopped_by_sigterm():
        return work(job)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM raises Interrupted here; in a training it does so after the state is saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted("stopped; run it again to go on", number)


def _end_with(parent: int) -> None:
    """SIGKILL to the own group once the parent is gone. Checkpoints and log bear that."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.killpg(0, signal.SIGKILL)
