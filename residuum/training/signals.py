"""Ctrl-C and SIGTERM during training: finish the step, save, leave."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import progress


@dataclass
class Signals:
    """What was received; 0 for nothing."""

    received: int = 0


@contextmanager
def caught() -> Iterator[Signals]:
    """SIGINT and SIGTERM ask for a stop after the current step; a second SIGINT stops at once.

    Only the main thread can catch signals; in any other this does nothing.
    """
    signals = Signals()

    def handle(number: int, frame: object) -> None:
        if signals.received == signal.SIGINT == number:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        signals.received = number
        progress.say(f"stopping after this step (signal {number}); once more to stop at once")

    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sigterm_ends() -> Iterator[None]:
    """SIGTERM ends the process at once, also while a library waits and no Python runs."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
