"""Crops of large images, resized, with colours varied: training on ImageNet and its like."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UsageError
from .augment import Pixels, generator
from .augmentation import Augmentation, Crop, ResizedCrop
from .images import Images
from .normalise import Normaliser

Box = tuple[int, int, int, int]  # top, left, height, width

ATTEMPTS, AREAS, ASPECTS = 10, (0.08, 1.0), (3 / 4, 4 / 3)
PER_ATTEMPT, COLOURS, LIGHTS = 5, 5, 3  # columns of draws: flip, three factors, their order
GREY = (0.299, 0.587, 0.114)  # of red, green and blue
# of the colours of ImageNet's pixels on the scale 0-1, as in fb.resnet.torch
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def draws_of_crops(seed: int, epoch: int, n: int) -> Tensor:
    """(n, 58) float64: what every example of an epoch needs, mostly uniform in [0, 1)."""
    source = generator(seed, "crop", epoch)
    uniform = torch.rand(n, ATTEMPTS * PER_ATTEMPT + COLOURS, generator=source, dtype=torch.float64)
    normal = torch.randn(n, LIGHTS, generator=source, dtype=torch.float64)
    return torch.cat([uniform, normal], dim=1)


def pixels_of(
    images: Images,
    normaliser: Normaliser,
    device: torch.device | str,
    augmentation: Augmentation | None = None,
    crop: Crop | None = None,
) -> Pixels:
    """A part's images as the recipe varies them; to test on, leave the augmentation out."""
    if crop is None:
        return Pixels(images, normaliser, device, augmentation)
    return CroppedPixels(images, normaliser, device, crop)


def require_large_enough(images: Images, crop: Crop | None) -> None:
    """UsageError: the images are smaller than what is cropped from them."""
    height, width = images.pixels.shape[1:3]
    if crop is not None and min(height, width) < crop.size:
        small = f"images of {width}x{height} pixels are smaller than the recipe's crop"
        advice = "Give larger ones (--image-size 256 and more), or a recipe for small images"
        raise UsageError(f"{small}, {crop.size} pixels. {advice}")


class CroppedPixels(Pixels):
    """Batches of crops, all resized to one size. Memory: N x H x W x 3 bytes."""

    def __init__(
        self, images: Images, normaliser: Normaliser, device: torch.device | str, crop: Crop
    ):
        require_large_enough(images, crop)
        super().__init__(images, normaliser, device)
        self.crop = crop

    def batch(self, indices: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised crops (B, 3, size, size) float32 in channels-last memory, labels (B,).

        `draws` are rows of `draws_of_crops`, one for each index; without them the centre.
        """
        indices, size = indices.to(self.device), self.crop.size
        boxes = [self.box(row) for row in draws.tolist()] if draws is not None else []
        boxes = boxes or [self.centre()] * len(indices)
        images = self.padded[indices].permute(0, 3, 1, 2).float() / 255
        crops = [_resized(i, box, size) for i, box in zip(images, boxes, strict=True)]
        x = torch.cat(crops) if crops else images.new_empty(0, 3, size, size)
        if draws is not None:
            x = self.coloured(x, draws.to(self.device, torch.float32))
        mean, std = (t.reshape(-1, 1, 1) for t in (self.mean[0, 0], self.std))
        x = (255 * x - mean) / std
        return x.contiguous(memory_format=torch.channels_last), self.labels[indices]

    def centre(self) -> Box:
        """What is tested: `size` pixels once the short side is scaled to 8/7 of `size`."""
        height, width = self.size
        side = min(min(height, width), round(min(height, width) * 7 / 8))
        return (height - side) // 2, (width - side) // 2, side, side

    def box(self, row: list[float]) -> Box:
        """What one example's draws choose of the image."""
        if isinstance(self.crop, ResizedCrop):
            return self._box_of_any_area(row) or self.centre()
        height, width = self.size
        least, most = self.crop.shortest
        scaled = least + math.floor(row[0] * (most - least + 1))
        side = round(self.crop.size * min(height, width) / scaled)
        top, left = (
            math.floor(u * (n - side + 1)) for u, n in zip(row[1:3], self.size, strict=True)
        )
        return top, left, side, side

    def _box_of_any_area(self, row: list[float]) -> Box | None:
        height, width = self.size
        for begin in range(0, ATTEMPTS * PER_ATTEMPT, PER_ATTEMPT):
            area, aspect, swap, down, right = row[begin : begin + PER_ATTEMPT]
            side = math.sqrt((AREAS[0] + area * (AREAS[1] - AREAS[0])) * height * width)
            ratio = ASPECTS[0] + aspect * (ASPECTS[1] - ASPECTS[0])
            h, w = round(side / ratio), round(side * ratio)
            h, w = (w, h) if swap < 0.5 else (h, w)
            if h <= height and w <= width:
                top, left = math.floor(down * (height - h + 1)), math.floor(right * (width - w + 1))
                return top, left, h, w
        return None

    def coloured(self, x: Tensor, draws: Tensor) -> Tensor:
        """Jitter, lighting and flips of (B, 3, H, W) on the scale 0-1; nothing is clipped."""
        begin = ATTEMPTS * PER_ATTEMPT
        flip, *factors, order = draws[:, begin : begin + COLOURS].unbind(1)
        if isinstance(self.crop, ResizedCrop) and self.crop.jitter:
            alphas = [1 + self.crop.jitter * (2 * u - 1) for u in factors]
            orders = torch.tensor(ORDERS, device=x.device)[(order * len(ORDERS)).long()]
            x = jittered(x, torch.stack(alphas, dim=1), orders)
        components = torch.tensor(EIGENVECTORS) * torch.tensor(EIGENVALUES) * self.crop.lighting
        # not a matrix product: an image is the same to the bit whatever stands beside it
        lights = (draws[:, None, -LIGHTS:] * components.to(x.device)).sum(2)
        x = x + lights[:, :, None, None]
        return torch.where(flip[:, None, None, None] < 0.5, x.flip(3), x)


def jittered(x: Tensor, alphas: Tensor, orders: Tensor) -> Tensor:
    """Brightness, contrast and saturation (0, 1, 2) in each image's order, (B, 3), by its factors.

    a x + (1 - a) y, where y is black, the mean grey, and the image's own grey.
    """
    weights = torch.tensor(GREY, device=x.device)[:, None, None]
    for step in range(3):
        kind = orders[:, step]
        grey = (x * weights).sum(1, keepdim=True)
        others = torch.stack(
            [torch.zeros_like(grey), grey.mean((2, 3), keepdim=True).expand_as(grey), grey]
        )
        rows = torch.arange(len(x), device=x.device)
        alpha = alphas[rows, kind][:, None, None, None]
        x = alpha * x + (1 - alpha) * others[kind, rows]
    return x


def _resized(image: Tensor, box: Box, size: int) -> Tensor:
    """(3, H, W) to (1, 3, size, size): bicubic, smoothed where it shrinks."""
    top, left, height, width = box
    part = image[None, :, top : top + height, left : left + width]
    if (height, width) == (size, size):
        return part
    return F.interpolate(part, (size, size), mode="bicubic", antialias=True, align_corners=False)
