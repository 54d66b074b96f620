"""Class folders, [train|test/]CLASS/IMAGE, in a folder, a tar (any compression) or a zip."""

import hashlib
from collections import Counter, defaultdict
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .. import progress
from ..errors import DataError
from .decode import decode
from .images import Images, split
from .members import MOST_TOTAL_BYTES, PARTS, SUFFIXES, Members, place, raw, readable

Part = dict[bytes, list[tuple[bytes, np.ndarray]]]  # by class: images with their paths
Files = dict[str, Part]  # by the part's word, "" for none


class Decoded(NamedTuple):
    """What class folders hold, and what a person should know of them."""

    train: Images
    test: Images
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def decode_class_folders(path: Path, image_size: int | None = None) -> Decoded:
    """All images as one uint8 tensor a part.

    Without train and test folders a fixed fifth of each class is the test.

    Palette, grey, CMYK and 16-bit images become 8-bit RGB, transparency is dropped, EXIF rotation
    is applied. Images that are not square stay so, unless `image_size` crops them. DataError: a
    broken image (named), images of several sizes, three parts, an empty class folder, classes that
    differ between the parts.
    """
    files: Files = defaultdict(lambda: defaultdict(list))
    total, members = 0, Members(path)
    with progress.bar(f"reading {path.name}", total=0) as advance:
        for member, content in members:
            image = decode(content, f"{path}: {readable(member)}", image_size)
            total += image.nbytes
            if total > MOST_TOTAL_BYTES:
                most = f"{MOST_TOTAL_BYTES / 1e9:.0f} GB"
                raise DataError(f"{path}: more than {most} of pixels. Give a smaller set")
            files[place(member)[0]][raw(member.parent.name)].append((raw(member), image))
            advance()
    left_out = ", ".join(f"{n} {what}" for what, n in sorted(members.left_out.items()))
    if not files:
        beside = f"; left out: {left_out}" if left_out else ""
        kinds = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{path}: no images ({kinds}) in class folders{beside}")
    _require_no_empty_folder(members, files)
    notes = [f"left out: {left_out}"] if left_out else []
    return _assemble(path, files, notes)


def _assemble(path: Path, files: Files, notes: list[str]) -> Decoded:
    _require_two_parts(path, set(files))
    classes = sorted(set().union(*files.values()))
    names = tuple(readable(name) for name in classes)
    if any(set(part) != set(classes) for part in files.values()):
        raise DataError(f"{path}: the parts have other classes: {_counts(files)}")
    if len(set(names)) < 2:
        raise DataError(f"{path}: only one class folder, {_counts(files)}; at least 2 are needed")
    if {name.lower() for name in names} <= set(PARTS) or len(set(names)) < len(names):
        raise DataError(f"{path}: {_counts(files)} cannot be classes. Put images in class folders")
    images = {PARTS.get(word, ""): _stack(path, part, classes) for word, part in files.items()}
    if "" in images:
        train, test = split(images[""], seed=0, test_share=0.2)
        fifth = f"a fixed fifth of each class, {len(test)}, is the test part"
        notes.append(f"no train and test folders; {fifth}")
    else:
        train, test = images["train"], images["test"]
        notes += [f"{word}/ is the test part" for word in files if PARTS[word] != word]
    height, width = train.pixels.shape[1:3]
    if height != width:
        crop = "--image-size N crops them square"
        notes.append(f"images of {width}x{height} pixels are used as they are; {crop}")
    if twice := _shared(train, test):
        seen = f"{twice} of {len(test)} test images are in the training part too"
        notes.append(f"warning: {seen}; the test error is too good by them")
    return Decoded(train, test, names, tuple(notes))


def _require_two_parts(path: Path, words: set[str]) -> None:
    folders = ", ".join(f"{word}/" for word in sorted(words))
    kinds = Counter(PARTS[word] for word in words if word)
    if kinds["test"] > 1:
        choice = "Move all but one of those for testing elsewhere, or its images into train/"
        raise DataError(f"{path}: {folders}: which is the test part? {choice}")
    if len(kinds) == 1:
        both = "Give both train/ and test/, or neither"
        raise DataError(f"{path}: {folders} without its counterpart. {both}")


def _require_no_empty_folder(members: Members, files: Files) -> None:
    """DataError: a folder beside those of the classes has no image."""
    empty = members.empty_class_folders()
    if empty:
        names = ", ".join(repr(readable(folder)) for folder in empty[:10])
        beside = f"class folders without images: {names}, beside {_counts(files)}"
        raise DataError(f"{members.path}: {beside}. Fill or remove them")


def _counts(files: Files) -> str:
    """ "train/ 'ant' 3, 'bee' 3; test/ 'ant' 1": at most twenty of each."""
    parts = []
    for word, part in sorted(files.items()):
        shown = sorted(part.items())[:20]
        counts = ", ".join(f"{readable(name)!r} {len(images)}" for name, images in shown)
        more = f", and {len(part) - 20} more" if len(part) > 20 else ""
        parts.append(f"{word}/ {counts}{more}" if word else counts + more)
    return "; ".join(parts)


def _stack(path: Path, part: Part, classes: list[bytes]) -> Images:
    images = [image for label in classes for _, image in sorted(part[label], key=itemgetter(0))]
    targets = [index for index, label in enumerate(classes) for _ in part[label]]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        sizes = ", ".join(f"{w}x{h}" for h, w, _ in sorted(shapes)[:3])
        found = f"images of {len(shapes)} sizes ({sizes}, ...)"
        raise DataError(f"{path}: {found}. Pass --image-size to crop them alike")
    return Images(torch.from_numpy(np.stack(images)), torch.tensor(targets))


def _shared(train: Images, test: Images) -> int:
    """How many test images have the very pixels of a training image."""
    seen = {hashlib.sha256(image).digest() for image in train.pixels.numpy()}
    return sum(hashlib.sha256(image).digest() in seen for image in test.pixels.numpy())
