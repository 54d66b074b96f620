"""Looking at each test image several times, or with several networks: probabilities are averaged.

    looks = ten_crops(28)                                   ten crops of 28 pixels of every image
    looks = at_sizes([24, 32, 40])                          each image at three sizes
    mean = probabilities(network, images, looks)            (N, K)

A mean over several networks on the same images is the mean of their probabilities (an ensemble).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..parts.wrappers import sampled
from .evaluation import BATCH
from .randomness import drawing

Look = Callable[[Tensor], Tensor]  # (N, 3, H, W) -> (N, 3, H', W'), image by image
Looks = Sequence[Look]
AS_THEY_ARE: Looks = (lambda images: images,)


def ten_crops(size: int, pad: int = 0) -> Looks:
    """Four corners and the centre, each also mirrored (Krizhevsky et al. 2012, sec. 4.1).

    Images are padded on every side by `pad` pixels of zero, which is the mean of normalised ones,
    and cropped to size x size pixels, at most what is there.
    """

    def crop(images: Tensor, down: float, right: float, mirrored: bool) -> Tensor:
        padded = F.pad(images, (pad, pad, pad, pad))
        height, width = padded.shape[2:]
        top, left = int(down * (height - size)), int(right * (width - size))
        found = padded[:, :, top : top + size, left : left + size]
        return found.flip(3) if mirrored else found

    places = (0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)
    return [
        partial(crop, down=down, right=right, mirrored=mirrored)
        for down, right in places
        for mirrored in (False, True)
    ]


def at_sizes(sizes: Sequence[int]) -> Looks:
    """Each image resized to so many pixels a side, and seen whole (He et al. 2015, sec. 4.1).

    For networks that average over all positions ahead of their linear layer.
    """

    def resized(images: Tensor, size: int) -> Tensor:
        if images.shape[2:] == (size, size):
            return images
        return F.interpolate(images, (size, size), mode="bilinear", antialias=True)

    return [partial(resized, size=size) for size in sizes]


@torch.no_grad()
def probabilities(network: nn.Module, images: Tensor, looks: Looks = AS_THEY_ARE) -> Tensor:
    """Of every class, the mean over the looks of softmax(logits). (N, 3, H, W) -> (N, K), float64.

    In float64, so that the largest of one look is that of its logits. The network is set to
    evaluation mode; images may lie on another device. Batches are smaller where looks are larger.
    """
    network.eval()
    device = next(network.parameters()).device

    def seen(look: Look) -> Tensor:
        larger = look(images[:1])[0].numel() / images[0].numel()
        parts = images.split(max(1, int(BATCH / max(1.0, larger))))
        logits = torch.cat([network(look(part.to(device))).cpu() for part in parts])
        return torch.softmax(logits.double(), 1)

    return torch.stack([seen(look) for look in looks]).mean(0)


def noisy_probabilities(
    network: nn.Module, images: Tensor, samples: int, seed: int, looks: Looks = AS_THEY_ARE
) -> Tensor:
    """The mean over so many noisy passes of each look: stochastic inference (Swapout).

    Running statistics are those of evaluation (Singh et al. 2016 do not say). Draws are a function
    of the seed. UsageError: the network has no noise.
    """
    device = str(next(network.parameters()).device)
    with sampled(network), drawing(device, seed, "samples"):
        return probabilities(network, images, [*looks] * samples)
