"""CIFAR-10, CIFAR-100 and SVHN in the archives their authors publish.

Addresses and checksums are torchvision's.
"""

import io
import pickle
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from ..errors import DataError
from ..storage import read_bytes
from .images import Dataset, Images
from .members import require_regular

NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "svhn": "SVHN"}
_BATCHES = [f"data_batch_{i}" for i in range(1, 6)]
MOST_BYTES = 400_000_000  # of a file of CIFAR
SVHN_BYTES = 2_000_000_000  # its extra part has 1.3 GB
CIFAR_FILES = {  # train, test, classes; the keys of labels and of the classes' names
    "cifar10": (_BATCHES, ["test_batch"], "batches.meta", "labels", "label_names"),
    "cifar100": (["train"], ["test"], "meta", "fine_labels", "fine_label_names"),
}
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class ArrayUnpickler(pickle.Unpickler):
    """Builds containers, strings, numbers and numpy arrays; any other global is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            wanted = f"the pickle asks for {module}.{name}"
            raise DataError(f"{wanted}; only plain arrays are read. Nothing was executed")
        return _empty_array if name == "_reconstruct" else super().find_class(module, name)


def _empty_array(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    if kind is not np.ndarray or len(shape) > 4 or int(np.prod(shape)) > 10**8:
        raise DataError("the pickle builds something other than an array")
    return np.ndarray.__new__(np.ndarray, shape, np.dtype("u1"))


def unpickle_arrays(content: bytes, where: str) -> dict[str, Any]:
    """The dictionary of one CIFAR batch.

    DataError names the file and, for a foreign pickle, the refused global.
    """
    try:
        value = ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except Exception as error:  # hostile bytes may raise anything
        raise DataError(f"{where}: not a CIFAR batch, or a damaged one ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: not a CIFAR batch (a {type(value).__name__})")
    return value


def read_cifar(kind: str, folder: Path, download: bool) -> Dataset:
    """From `folder`, which holds the .tar.gz archive or its batches; or from the archive itself."""
    train, test, meta, label_key, names_key = CIFAR_FILES[kind]
    wanted = {*train, *test, meta}
    files = _cifar_files(kind, folder, wanted, download)
    missing = sorted(wanted - set(files))
    if missing:
        raise DataError(f"{folder}: {NAMES[kind]} lacks the file {missing[0]}")
    batches = {name: unpickle_arrays(files[name], f"{folder}: {name}") for name in files}
    classes = batches[meta].get(names_key)
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{folder}: {meta}: {names_key!r} is not a list of names")
    seen, held_out = (
        _cifar_images([(f"{folder}: {n}", batches[n]) for n in names], label_key, len(classes))
        for names in (train, test)
    )
    return Dataset(NAMES[kind], seen, held_out, tuple(classes))


def _cifar_images(batches: list[tuple[str, dict]], label_key: str, classes: int) -> Images:
    pixels, labels = [], []
    for where, batch in batches:
        data, targets = batch.get("data"), batch.get(label_key)
        if not (isinstance(data, np.ndarray) and data.dtype == "u1" and data.shape[1:] == (3072,)):
            raise DataError(f"{where}: 'data' is not an array of N x 3072 bytes")
        if not isinstance(targets, list) or len(targets) != len(data):
            raise DataError(f"{where}: {label_key!r} does not give one label an image")
        for label in targets:
            if type(label) is not int or not 0 <= label < classes:
                wrong = f"label {str(label)[:40]} is not one of the numbers 0 to {classes - 1}"
                raise DataError(f"{where}: {wrong}")
        pixels.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.extend(targets)
    joined = np.ascontiguousarray(np.concatenate(pixels))
    return Images(torch.from_numpy(joined), torch.tensor(labels).long())


def _cifar_files(kind: str, folder: Path, wanted: set[str], download: bool) -> dict[str, bytes]:
    if download:
        source = getattr(_torchvision(), kind.upper())
        _fetch(source.url, folder, source.filename, source.tgz_md5)
    archives = [folder] if folder.is_file() else sorted(folder.glob("*.tar.gz"))
    for archive in archives:
        require_regular(archive.stat(), str(archive))
        return _from_archive(archive, wanted)
    near = (*folder.glob("*"), *folder.glob("*/*"))
    files = (file for file in near if file.name in wanted and not file.is_dir())
    found = {file.name: read_bytes(file, DataError, MOST_BYTES) for file in files}
    if not found:
        missing = f"no {NAMES[kind]} archive or batches"
        raise DataError(f"{folder}: {missing}. Put it there, or add --download")
    return found


def _require_small(size: int, where: str, most: int = MOST_BYTES) -> None:
    if size > most:
        raise DataError(f"{where}: {size} bytes are more than any published file has")


def _from_archive(archive: Path, wanted: set[str]) -> dict[str, bytes]:
    try:
        with tarfile.open(archive, "r|*") as tar:
            files: dict[str, bytes] = {}
            for member in tar:
                name = PurePosixPath(member.name).name
                _require_small(member.size, f"{archive}: {member.name}")
                if member.isreg() and name in wanted:
                    files[name] = tar.extractfile(member).read()  # type: ignore[union-attr]
            return files
    except DataError:
        raise
    except Exception as error:  # every decompressor raises its own
        raise DataError(f"{archive}: not a readable archive, or cut short ({error})") from error


def read_svhn(kind: str, folder: Path, download: bool) -> Dataset:
    """Train plus extra (where it is there) and test, from the .mat files of format 2.

    Label 10 means the digit 0.
    """
    files = {part: folder / f"{part}_32x32.mat" for part in ("train", "extra", "test")}
    if download:
        for url, name, md5 in _torchvision().SVHN.split_list.values():
            _fetch(url, folder, name, md5)
    for part in ("train", "test"):
        if not files[part].exists():
            raise DataError(f"{files[part]}: no such file. Put it there, or add --download")
    train = [_svhn_images(files[part]) for part in ("train", "extra") if files[part].exists()]
    joined = Images(torch.cat([t.pixels for t in train]), torch.cat([t.labels for t in train]))
    return Dataset(NAMES[kind], joined, _svhn_images(files["test"]), tuple("0123456789"))


def _svhn_images(file: Path) -> Images:
    from scipy.io import loadmat

    require_regular(file.stat(), str(file))
    _require_small(file.stat().st_size, str(file), SVHN_BYTES)
    try:
        content = loadmat(file)
        pixels, given = content["X"], content["y"].ravel()
        labels = given.astype(np.int64)
    except Exception as error:  # the parser may raise anything on damaged bytes
        raise DataError(f"{file}: not an SVHN file, or a damaged one ({error})") from error
    shaped = pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[2] == 3
    if not shaped or pixels.shape[3] != len(labels):
        raise DataError(f"{file}: 'X' is not H x W x 3 x N bytes with one label an image")
    if (given != labels).any() or (labels < 1).any() or (labels > 10).any():
        raise DataError(f"{file}: a label of 'y' is not one of 1 to 10")
    pixels = np.ascontiguousarray(pixels.transpose(3, 0, 1, 2))
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels % 10))


def _torchvision() -> Any:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        needed = f"torchvision is needed for --download and does not load ({error})"
        install = 'pip install "residuum[zoo]", with torch and torchvision from the same index'
        raise DataError(f"{needed}. {install}") from error
    return datasets


def _fetch(url: str, folder: Path, name: str, md5: str) -> None:
    from torchvision.datasets.utils import download_url

    if (folder / name).exists():
        return
    try:
        download_url(url, str(folder), name, md5)
    except Exception as error:  # network errors of every kind
        advice = f"Put the file into {folder} by hand"
        raise DataError(f"{url}: could not be fetched ({error}). {advice}") from error
