"""What a data set is once it is read: one uint8 tensor of images, their labels, their names."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..errors import DataError


@dataclass(frozen=True, eq=False)
class Images:
    """`pixels` (N, H, W, 3) uint8, `labels` (N,) int64."""

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        pixels, labels = self.pixels, self.labels
        for what, value in (("pixels", pixels), ("labels", labels)):
            if not isinstance(value, Tensor):
                raise DataError(f"{what} must be a tensor, not {type(value).__name__}")
        if pixels.dtype != torch.uint8 or pixels.dim() != 4 or pixels.shape[3] != 3:
            found = f"{tuple(pixels.shape)} {pixels.dtype}"
            raise DataError(f"pixels must be (N, H, W, 3) uint8, not {found}")
        if labels.dtype != torch.int64 or labels.shape != pixels.shape[:1]:
            found = f"{tuple(labels.shape)} {labels.dtype}"
            raise DataError(f"labels must be ({len(pixels)},) int64, one an image, not {found}")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Images":
        return Images(self.pixels.to(device), self.labels.to(device))

    def first(self, n: int) -> "Images":
        return Images(self.pixels[:n], self.labels[:n])

    @cached_property
    def digest(self) -> str:
        """sha256 of shape, pixels and labels, wherever they were read from."""
        digest = hashlib.sha256(str(tuple(self.pixels.shape)).encode())
        digest.update(self.pixels.cpu().contiguous().numpy().data)
        digest.update(self.labels.cpu().contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A train and a test part with the same classes.

    `name` is what figures say: "CIFAR-10 (JPEG)", "digits".
    """

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for part, images in (("train", self.train), ("test", self.test)):
            if not len(images):
                raise DataError(f"{self.name}: no images in the {part} part")
            for label in (int(images.labels.max()), int(images.labels.min())):
                if not 0 <= label < len(self.classes):
                    found = f"label {label} in the {part} part"
                    raise DataError(f"{self.name}: {found}, but {len(self.classes)} classes")
        ours, theirs = (tuple(images.pixels.shape[1:3]) for images in (self.train, self.test))
        if ours != theirs:
            raise DataError(f"{self.name}: train images are {ours}, test images {theirs} pixels")

    @property
    def size(self) -> int:
        return self.train.pixels.shape[1]

    def to(self, device: torch.device | str) -> "Dataset":
        return Dataset(self.name, self.train.to(device), self.test.to(device), self.classes)

    def describe(self) -> "DataDescription":
        """What a run records of its data."""
        digest = hashlib.sha256((self.train.digest + self.test.digest).encode()).hexdigest()
        height, width = self.train.pixels.shape[1:3]
        counts = len(self.train), len(self.test)
        return DataDescription(self.name, *counts, (height, width), self.classes, digest)


@dataclass(frozen=True)
class DataDescription:
    """A data set in words: numbers of images, their (height, width), and what identifies them."""

    name: str
    train: int
    test: int
    size: tuple[int, int]
    classes: tuple[str, ...]
    digest: str


def split(images: Images, seed: int, test_share: float) -> tuple[Images, Images]:
    """Train and test parts, drawn class by class: a function of the seed."""
    return _parts(images, seed, lambda members: max(1, round(test_share * members)))


def hold_out(train: Images, n: int) -> tuple[Images, Images | None]:
    """What is trained on, and `n` validation images, equally many of each class (0: none).

    Always the same images of a data set. DataError: n is no multiple of the number of classes, or a
    class would be left without images.
    """
    if n == 0:
        return train, None
    each = require_even(train, n)
    return _parts(train, 0, lambda members: each)


def require_even(train: Images, n: int) -> int:
    """How many of each class are held out for n in all. DataError: see `hold_out`."""
    counts = train.labels.unique(return_counts=True)[1]
    each, rest = divmod(n, len(counts))
    if rest or each >= int(counts.min()):
        of = f"{len(train)} training images of {len(counts)} classes, the smallest {counts.min()}"
        advice = "Give a multiple of the number of classes that leaves images in each"
        raise DataError(f"{n} validation images cannot be held out of {of}. {advice}")
    return each


def _parts(images: Images, seed: int, held_out: Callable[[int], int]) -> tuple[Images, Images]:
    """What stays and what is held out: of each class as many as `held_out(its size)` says."""
    generator, kept, taken = torch.Generator().manual_seed(seed), [], []
    labels = images.labels.cpu()
    for label in labels.unique(sorted=True):
        members = torch.nonzero(labels == label).flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        n = held_out(len(members))
        taken.append(members[:n])
        kept.append(members[n:])
    chosen = (
        torch.cat(members).sort().values.to(images.labels.device) for members in (kept, taken)
    )
    stays, held = (Images(images.pixels[which], images.labels[which]) for which in chosen)
    return stays, held
