"""A folder of tensor files that may be lost at any time: bounded, the longest unused go first."""

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError
from .files import remove
from .locks import Lock
from .tensors import TensorFile, read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

_OURS = re.compile(r"[0-9a-f]{64}\.safetensors")
_LEFT_BEHIND = re.compile(rf"\.{_OURS.pattern}\..+\.tmp")


@dataclass(frozen=True)
class CachedFile:
    """One file of a cache."""

    name: str
    bytes: int
    used: float  # seconds since 1970


@dataclass(frozen=True)
class Cache:
    """Files under keys (sha256, 64 hexadecimal digits), together at most `most_bytes`.

    Readers need no lock: files are replaced and removed as a whole. What else lies in the folder
    is not touched.
    """

    folder: Path
    most_bytes: int

    def files(self) -> list[CachedFile]:
        """The last used first."""
        found = [
            CachedFile(file.name, status.st_size, status.st_mtime)
            for file, status in self._named(_OURS)
        ]
        return sorted(found, key=lambda file: (-file.used, file.name))

    def read(self, key: str) -> TensorFile | None:
        """None where there is none. CheckpointError: damaged; the caller verifies the content."""
        file = self._file(key)
        try:
            size = file.lstat().st_size
        except FileNotFoundError:
            return None
        if size > self.most_bytes:
            raise CheckpointError(f"{file}: larger than {self.most_bytes} bytes")
        found = read_tensors(file)
        with suppress(OSError):  # not ours to write; it is read all the same
            os.utime(file)
        return found

    def write(self, key: str, tensors: Mapping[str, "Tensor"], metadata: Any) -> bool:
        """Whether it was kept: not where it alone is larger than all may be.

        LockedError: another process is writing here. OSError, ResourceError: not possible here.
        """
        size = sum(tensor.nbytes for tensor in tensors.values()) + 1_000_000
        self.folder.mkdir(parents=True, exist_ok=True)
        with Lock(self.folder):
            for left, _ in self._named(_LEFT_BEHIND):
                remove(left)
            total = size if size <= self.most_bytes else 0
            for file in self.files():
                replaced = file.name == self._file(key).name
                total += 0 if replaced else file.bytes
                if replaced or total > self.most_bytes:
                    remove(self.folder / file.name)
            if size > self.most_bytes:
                return False
            write_tensors(self.folder, self._file(key).name, tensors, metadata)
            return True

    def clear(self) -> list[CachedFile]:
        """What was removed. LockedError: another process is writing here."""
        if not self.folder.is_dir():
            return []
        with Lock(self.folder):
            removed = self.files()
            for file, _ in (*self._named(_OURS), *self._named(_LEFT_BEHIND)):
                remove(file)
            return removed

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _named(self, pattern: re.Pattern[str]) -> list[tuple[Path, os.stat_result]]:
        """Regular files alone; another process may remove some meanwhile."""
        found = []
        for file in self.folder.iterdir() if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):
                status = file.lstat()
                if pattern.fullmatch(file.name) and stat.S_ISREG(status.st_mode):
                    found.append((file, status))
        return found
