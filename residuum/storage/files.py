"""Files of bytes, text and JSON: replaced as a whole, or one more line of them.

A reader finds the old content or the new, never something between: temporary file in the same
folder -> write -> flush -> fsync -> rename -> fsync of the folder.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ResourceError, UsageError

MOST_HEADER_BYTES = 100_000_000  # of a safetensors file, as its reference reader allows
_UMASK = os.umask(0o077)  # read by setting it; finished files follow it, temporary ones are private
os.umask(_UMASK)


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode  # one text for one JSON value


def json_digest(value: Any) -> str:
    """sha256 of the value's canonical JSON. ValueError: no JSON value."""
    return sha256(canonical(value).encode())


def seal(value: Mapping[str, Any], schema: int) -> dict[str, Any]:
    """The value with its schema in front and, behind, `sha256`: the `json_digest` of the rest."""
    numbered = {"schema": schema, **value}
    return numbered | {"sha256": json_digest(parse_json(json.dumps(numbered)))}


def make_folder(path: Path) -> Path:
    """Made with its parents. UsageError where a file stands in the way or it is not allowed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        file = "a file stands where the output folder should be"
        wrong = file if in_the_way else f"cannot be made ({error.strerror})"
        raise UsageError(f"{path}: {wrong}. Choose another --output") from error
    return path


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder that is there whole or not at all: gives an empty one beside it, which takes the
    target's name at the end, and goes where anything fails.

    UsageError: something that is not an empty folder stands there, or none can be made.
    """
    require_new_folder(target)
    parent = make_folder(target.parent)
    between = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=parent))
    try:
        yield between
        os.chmod(between, 0o777 & ~_UMASK)
        for each in (*between.iterdir(), between):
            _sync(each)
        os.rename(between, target)
        _sync(parent)
    except BaseException as error:
        shutil.rmtree(between, ignore_errors=True)
        _tell_no_room(target, 0, error)
        raise


def require_new_folder(target: Path) -> None:
    """UsageError: something stands there that is not an empty folder (a link to one is none), or
    none can be made there."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target}: a file or a link stands there. Choose another folder")
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"{target}: is not empty. Choose another folder")
    above = next(parent for parent in target.absolute().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UsageError(f"{target}: no folder can be made in {above}. Choose another folder")


def write_bytes(folder: Path, name: str, data: bytes) -> None:
    """Replace the file of that name in the folder.

    UsageError: a name that leads out of it. ResourceError: the disk is full; what stood there
    before still stands.
    """
    if Path(name).name != name or name in ("", "..") or "\0" in name:
        raise UsageError(f"{folder}: {name!r} is no name of a file in this folder")
    path = folder / name
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
        _sync(path.parent)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        _tell_no_room(path, len(data), error)
        raise


def _tell_no_room(path: Path, size: int, error: BaseException) -> None:
    """ResourceError where the error is that the disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what = f" {size / 1e6:.1f} MB" if size else ""
        said = f"no room to write{what}. Nothing was lost; make room and resume"
        raise ResourceError(f"{path}: {said}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(folder: Path, name: str, text: str) -> None:
    write_bytes(folder, name, text.encode())


def write_json(folder: Path, name: str, value: Mapping[str, Any], schema: int) -> None:
    """The sealed value, for `reader.read`."""
    text = json.dumps(seal(value, schema), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder, name, text + "\n")


def read_bytes(
    path: Path, wrong: type[Exception] = CheckpointError, most: int = MOST_HEADER_BYTES
) -> bytes:
    """What the file holds, read from the descriptor that was looked at.

    Raises `wrong`: missing, unreadable, not a regular file, more than `most` bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise wrong(f"{path}: not a regular file")
            if found.st_size > most:
                raise wrong(f"{path}: {found.st_size} bytes are too many, at most {most}")
            return file.read(found.st_size)
    except FileNotFoundError as error:
        raise wrong(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise wrong(f"{path}: not a regular file") from error
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
    _sync(path.parent)


def read_lines(path: Path) -> tuple[list[bytes], bool]:
    """The lines that `append_line` wrote, and whether the last was cut short and left out."""
    import fcntl

    if not path.exists():
        return [], False
    if not path.is_file():
        raise CheckpointError(f"{path}: not a regular file. Move it out of the way")
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # a line that is being written is not a torn one
        *lines, rest = file.read().split(b"\n")
        return lines, bool(rest)


def read_json(path: Path, wrong: type[Exception] = CheckpointError) -> Any:
    """The value; `wrong` where the file cannot be read, is not JSON, or says one thing twice."""
    data = read_bytes(path, wrong)
    try:
        return parse_json(data)
    except (ValueError, RecursionError) as error:
        raise wrong(f"{path}: not valid JSON ({str(error)[:80]})") from error


def parse_json(data: bytes | str) -> Any:
    """Strict JSON: NaN, Infinity and a key given twice are ValueErrors."""
    return json.loads(data, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} is given twice")
        found[key] = value
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not a number of JSON")


def remove(path: Path) -> None:
    """Delete one file, if it is there."""
    path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder of ours with all that is in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep_temporaries(folder: Path) -> None:
    """Delete what a killed writer left behind. Only under the folder's lock."""
    for left in folder.glob(".*.tmp"):
        remove(left)
