"""Tensor files (safetensors), checked on the very bytes that are used against a digest."""

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from msgspec import Meta

from ..errors import CheckpointError
from .files import MOST_HEADER_BYTES, parse_json, read_bytes, sha256, write_bytes

if TYPE_CHECKING:
    from torch import Tensor

DIGEST_IN_NAME = 16


FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z")]  # beside the manifest
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


@dataclass(frozen=True)
class Entry:
    """A manifest's word on a tensor file."""

    file: FileName
    sha256: Digest  # only a file's own name may give the start alone
    tensors: Mapping[str, Digest] = field(default_factory=dict)  # of each


class TensorFile(NamedTuple):
    """The content of a safetensors file."""

    tensors: dict[str, "Tensor"]
    metadata: Any  # the JSON value that was written beside the tensors


def write_tensors(
    folder: Path, name: str, tensors: Mapping[str, "Tensor"], metadata: Any = None
) -> Entry:
    """Write the file; what comes back goes into a manifest.

    "{digest}" in the name stands for the start of the sha256, so that no file is written over.
    """
    from safetensors.torch import save

    plain, places = {}, set[int]()
    for key, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        plain[key] = tensor.clone() if place in places else tensor  # each name has its own bytes
        places.add(place)
    data = save(plain, {"json": json.dumps(metadata, allow_nan=False)})
    digest = sha256(data)
    name = name.replace("{digest}", digest[:DIGEST_IN_NAME])
    write_bytes(folder, name, data)
    digests = {key: sha256(part) for key, part in _parse(data, name)[0].items()}
    return Entry(name, digest, digests)


def read_tensors(path: Path, entry: Entry | None = None) -> TensorFile:
    """The content, checked against the manifest's `entry` (its sha256 may be a prefix).

    CheckpointError: missing, not a regular file, not safetensors, or another digest (tensor named).
    """
    from safetensors.torch import load

    data = read_bytes(path, most=memory_bytes())
    if entry is not None and not (entry.sha256 and sha256(data).startswith(entry.sha256)):
        raise CheckpointError(f"{path}: {_damage(path, data, entry.tensors)}")
    _, beside = _parse(data, path)
    try:
        return TensorFile(load(data), parse_json(beside.get("json", "null")))
    except Exception as error:  # the library's own error type is not public
        raise CheckpointError(f"{path}: not a valid safetensors file ({error})") from error


def tensor_digest(tensor: "Tensor") -> str:
    """Type, shape and the sha256 of the bytes."""
    import torch

    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return f"{tensor.dtype} {tuple(tensor.shape)} {sha256(data)}"


def memory_bytes() -> int:
    """Of this machine: what is larger is not read or made."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _damage(path: Path, data: bytes, digests: Mapping[str, str]) -> str:
    try:
        parts, _ = _parse(data, path)
    except CheckpointError:
        return "digest mismatch; the file is damaged or cut short"
    wrong = [n for n, digest in digests.items() if n not in parts or sha256(parts[n]) != digest]
    if not wrong:
        return "digest mismatch in the header"
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"digest mismatch in tensor {wrong[0]}{more}"


def _parse(data: bytes, where: str | Path) -> tuple[dict[str, memoryview], dict[str, str]]:
    """Each tensor's bytes, and the metadata; checked before anything is allocated."""
    view = memoryview(data)
    try:
        (length,) = struct.unpack("<Q", view[:8])
        if length > min(MOST_HEADER_BYTES, len(data) - 8):
            raise ValueError(f"a header of {length} bytes does not fit")
        header = parse_json(bytes(view[8 : 8 + length]))
        metadata = {**header.pop("__metadata__", {})}
        body, parts = view[8 + length :], {}
        for name, spec in header.items():
            start, end = spec["data_offsets"]
            if not 0 <= start <= end <= len(body):
                raise ValueError(f"tensor {name} lies outside the file")
            parts[name] = body[start:end]
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        what = "not a safetensors file, or a damaged one"
        raise CheckpointError(f"{where}: {what} ({error})") from error
    return parts, metadata
