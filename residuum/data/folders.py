"""Class folders, [train|test/]CLASS/IMAGE, in a folder, a tar (any compression) or a zip.

Archives are read in place: nothing is unpacked to disk. Members that are links, devices or point
outside are refused.
"""

import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from .. import progress
from ..errors import DataError
from .decode import decode
from .images import Dataset, Images, split

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
MOST_FILE_BYTES = 200_000_000
MOST_TOTAL_BYTES = 16_000_000_000
PARTS = {"train": "train", "test": "test", "val": "test", "valid": "test", "validation": "test"}
Contents = Iterator[tuple[PurePosixPath, bytes]]
Part = dict[str, list[tuple[bytes, np.ndarray]]]  # by class: images with their paths
Files = dict[str, Part]


def read_class_folders(path: Path, name: str, image_size: int | None = None) -> Dataset:
    """All images as one uint8 tensor a part.

    Without train and test folders a fixed fifth of each class is the test.

    Palette, grey, CMYK and 16-bit images become 8-bit RGB, transparency is dropped, EXIF rotation
    is applied. DataError: a broken image (named), images of several sizes, classes that differ
    between the parts.
    """
    files: Files = defaultdict(lambda: defaultdict(list))
    total = 0
    with progress.bar(f"reading {path.name}", total=0) as advance:
        for member, content in _images(path):
            part, label = _place(member)
            image = decode(content, f"{path}: {member}", image_size)
            total += image.nbytes
            if total > MOST_TOTAL_BYTES:
                most = f"{MOST_TOTAL_BYTES / 1e9:.0f} GB"
                raise DataError(f"{path}: more than {most} of pixels. Give a smaller set")
            files[part][label].append((str(member).encode(errors="surrogateescape"), image))
            advance()
    if not files:
        raise DataError(f"{path}: no images ({', '.join(sorted(SUFFIXES))}) in class folders")
    return _assemble(path, name, files)


def _assemble(path: Path, name: str, files: Files) -> Dataset:
    given = [part for part in ("train", "test") if part in files]
    if len(given) == 1:
        both = "Give both train/ and test/, or neither"
        raise DataError(f"{path}: a {given[0]} folder without its counterpart. {both}")
    parts = {part: files[part] for part in given or [""]}
    classes = sorted(set().union(*parts.values()))
    for part, labels in parts.items():
        missing = [c for c in classes if c not in labels]
        if missing:
            raise DataError(f"{path}: classes {', '.join(missing[:10])} have no images in {part}/")
    if len(classes) < 2:
        raise DataError(f"{path}: only one class folder, {classes[0]!r}; at least 2 are needed")
    images = {part: _stack(path, labels, classes) for part, labels in parts.items()}
    if given:
        train, test = images["train"], images["test"]
    else:
        train, test = split(images[""], seed=0, test_share=0.2)
        fifth = f"a fixed fifth of each class, {len(test)}, is the test part"
        progress.say(f"{path}: no train and test folders; {fifth}")
    return Dataset(name, train, test, tuple(classes))


def _stack(path: Path, labels: Part, classes: list[str]) -> Images:
    images = [image for label in classes for _, image in sorted(labels[label], key=itemgetter(0))]
    targets = [index for index, label in enumerate(classes) for _ in labels[label]]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        sizes = ", ".join(f"{w}x{h}" for h, w, _ in sorted(shapes)[:3])
        found = f"images of {len(shapes)} sizes ({sizes}, ...)"
        raise DataError(f"{path}: {found}. Pass --image-size to crop them alike")
    return Images(torch.from_numpy(np.stack(images)), torch.tensor(targets))


def _place(member: PurePosixPath) -> tuple[str, str]:
    """The part, "" for none, and the class: the folder above the image's, and the image's."""
    above, folder = ("", *member.parts)[-3:-1]
    return PARTS.get(above.lower(), ""), folder


def _wanted(member: PurePosixPath) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in member.parts)
    return member.suffix.lower() in SUFFIXES and len(member.parts) > 1 and not hidden


def _images(path: Path) -> Contents:
    if path.is_dir():
        return _from_folder(path)
    return _from_zip(path) if zipfile.is_zipfile(path) else _from_tar(path)


def _from_folder(root: Path) -> Contents:
    base = root.resolve()
    for file in root.rglob("*"):
        member = PurePosixPath(file.relative_to(root).as_posix())
        if not _wanted(member):
            continue
        if not file.resolve().is_relative_to(base):
            advice = "Copy the image, or point at its own folder"
            raise DataError(f"{file}: a link that leaves {root}. {advice}")
        try:
            _check_size(file.stat().st_size, str(file))
            yield member, file.read_bytes()
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def _from_tar(path: Path) -> Contents:
    try:
        with tarfile.open(path, "r|*") as archive:
            for info in archive:
                member = _safe(info.name, path)
                if info.isdir():
                    continue
                if not info.isreg():
                    wrong = f"member {info.name!r} is a link or device"
                    raise DataError(f"{path}: {wrong}; only plain files are read")
                if _wanted(member):
                    _check_size(info.size, f"{path}: {info.name}")
                    content = archive.extractfile(info)
                    yield member, content.read() if content else b""
    except DataError:
        raise
    except Exception as error:  # every decompressor raises its own
        what = "not a readable tar or zip archive, damaged, or cut short"
        raise DataError(f"{path}: {what} ({error})") from error


def _from_zip(path: Path) -> Contents:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                member = _safe(info.filename, path)
                if info.is_dir() or not _wanted(member):
                    continue
                _check_size(info.file_size, f"{path}: {info.filename}")
                yield member, archive.read(info)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"{path}: a damaged zip archive ({error})") from error


def _safe(name: str, archive: Path) -> PurePosixPath:
    member = PurePosixPath(name.replace("\\", "/"))
    if member.is_absolute() or ".." in member.parts:
        raise DataError(f"{archive}: member {name!r} points outside the archive; refused")
    return member


def _check_size(size: int, where: str) -> None:
    if size > MOST_FILE_BYTES:
        raise DataError(f"{where}: {size} bytes is too large for one image")
