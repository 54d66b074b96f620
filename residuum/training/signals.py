"""Ctrl-C and SIGTERM during training: finish the step, save, leave."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .. import progress


@dataclass
class Signals:
    """SIGINT and SIGTERM ask for a stop after the current step; a second SIGINT stops at once."""

    received: int = 0
    _old: dict[int, Any] = field(default_factory=dict)

    def _handle(self, number: int, frame: object) -> None:
        if self.received == signal.SIGINT == number:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        self.received = number
        progress.say(f"stopping after this step (signal {number}); once more to stop at once")

    @contextmanager
    def caught(self) -> Iterator["Signals"]:
        """Only the main thread can catch signals; in any other this does nothing."""
        main = threading.current_thread() is threading.main_thread()
        try:
            for number in (signal.SIGINT, signal.SIGTERM) if main else ():
                self._old[number] = signal.signal(number, self._handle)
            yield self
        finally:
            for number, old in self._old.items():
                signal.signal(number, old)
