"""One writer to a folder."""

import os
from pathlib import Path

from ..errors import LockedError


class Lock:
    """Held by the kernel (flock), so it is gone with the process, however that ends.

    LockedError: another process works there; with `wait` it is waited for.
    """

    def __init__(self, folder: Path, wait: bool = False):
        self.path, self.wait, self.descriptor = folder / ".lock", wait, -1

    def __enter__(self) -> "Lock":
        import fcntl

        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | (0 if self.wait else fcntl.LOCK_NB))
        except OSError as error:
            os.close(self.descriptor)
            who = f"{self.path.parent}: {_holder(self.path)} is working here"
            raise LockedError(f"{who}. Wait, or choose another folder") from error
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"process {os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def holder(folder: Path) -> str | None:
    """Who holds the folder's lock, say "process 4711"; None where nobody does."""
    import fcntl

    try:
        with open(folder / ".lock", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except BlockingIOError:
        return _holder(folder / ".lock")
    except OSError:
        return None


def _holder(path: Path) -> str:
    return path.read_text(errors="replace")[:200].strip() or "another process"
