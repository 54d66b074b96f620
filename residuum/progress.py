"""Progress on stderr: a bar on a terminal, plain lines elsewhere, silence when asked for."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

quiet = False  # set once by the command line


def say(message: str) -> None:
    """One line for a person."""
    if not quiet:
        try:
            print(message, file=sys.stderr, flush=True)
        except (BrokenPipeError, ValueError):
            sys.stderr = None  # the reader has gone; the work goes on


def say_plain(message: str) -> None:
    """The line that stands for a bar where stderr is not a terminal."""
    if sys.stderr is not None and not sys.stderr.isatty():
        say(message)


@contextmanager
def bar(title: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    """Gives `advance(steps=1, note="")`. Shows rate and time left, on a terminal only."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
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
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total, completed=done, note="", rate="")

        def advance(steps: int = 1, note: str = "") -> None:
            speed = shown.tasks[0].speed
            shown.update(task, advance=steps, note=note, rate=f"{speed:.1f}/s" if speed else "")

        yield advance
