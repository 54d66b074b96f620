"""What goes out beside the results: lines and bars on stderr, and the process's streams.

A stderr that is closed, full or gone costs its lines, never the work. Loads nothing large.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

quiet = False  # set once by the command line


class _Stderr:
    """stderr as it is now; what cannot be written is dropped, and later lines are tried again."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


stderr: Any = _Stderr()


def say(message: str) -> None:
    """One line for a person."""
    if not quiet:
        print(message, file=stderr, flush=True)


def say_plain(message: str) -> None:
    """The line that stands for a bar where stderr is not a terminal."""
    if not _on_terminal():
        say(message)


def _on_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (ValueError, AttributeError):  # closed
        return False


@contextmanager
def bar(title: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    """Gives `advance(steps=1, note="")`. Shows rate and time left, on a terminal only."""
    if quiet or not _on_terminal():
        yield lambda steps=1, note="": None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        "{task.description}",
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        "{task.fields[rate]}",
        progress.TimeElapsedColumn(),
        "left",
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        "{task.fields[note]}",
    )
    with progress.Progress(*columns, console=Console(file=stderr), transient=True) as shown:
        task = shown.add_task(title, total=total, completed=done, note="", rate="")

        def advance(steps: int = 1, note: str = "") -> None:
            speed = shown.tasks[0].speed
            shown.update(task, advance=steps, note=note, rate=f"{speed:.1f}/s" if speed else "")

        yield advance


# ---- the process ----


def leads() -> bool:
    """Whether this process speaks: the first of those that torchrun started, or the only one."""
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    return not (rank.isdecimal() and size.isdecimal() and 0 < int(rank) < int(size))


@contextmanager
def make_ready() -> Iterator[None]:
    """Streams for all that follows, and signals that end the process with their code and a line.

    Inside, SIGINT does so too: nothing has been begun yet. SIGTERM keeps its meaning after that,
    until a training asks to be told of it.
    """
    _open_streams()
    # what torch's libraries log of a lost connection is told in one message
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    signal.signal(signal.SIGTERM, _leave)
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)


def _leave(number: int, frame: object) -> None:
    """At once: an exception could be swallowed by whatever is being imported, and a stream that
    was being written cannot be written here."""
    message = f"residuum: error: stopped by {signal.Signals(number).name}\n"
    with suppress(OSError):
        os.write(2, message.encode())
    os._exit(128 + number)


def _open_streams() -> None:
    """Numbers 0 to 2 are taken, so that no other file gets one of them and what is meant for a
    stream; characters that a stream cannot show are escaped."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is this one; writing to a closed stdout must fail
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
