"""Looking at each test image several times, or with several networks: probabilities are averaged.

    looks = ten_crops(28)                                   ten crops of 28 pixels of every image
    looks = at_sizes([24, 32, 40])                          each image at three sizes
    mean = probabilities(network, images, looks)            (N, K)

A mean over several networks on the same images is the mean of their probabilities (an ensemble).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .evaluation import BATCH

Looks = Callable[[Tensor], Iterator[Tensor]]  # (N, 3, H, W) -> each look at all of them


def as_they_are(images: Tensor) -> Iterator[Tensor]:
    """One look."""
    yield images


def ten_crops(size: int, pad: int = 0) -> Looks:
    """Four corners and the centre, each also mirrored (Krizhevsky et al. 2012, sec. 4.1).

    Images are padded on every side by `pad` pixels of zero, which is the mean of normalised ones,
    and cropped to size x size pixels, at most what is there.
    """

    def looks(images: Tensor) -> Iterator[Tensor]:
        padded = F.pad(images, (pad, pad, pad, pad))
        down, right = padded.shape[2] - size, padded.shape[3] - size
        corners = ((0, 0), (0, right), (down, 0), (down, right))
        for top, left in (*corners, (down // 2, right // 2)):
            crop = padded[:, :, top : top + size, left : left + size]
            yield crop
            yield crop.flip(3)

    return looks


def at_sizes(sizes: Sequence[int]) -> Looks:
    """Each image resized to so many pixels a side, and seen whole (He et al. 2015, sec. 4.1).

    For networks that average over all positions ahead of their linear layer.
    """

    def looks(images: Tensor) -> Iterator[Tensor]:
        for size in sizes:
            if images.shape[2:] == (size, size):
                yield images
            else:
                yield F.interpolate(images, (size, size), mode="bilinear", antialias=True)

    return looks


@torch.no_grad()
def probabilities(network: nn.Module, images: Tensor, looks: Looks = as_they_are) -> Tensor:
    """Of every class, the mean over the looks of softmax(logits). (N, 3, H, W) -> (N, K), float64.

    In float64, so that the largest of one look is that of its logits. The network is set to
    evaluation mode; images may lie on another device.
    """
    network.eval()
    device, found = next(network.parameters()).device, []
    for part in images.split(BATCH):
        logits = [network(x).cpu().double() for x in looks(part.to(device))]
        found.append(torch.softmax(torch.stack(logits), 2).mean(0))
    return torch.cat(found)
