"""Which ranks of a run live: each counts up a number of its own where all can read it."""

import os
import threading
import time
from datetime import timedelta

import torch.distributed as dist

BEAT_SECONDS = 0.5


class Heart:
    """A thread that beats for this rank and listens to the others.

    It talks to the store in which the ranks met, over a connection of its own, so that it goes on
    while the rank computes or waits.
    """

    def __init__(self, host: str, port: int, rank: int, size: int):
        self.rank, self.size, self.beats = rank, size, dict[int, int]()
        self.alone = False  # the store does not answer any more
        self.store = dist.TCPStore(host, port, timeout=timedelta(seconds=10))  # type: ignore[attr-defined]
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()

    def _beat(self) -> None:
        while not self.stopped.wait(BEAT_SECONDS):
            try:
                self.store.add(f"residuum/beat/{self.rank}", 1)
                for rank in range(self.size):
                    self.beats[rank] = self.store.add(f"residuum/beat/{rank}", 0)
            except RuntimeError:
                self.alone = True
                return

    def silent(self) -> list[int]:
        """The other ranks that do not beat while this listens, for two seconds."""
        time.sleep(2 * BEAT_SECONDS)  # the last beat of one that is gone may not be read yet
        before = self.beats.copy()
        time.sleep(4 * BEAT_SECONDS)
        still = [n for n in range(self.size) if n != self.rank]
        still = [n for n in still if self.beats.get(n) == before.get(n)]
        deaf = self.alone or self.beats.get(self.rank) == before.get(self.rank)
        # without torchrun the store is rank 0's, and gone or stopped with it
        ours = not os.environ.get("TORCHELASTIC_USE_AGENT_STORE")
        return [0] if deaf and ours and self.rank else still

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join(4 * BEAT_SECONDS)  # one that talks while the process ends would abort it
