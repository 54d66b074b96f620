"""One writer to a folder."""

import os
import stat
import time
from pathlib import Path

from ..errors import LockedError, UsageError

LOOK_SECONDS = 0.05


class Lock:
    """Held by the kernel (flock), so it is gone with the process, however that ends.

    LockedError: another process works there; with `wait` it is waited for. UsageError: `.lock` is
    not a file of its own, or the folder allows none.
    """

    def __init__(self, folder: Path, wait: bool = False):
        self.path, self.wait, self.descriptor = folder / ".lock", wait, -1

    def __enter__(self) -> "Lock":
        import fcntl

        try:
            self.descriptor = _open(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            wrong = f"cannot be used as a lock ({error.strerror})"
            advice = "Move it out of the way, or choose another folder"
            raise UsageError(f"{self.path}: {wrong}. {advice}") from error
        how = fcntl.LOCK_EX | (0 if self.wait else fcntl.LOCK_NB)
        try:
            try:
                fcntl.flock(self.descriptor, how)
            except BlockingIOError:  # perhaps a `holder` that looks, which takes an instant
                time.sleep(LOOK_SECONDS)
                fcntl.flock(self.descriptor, how)
        except BlockingIOError as error:
            who = f"{self.path.parent}: {_holder(self.descriptor)} is working here"
            os.close(self.descriptor)
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
        descriptor = _open(folder / ".lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    """A regular file that is no link: another's file is never emptied, and a pipe not waited for.

    OSError: anything else.
    """
    careful = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags | careful, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a regular file")
    return descriptor


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
