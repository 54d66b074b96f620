"""Class folders are decoded once: their pixels are kept in the user's cache folder.

Under a key of the source's content, the decoding and the image size; verified against a digest of
every tensor and name whenever they are loaded. A cache never stands in the way: where it cannot be
written or believed it warns, and images are decoded.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import progress
from ..errors import CheckpointError, DataError, LockedError, ResiduumError, UsageError
from ..reader import build
from ..storage import Cache

if TYPE_CHECKING:
    from .folders import Decoded

VARIABLE = "RESIDUUM_CACHE_GB"
_TENSORS = ("train.pixels", "train.labels", "test.pixels", "test.labels")


@dataclass(frozen=True)
class _Beside:
    """What a cached file holds beside its tensors."""

    classes: tuple[str, ...]
    notes: tuple[str, ...]
    sha256: str


def image_cache() -> Cache:
    """The user's cache of decoded images; RESIDUUM_CACHE_GB (4 by default) bounds it."""
    from platformdirs import user_cache_path

    word = os.environ.get(VARIABLE, "4")
    try:
        most = float(word) * 1e9
        if not 0 <= most < 1e18:
            raise ValueError
    except ValueError as error:
        raise UsageError(f"{VARIABLE} must be a number of gigabytes, not {word!r}") from error
    return Cache(user_cache_path("residuum") / "images", int(most))


def cached_class_folders(path: Path, image_size: int | None = None) -> "Decoded":
    """What `decode_class_folders` gives, read from the cache where it is there."""
    from .decode import decoding
    from .folders import decode_class_folders
    from .members import content_digest

    cache, content = image_cache(), content_digest(path)
    key = hashlib.sha256(repr((decoding(), image_size, content)).encode()).hexdigest()
    try:
        if found := _read(cache, key):
            return found
    except (ResiduumError, OSError, MemoryError) as error:
        progress.say(f"warning: cached images are not used, but decoded anew: {error}")
    decoded = decode_class_folders(path, image_size)
    if content_digest(path) != content:
        raise DataError(f"{path}: changed while it was read. Run the command again")
    _write(cache, key, decoded)
    return decoded


def _read(cache: Cache, key: str) -> "Decoded | None":
    from .folders import Decoded
    from .images import Images

    found = cache.read(key)
    if found is None:
        return None
    where = f"{cache.folder}: {key}"
    beside = build(found.metadata, _Beside, where, CheckpointError)
    try:
        pixels, labels, *test = (found.tensors[name] for name in _TENSORS)
        train, test = Images(pixels, labels), Images(*test)
    except (KeyError, DataError) as error:
        raise CheckpointError(f"{where}: not a set of images ({error})") from error
    decoded = Decoded(train, test, beside.classes, beside.notes)
    if _digest(key, decoded) != beside.sha256:
        raise CheckpointError(f"{where}: damaged, digest mismatch")
    return decoded


def _write(cache: Cache, key: str, decoded: "Decoded") -> None:
    parts = (decoded.train, decoded.test)
    tensors = (tensor for part in parts for tensor in (part.pixels, part.labels))
    beside = (decoded.classes, decoded.notes, _digest(key, decoded))
    metadata = dict(zip(("classes", "notes", "sha256"), beside, strict=True))
    try:
        cache.write(key, dict(zip(_TENSORS, tensors, strict=True)), metadata)
    except LockedError:
        pass  # another process is keeping images; the next command keeps these
    except (ResiduumError, OSError, MemoryError) as error:
        progress.say(f"warning: decoded images are not kept in {cache.folder}: {error}")


def _digest(key: str, decoded: "Decoded") -> str:
    """Of all that is believed. The parts' own digests are those that a run records."""
    parts = (decoded.train.digest, decoded.test.digest)
    return hashlib.sha256(repr((key, *parts, *decoded[2:])).encode()).hexdigest()
