"""Where images come from: digits, class folders (or an archive of them), CIFAR and SVHN."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import DataError, UsageError, nearest
from .cifar_svhn import read_cifar, read_svhn
from .folders import read_class_folders
from .images import Dataset, Images, split

SOURCES = ("digits", "cifar10", "cifar100", "svhn")


def load(
    source: str, title: str | None = None, download: bool = False, image_size: int | None = None
) -> Dataset:
    """The data set that `source` names.

    - "digits": scikit-learn's 1,797 handwritten digits of 8x8 pixels, the one that needs no file;
    - "cifar10:PATH", "cifar100:PATH", "svhn:PATH": the published archives in that folder; fetched
    only if `download`;
    - any other PATH: class folders (ImageFolder layout), or a tar, tar.xz, tar.gz or zip of them.

    `title` is what figures will say; `image_size` resizes the short side and crops the centre
    (class folders only). DataError: missing or broken files, named. UsageError: an unknown source.
    """
    kind, colon, where = source.partition(":")
    if source == "digits":
        return digits()
    if colon and kind in SOURCES and kind != "digits":
        reader = read_svhn if kind == "svhn" else read_cifar
        return reader(kind, Path(where).expanduser(), download)
    if kind in SOURCES:
        fetched = "with --download it is fetched into that folder"
        raise UsageError(f"{source}: say where it lies, {kind}:FOLDER ({fetched})")
    path = Path(source).expanduser()
    if not path.exists():
        if "/" not in source and "." not in source:
            valid = nearest(source, SOURCES)
            raise UsageError(f"unknown data {source!r}.{valid} Or give a folder or archive")
        advice = "Give class folders, an archive of them, or 'digits'"
        raise DataError(f"{source}: no such folder or archive. {advice}")
    return read_class_folders(path, title or path.name.split(".")[0], image_size)


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
