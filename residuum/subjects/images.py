"""Images and labels for a model, as it wants them."""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..anatomy.deletions import spread_out
from ..data import Dataset, Images
from ..data.augment import Pixels
from ..data.normalise import Normaliser, fit
from ..data.sources import SOURCES
from ..errors import DataError
from .asked import Source
from .origins import Origin


def dataset(source: Source, origin: Origin) -> tuple[Dataset, int | None]:
    """The data, and the pixels of a side that its images are still to be resized to (None: none).

    The size is the one that is asked for; else of class folders, and where the model takes no
    other, the model's own; else the data's. Raises what `residuum.data.load` raises.
    """
    require_images(source, origin.name)
    if not named(source):
        asked = source.image_size or origin.size
        return replace(source, image_size=asked).load(), None
    data = replace(source, image_size=None).load()
    asked = source.image_size or (origin.size if origin.fixed else None)
    return data, None if asked == data.size else asked


def named(source: Source) -> bool:
    """Whether it is one of the published sets, whose images all have one size."""
    return source.data is None or source.data.partition(":")[0] in SOURCES


def require_images(source: Source, name: str) -> None:
    """DataError: a text."""
    if not named(source) and is_text(Path(source.data or "")):
        advice = "Give class folders, an archive of them, digits or cifar10:FOLDER"
        raise DataError(f"{source.data} is a text file, and {name} reads images. {advice}")


def is_text(path: Path) -> bool:
    """Whether it is a file that begins with UTF-8 text."""
    try:
        path = path.expanduser()
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            start = file.read(4096)
        return b"\0" not in start and bool(start[:4000].decode("utf-8", "ignore")) == bool(start)
    except (OSError, ValueError, RuntimeError):
        return False


def examples(
    images: Images, normaliser: Normaliser, n: int | None, size: int | None
) -> tuple[Tensor, Tensor]:
    """n of them (None: all) at equal distances, (n, 3, H, W), and their labels, (n,)."""
    at = spread_out(len(images), len(images) if n is None else n)
    some = resized(Images(images.pixels[at], images.labels[at]), size)
    x, labels = Pixels(some, normaliser, "cpu").batch(torch.arange(len(some)))
    return x.contiguous(), labels


def resized(images: Images, size: int | None) -> Images:
    """To size x size pixels: bicubic, smoothed where it shrinks."""
    if size is None or not len(images):
        return images
    x = images.pixels.permute(0, 3, 1, 2).float()
    x = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return Images(x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous(), images.labels)


def normaliser_of(origin: Origin, data: Dataset) -> tuple[Normaliser, str]:
    """And in words, where it is from."""
    if origin.normaliser is not None:
        return origin.normaliser, "as the published weights of this model ask"
    return fit(data.train, "channel"), "mean and deviation of each channel of the training part"


def outputs(labels: tuple[str, ...], classes: tuple[str, ...]) -> list[int]:
    """Of each class of the data, which output of the model it is: by name where the model has these
    names, else in their order."""
    if set(labels) != set(classes):
        return list(range(len(classes)))
    return [labels.index(name) for name in classes]
