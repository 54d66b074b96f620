"""The only module that writes files. A reader finds the old content or the new, never something between.

Protocol: temporary file in the same folder -> write -> flush -> fsync -> rename -> fsync of the folder. What belongs
together is named by a manifest that is written last. Everything is tensors (safetensors) or JSON; no pickle is written,
and what is read is checked against a digest taken when it was written.
"""

import errno
import hashlib
import json
import os
import stat
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import CheckpointError, DataError, LockedError, ResourceError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

MOST_HEADER_BYTES = 100_000_000  # of a safetensors file, as its reference reader allows
DIGEST_IN_NAME = 16
_UMASK = os.umask(0o077)  # it can only be read by setting it; temporary files start private, finished ones follow it
os.umask(_UMASK)


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def make_folder(path: Path) -> Path:
    """The folder, made with its parents. UsageError where a file stands in the way or writing is not allowed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{path}: a file stands where the output folder should be. Choose another --output") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be made ({error.strerror}). Choose another --output") from error
    return path


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file as a whole. ResourceError: the disk is full; what stood there before still stands."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        _tell_no_room(path, len(data), error)
        raise


def _tell_no_room(path: Path, size: int, error: BaseException) -> None:
    """ResourceError where the error is that the disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        said = f"no room to write {size / 1e6:.1f} MB. Nothing was lost; make room and resume"
        raise ResourceError(f"{path}: {said}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_bytes(path: Path, wrong: type[Exception] = CheckpointError) -> bytes:
    """What the file holds; `wrong` (an exception) where it is missing or too large to describe anything."""
    try:
        if path.stat().st_size > MOST_HEADER_BYTES:
            raise wrong(f"{path}: {path.stat().st_size} bytes is too large for a description")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise wrong(f"{path}: no such file") from error
    except OSError as error:
        raise wrong(f"{path}: cannot be read ({error.strerror})") from error


def append_line(path: Path, line: str) -> None:
    """One more line, synced, in a file that many append to; an unfinished last one goes first.

    ResourceError: the disk is full; the lines before still stand.
    """
    import fcntl

    data = line.encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666 & ~_UMASK)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        whole = file.read().rfind(b"\n") + 1
        try:
            file.truncate(whole)
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(descriptor)
        except BaseException as error:
            file.truncate(whole)
            _tell_no_room(path, len(data), error)
            raise
    _sync_folder(path.parent)


def read_lines(path: Path) -> tuple[list[bytes], bool]:
    """The lines that `append_line` wrote, and whether the last was cut short and left out."""
    import fcntl

    if not path.exists():
        return [], False
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # a line that is being written is not a torn one
        *lines, rest = file.read().split(b"\n")
        return lines, bool(rest)


def read_json(path: Path, wrong: type[Exception] = CheckpointError) -> Any:
    """The value; `wrong` where the file cannot be read, is not JSON, or says one thing twice."""
    try:
        return parse_json(read_bytes(path, wrong))
    except (ValueError, RecursionError) as error:
        if isinstance(error, wrong):
            raise
        raise wrong(f"{path}: not valid JSON ({str(error)[:80]})") from error


def parse_json(data: bytes | str) -> Any:
    """Strict JSON: NaN, Infinity and a key given twice are ValueErrors."""
    return json.loads(data, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"{twice!r} is given twice")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not a number of JSON")


@dataclass(frozen=True)
class Entry:
    """A manifest's word on a tensor file: name, sha256 of the file (or its start), and of each tensor."""

    file: str
    sha256: str
    tensors: Mapping[str, str] = field(default_factory=dict)


class TensorFile(NamedTuple):
    """The content of a safetensors file. `metadata` is the JSON value that was written beside the tensors."""

    tensors: dict[str, "Tensor"]
    metadata: Any


def write_tensors(folder: Path, name: str, tensors: Mapping[str, "Tensor"], metadata: Any = None) -> Entry:
    """Write the file; what comes back goes into a manifest.

    "{digest}" in the name stands for the start of the sha256, so that no file need ever be written over.
    """
    from safetensors.torch import save

    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    data = save(plain, {"json": json.dumps(metadata, allow_nan=False)})
    digest = sha256(data)
    name = name.replace("{digest}", digest[:DIGEST_IN_NAME])
    write_bytes(folder / name, data)
    digests = {key: sha256(part) for key, part in _parse(data, name)[0].items()}
    return Entry(name, digest, digests)


def read_tensors(path: Path, entry: Entry | None = None) -> TensorFile:
    """The content, checked on the very bytes that are used against the manifest's `entry` (its sha256 may be a prefix).

    CheckpointError: missing, not a regular file, not safetensors, or a digest that differs, with the tensor's name.
    """
    from safetensors.torch import load

    data = _read_regular(path)
    if entry is not None and not (entry.sha256 and sha256(data).startswith(entry.sha256)):
        raise CheckpointError(f"{path}: {_damage(path, data, entry.tensors)}")
    _, header = _parse(data, str(path))
    try:
        metadata = parse_json(header.get("__metadata__", {}).get("json", "null"))
        return TensorFile(load(data), metadata)
    except Exception as error:  # the library's own error type is not public
        raise CheckpointError(f"{path}: not a valid safetensors file ({error})") from error


def _read_regular(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CheckpointError(f"{path}: not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _damage(path: Path, data: bytes, digests: Mapping[str, str]) -> str:
    try:
        parts = _parse(data, str(path))[0]
    except CheckpointError:
        return "digest mismatch; the file is damaged or cut short"
    wrong = [name for name, digest in digests.items() if name not in parts or sha256(parts[name]) != digest]
    if wrong:
        return f"digest mismatch in tensor {wrong[0]}" + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
    return "digest mismatch in the header"


def _parse(data: bytes, where: str) -> tuple[dict[str, memoryview], dict[str, Any]]:
    """Each tensor's bytes, and the header. It is checked before anything is allocated: size, JSON, offsets in range."""
    view = memoryview(data)
    try:
        (length,) = struct.unpack("<Q", view[:8])
        if length > min(MOST_HEADER_BYTES, len(data) - 8):
            raise ValueError(f"a header of {length} bytes does not fit")
        header = json.loads(bytes(view[8 : 8 + length]))
        body, parts = view[8 + length :], {}
        for name, spec in header.items():
            if name != "__metadata__":
                start, end = spec["data_offsets"]
                if not 0 <= start <= end <= len(body):
                    raise ValueError(f"tensor {name} lies outside the file")
                parts[name] = body[start:end]
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{where}: not a safetensors file, or a damaged one ({error})") from error
    return parts, header


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes. DataError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


class Lock:
    """One writer to a folder. Held by the kernel (flock), so it is gone with the process, however that ends.

    `wait`: for another process to finish there, instead of a LockedError.
    """

    def __init__(self, folder: Path, wait: bool = False):
        self.path, self.wait, self.descriptor = folder / ".lock", wait, -1

    def __enter__(self) -> "Lock":
        import fcntl

        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | (0 if self.wait else fcntl.LOCK_NB))
        except OSError as error:
            holder = os.pread(self.descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self.descriptor)
            raise LockedError(f"{self.path.parent}: {holder} is working here. Wait, or choose another folder") from error
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"process {os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def remove(path: Path) -> None:
    """Delete one file, if it is there."""
    path.unlink(missing_ok=True)


def sweep_temporaries(folder: Path) -> None:
    """Delete what a killed writer left behind. Only under the folder's lock."""
    for left in folder.glob(".*.tmp"):
        remove(left)
