"""The folder of a case: a copy of the pristine files, of which only what a case changed is laid
anew."""

import os
import shutil
from pathlib import Path

Seen = dict[str, tuple[int, ...]]


class Ground:
    """The copy, and what harm comes to it."""

    def __init__(self, pristine: Path, folder: Path):
        self.pristine, self.folder = pristine, folder
        self.laid: Seen = {}

    def lay(self) -> None:
        """Every file is as in the pristine folder, and there is no other."""
        self.folder.mkdir(exist_ok=True)
        now = seen(self.folder)
        for name in sorted(now, reverse=True):
            if now[name] != self.laid.get(name):
                _remove(self.folder / name)
        there = seen(self.folder)
        for source in sorted(self.pristine.rglob("*")):
            name = str(source.relative_to(self.pristine))
            if name in there:
                continue
            if source.is_dir():
                (self.folder / name).mkdir()
            else:
                shutil.copy2(source, self.folder / name)
        self.laid = seen(self.folder)

    def harmed(self, before: Seen) -> list[str]:
        """What was there and is gone or another. Locks are written by whoever holds them."""
        now = seen(self.folder)
        return sorted(n for n in before if before[n] != now.get(n) and not n.endswith(".lock"))


def seen(folder: Path) -> Seen:
    """Of every file what changes with it, also where its time of writing is set back; of folders
    only that they are there."""
    found: Seen = {}
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        with os.scandir(folder / inner) as entries:
            for entry in entries:
                name = f"{inner}/{entry.name}" if inner else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                    found[name] = ()
                    continue
                about = entry.stat(follow_symlinks=False)
                times = about.st_mtime_ns, about.st_ctime_ns
                found[name] = about.st_ino, about.st_size, about.st_mode, *times
    return found


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
