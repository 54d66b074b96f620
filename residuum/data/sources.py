"""Where images come from: digits, class folders (or an archive of them), CIFAR and SVHN."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import progress
from ..errors import DataError, UsageError, nearest
from .cache import cached_class_folders
from .cifar_svhn import read_cifar, read_svhn
from .folders import decode_class_folders
from .images import Dataset, Images, split
from .members import readable, require_regular

SOURCES = ("digits", "cifar10", "cifar100", "svhn")
MOST_IMAGE_SIZE = 4096


def load(
    source: str | Path,
    title: str | None = None,
    download: bool = False,
    image_size: int | None = None,
    cache: bool = True,
) -> Dataset:
    """The data set that `source` names.

    - "digits": scikit-learn's 1,797 handwritten digits of 8x8 pixels, the one that needs no file;
    - "cifar10:PATH", "cifar100:PATH", "svhn:PATH": the published archives in that folder; fetched
    only if `download`;
    - any other PATH: class folders (ImageFolder layout), or a tar, tar.xz, tar.gz or zip of them.

    For class folders only: `title` is what figures will say; `image_size` resizes the short side
    and crops the centre; with `cache` the decoded images are kept for the next time. DataError:
    missing or broken files, named. UsageError: an unknown source, or options that it does not have.
    """
    _require_types(source, title, image_size)
    kind, _, where = str(source).partition(":")
    named = isinstance(source, str) and kind in SOURCES
    if download and (not named or kind == "digits"):
        raise UsageError(f"{source}: nothing to download (--download). Leave it out")
    options = {"title (--data-name)": title, "image_size (--image-size)": image_size}
    for option, value in options.items():
        if named and value is not None:
            raise UsageError(f"{source}: has no {option}, only class folders have. Leave it out")
    if source == "digits":
        return digits()
    if named:
        return _published(kind, where, download)
    path = _existing(source, str(source))
    read = cached_class_folders if cache else decode_class_folders
    train, test, classes, notes = read(path, image_size)
    for note in notes:
        progress.say(f"{readable(path)}: {note}")
    name = readable((path.name or path.resolve().name).split(".")[0])
    return Dataset(title or name or "images", train, test, classes)


def _published(kind: str, where: str, download: bool) -> Dataset:
    if kind == "digits":
        raise UsageError(f"digits:{where}: digits come without a folder. Say digits")
    if not where:
        fetched = "with --download it is fetched into that folder"
        raise UsageError(f"{kind}: say where it lies, {kind}:FOLDER ({fetched})")
    folder = Path(where) if download else _existing(where, f"{kind}:{where}")
    try:
        return (read_svhn if kind == "svhn" else read_cifar)(kind, folder.expanduser(), download)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _require_types(source: object, title: object, image_size: object) -> None:
    if not isinstance(source, str | Path) or not str(source):
        found = repr(source) if isinstance(source, str) else f"a {type(source).__name__}"
        takes = "'digits', 'cifar10:FOLDER' or the path of class folders"
        raise UsageError(f"data must be {takes}, not {found}")
    if title is not None and not (isinstance(title, str) and title):
        raise UsageError(f"title (--data-name) must be text, not {title!r}")
    if image_size is None:
        return
    if type(image_size) is not int or not 1 <= image_size <= MOST_IMAGE_SIZE:
        takes = f"a whole number of pixels, 1 to {MOST_IMAGE_SIZE}"
        raise UsageError(f"image_size (--image-size) must be {takes}, not {image_size!r}")


def _existing(where: str | Path, source: str) -> Path:
    """The path, if it is a folder or a plain file. DataError: missing, a pipe or device."""
    try:
        path = Path(where).expanduser()
        status = path.stat()
    except FileNotFoundError as error:
        if not set(source) & set("/.:"):
            valid = nearest(source, SOURCES)
            unknown = f"unknown data {source!r}.{valid} Or give a folder or archive"
            raise UsageError(unknown) from error
        advice = "Give class folders, an archive of them, or 'digits'"
        raise DataError(f"{source}: no such folder or archive. {advice}") from error
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, no such user
        wrong = getattr(error, "strerror", None) or error
        raise DataError(f"{source[:200]!r}: cannot be read ({wrong})") from error
    if not path.is_dir():
        require_regular(status, readable(path))
    return path


def digits() -> Dataset:
    """scikit-learn's 1,797 digits of 8x8 pixels, grey 0-16 stretched to 0-255 in three channels.

    A fixed half of each class, 898 images, is the test part: the published set has no split, and
    fewer images cannot tell a change of two points from none.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    grey = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8))
    pixels = grey[..., None].expand(-1, -1, -1, 3).contiguous()
    images = Images(pixels, torch.from_numpy(bunch.target).long())
    return Dataset("digits", *split(images, seed=0, test_share=0.5), tuple("0123456789"))
