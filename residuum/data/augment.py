"""Order, augmentation and normalisation on the device, from one tensor of images.

All of it is a function of (seed, epoch, index). Nothing here has a state, so a run resumes in the
middle of an epoch exactly, and workers or devices change nothing.
"""

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from ..reader import check
from .augmentation import Augmentation
from .images import Images
from .normalise import Normaliser


def derived_seed(*key: object) -> int:
    """63 bits from (seed, purpose, epoch or step, ...)."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*key: object) -> torch.Generator:
    """A fresh generator from (seed, purpose, epoch or step, ...)."""
    return torch.Generator().manual_seed(derived_seed(*key))


def order(seed: int, epoch: int, n: int, replacement: bool = False) -> Tensor:
    """(n,): the examples that an epoch sees, in order: all of 0..n-1 once.

    With `replacement` each is drawn from all, so that some come twice and some not at all.
    """
    source = generator(seed, "order", epoch)
    if replacement:
        return torch.randint(0, n, (n,), generator=source)
    return torch.randperm(n, generator=source)


def crops_and_flips(augmentation: Augmentation, seed: int, epoch: int, n: int) -> Tensor:
    """(n, 3) int64: the crop's top and left, and whether to flip, of every example of an epoch."""
    source = generator(seed, "augment", epoch)
    crops = torch.randint(0, sum(augmentation.padding) + 1, (n, 2), generator=source)
    flips = torch.randint(0, 2 if augmentation.flip else 1, (n, 1), generator=source)
    return torch.cat([crops, flips], dim=1)


def crops_and_flips_of_batches(
    augmentation: Augmentation, seed: int, epoch: int, n: int, batch_size: int
) -> Tensor:
    """The same, (n, 3), by the place in the epoch: one crop a batch, half of its images flipped."""
    source, rows = generator(seed, "augment", epoch), []
    for begin in range(0, n, batch_size):
        size = min(batch_size, n - begin)
        crop = torch.randint(0, sum(augmentation.padding) + 1, (1, 2), generator=source)
        flips = torch.randperm(size, generator=source) < (size // 2 if augmentation.flip else 0)
        rows.append(torch.cat([crop.expand(size, 2), flips[:, None].long()], dim=1))
    return torch.cat(rows)


class Pixels:
    """The images of one part on the device, ready to be gathered into normalised batches.

    The border of the padded images is zero in pixels and in the mean, so it is zero once
    normalised: padding with the mean, as the papers' code does; or both are reflected. Memory: N x
    (H + padding) x (W + padding) x 3 bytes, four times as much where `normaliser` prepares.
    """

    def __init__(
        self,
        images: Images,
        normaliser: Normaliser,
        device: torch.device | str,
        augmentation: Augmentation | None = None,
    ):
        plan = augmentation or Augmentation(pad=0)
        check(plan, "augmentation", UsageError)
        self.size = images.pixels.shape[1:3]
        self.padded = _padded(normaliser.prepared(images.pixels), plan).to(device)
        self.labels = images.labels.to(device)
        full_mean = normaliser.mean.expand(*self.size, 3).contiguous()
        self.mean = _padded(full_mean[None], plan)[0].to(device)
        self.std, self.pad = normaliser.std.to(device), plan.pad
        self.device = torch.device(device)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised images (B, 3, H, W) float32 in channels-last memory, and labels (B,).

        `draws` are rows of `crops_and_flips`, one for each index; without them the image as is.
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


def _padded(images: Tensor, plan: Augmentation) -> Tensor:
    """(N, H, W, 3) with the border of the plan."""
    before, after = plan.padding
    if plan.border == "mean":
        return F.pad(images, (0, 0, before, after, before, after))
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(size), (before, after), mode="reflect"))
        for size in images.shape[1:3]
    )
    return images[:, rows][:, :, columns]
