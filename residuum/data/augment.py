"""Order, augmentation and normalisation on the device, from one uint8 tensor.

All of it is a function of (seed, epoch, index). Nothing here has a state, so a run resumes in the
middle of an epoch exactly, and workers or devices change nothing.
"""

import hashlib

import torch
from torch import Tensor

from .augmentation import Augmentation, Normalisation
from .images import Images


def derived_seed(*key: object) -> int:
    """63 bits from (seed, purpose, epoch or step, ...)."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*key: object) -> torch.Generator:
    """A fresh generator from (seed, purpose, epoch or step, ...)."""
    return torch.Generator().manual_seed(derived_seed(*key))


def order(seed: int, epoch: int, n: int) -> Tensor:
    """The permutation of 0..n-1 in which an epoch sees its examples."""
    return torch.randperm(n, generator=generator(seed, "order", epoch))


def crops_and_flips(augmentation: Augmentation, seed: int, epoch: int, n: int) -> Tensor:
    """(n, 3) int64: the crop's top and left, and whether to flip, of every example of an epoch."""
    source = generator(seed, "augment", epoch)
    crops = torch.randint(0, 2 * augmentation.pad + 1, (n, 2), generator=source)
    flips = torch.randint(0, 2 if augmentation.flip else 1, (n, 1), generator=source)
    return torch.cat([crops, flips], dim=1)


class Pixels:
    """The images of one part on the device, ready to be gathered into normalised batches.

    The border of the padded images is zero in pixels and in the mean, so it is zero once
    normalised: padding with the mean, as the papers' code does. Memory: N x (H + 2 pad) x (W + 2
    pad) x 3 bytes.
    """

    def __init__(
        self, images: Images, mean: Tensor, std: Tensor, pad: int, device: torch.device | str
    ):
        border = (0, 0, pad, pad, pad, pad)
        self.size = images.pixels.shape[1:3]
        self.padded = torch.nn.functional.pad(images.pixels, border).to(device)
        self.labels = images.labels.to(device)
        full_mean = mean.expand(*self.size, 3).contiguous()
        self.mean = torch.nn.functional.pad(full_mean, border).to(device)
        self.std, self.pad, self.device = std.to(device), pad, torch.device(device)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, H, W) float32 in channels-last memory, and labels (B,).

        `draws` are the rows of `crops_and_flips` for these indices; without them the image as is.
        """
        height, width = self.size
        indices = indices.to(self.device)
        if draws is None:
            draws = torch.tensor([[self.pad, self.pad, 0]]).expand(len(indices), 3)
        top, left, flip = draws.to(self.device).unbind(1)
        columns = torch.arange(width, device=self.device)
        columns = torch.where(flip[:, None] == 1, width - 1 - columns, columns) + left[:, None]
        rows = torch.arange(height, device=self.device) + top[:, None]
        at = (rows[:, :, None], columns[:, None, :])
        pixels = self.padded[indices[:, None, None], *at].float()
        return ((pixels - self.mean[at]) / self.std).permute(0, 3, 1, 2), self.labels[indices]


def statistics(images: Images, kind: Normalisation) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the training images, on the scale 0-255.

    - "channel": one of each per channel (fb.resnet.torch), (3,) and (3,);
    - "pixel-mean": the mean image, nothing divided but the scale, (H, W, 3) and 255 (He 2015);
    - "pixel": the mean image and one standard deviation (Huang et al. 2016).

    Sums are taken in float64, in chunks.
    """
    mean = torch.zeros(images.pixels.shape[1:], dtype=torch.float64)
    square = torch.zeros_like(mean)
    for chunk in images.pixels.cpu().split(4096):
        chunk = chunk.double()
        mean += chunk.sum(0)
        square += chunk.square().sum(0)
    mean, square = mean / len(images), square / len(images)
    if kind == "channel":
        mean, square = mean.mean((0, 1)), square.mean((0, 1))
        std = (square - mean.square()).clamp_min(0).sqrt()
    elif kind == "pixel":
        std = (square.mean() - mean.square().mean()).clamp_min(0).sqrt().reshape(1)
    else:
        std = torch.tensor([255.0], dtype=torch.float64)
    return mean.float(), torch.where(std > 0, std, 255.0).float()
