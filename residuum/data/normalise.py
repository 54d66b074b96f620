"""From pixels to what a network reads: what the training part says, applied to both parts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..reader import require
from .augmentation import Normalisation
from .images import Images

CHUNK = 4096  # images at a time, in float64
CONTRAST = 55.0  # length of an image after contrast normalisation (pylearn2, CIFAR)
SMALLEST = 1e-8  # lengths below it are not divided by (pylearn2)
EPSILON = 0.1  # added to every variance before whitening (pylearn2, filter_bias)


def unchanged(pixels: Tensor) -> Tensor:
    """The uint8 pixels: subtracting and dividing is left to the batch."""
    return pixels


def contrast_normalised(pixels: Tensor) -> Tensor:
    """Each image minus its mean, stretched to length 55: global contrast normalisation.

    (N, H, W, 3) of any type to float64. In 32x32 images the values' deviation becomes 0.99. As
    pylearn2's CIFAR10(gcn=55): by the norm, nothing added below the root.
    """
    flat = pixels.flatten(1).double()
    flat = flat - flat.mean(1, keepdim=True)
    length = flat.norm(dim=1, keepdim=True)
    flat = flat * (CONTRAST / torch.where(length < SMALLEST, CONTRAST, length))
    return flat.reshape(pixels.shape)


@dataclass(frozen=True, eq=False)
class Whitening:
    """W (x - m) of contrast-normalised images x, W = V (L + 0.1)^(-1/2) V' symmetric (ZCA).

    m and V L V' are mean and covariance of the training part (divided by N). 0.1 is pylearn2's
    filter_bias. All in float64; the sign of an eigenvector changes nothing.
    """

    mean: Tensor  # (D,)
    matrix: Tensor  # (D, D)

    def __call__(self, pixels: Tensor) -> Tensor:
        flat = contrast_normalised(pixels).flatten(1) - self.mean
        return (flat @ self.matrix).reshape(pixels.shape)

    @staticmethod
    def fitted(pixels: Tensor) -> "Whitening":
        """Of (N, H, W, 3) training pixels: D^2 N multiplications and a D x D eigenvalue problem."""
        size = pixels[0].numel()
        mean = torch.zeros(size, dtype=torch.float64)
        square = torch.zeros(size, size, dtype=torch.float64)
        for chunk in pixels.split(CHUNK):
            flat = contrast_normalised(chunk).flatten(1)
            mean += flat.sum(0)
            square += flat.T @ flat
        mean, square = mean / len(pixels), square / len(pixels)
        covariance = square - torch.outer(mean, mean)
        variances, vectors = torch.linalg.eigh(covariance)
        scales = (variances.clamp_min(0) + EPSILON).rsqrt()
        return Whitening(mean, (vectors * scales) @ vectors.T)


@dataclass(frozen=True, eq=False)
class Normaliser:
    """(prepare(pixels) - mean) / std, the same for the training and the test part.

    `mean` is (3,) or (H, W, 3), `std` (3,) or (1,). `prepare` is done once, for whole parts; what
    it changes is kept in float32, four times the memory of uint8.
    """

    mean: Tensor
    std: Tensor
    prepare: Callable[[Tensor], Tensor] = unchanged

    def prepared(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) on the CPU: uint8 as they are, or float32."""
        if self.prepare is unchanged:
            return pixels
        made = torch.empty(pixels.shape)
        for begin in range(0, len(pixels), CHUNK):
            chunk = pixels[begin : begin + CHUNK].cpu()
            made[begin : begin + CHUNK] = self.prepare(chunk).float()
        return made


def fit(train: Images, kind: Normalisation) -> Normaliser:
    """What the training part says of the normalisation, on the scale 0-255.

    - "channel": mean and deviation of each channel (fb.resnet.torch);
    - "pixel-mean": the mean image, nothing divided but the scale (He et al. 2015);
    - "pixel": the mean image, and the deviation of all values (Huang et al. 2016, their code);
    - "scale": divided by 255 (SVHN in DenseNet and WRN);
    - "gcn": global contrast normalisation (DSN); "gcn-pixel-mean": then the mean image (Highway);
    - "gcn-zca": then whitening (pylearn2; NIN, FitNets, All-CNN, WRN's first version). For 50,000
      images of 32x32 half a minute of one core whenever it is fitted, and 0.6 GB of float32.

    Sums are taken in float64, in chunks. UsageError: an unknown word.
    """
    require(kind, Normalisation, "normalisation", UsageError)
    pixels = train.pixels.cpu()
    nothing, one, scale = torch.zeros(3), torch.ones(1), torch.tensor([255.0])
    if kind == "scale":
        return Normaliser(nothing, scale)
    if kind == "gcn":
        return Normaliser(nothing, one, contrast_normalised)
    if kind == "gcn-zca":
        return Normaliser(nothing, one, Whitening.fitted(pixels))
    if kind == "gcn-pixel-mean":
        mean, _ = _moments(map(contrast_normalised, pixels.split(CHUNK)), len(pixels))
        return Normaliser(mean.float(), one, contrast_normalised)
    mean, square = _moments(pixels.split(CHUNK), len(pixels))
    if kind == "pixel-mean":
        return Normaliser(mean.float(), scale)
    if kind == "pixel":
        std = _deviation(mean.mean().reshape(1), square.mean().reshape(1))
        return Normaliser(mean.float(), std)
    mean, square = mean.mean((0, 1)), square.mean((0, 1))
    return Normaliser(mean.float(), _deviation(mean, square))


def _moments(chunks: Iterable[Tensor], n: int) -> tuple[Tensor, Tensor]:
    """Mean and mean square of every value of an image, (H, W, 3) float64."""
    total, squares = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for chunk in chunks:
        chunk = chunk.double()
        total = total + chunk.sum(0)
        squares = squares + chunk.square().sum(0)
    return total / n, squares / n


def _deviation(mean: Tensor, square: Tensor) -> Tensor:
    std = (square - mean.square()).clamp_min(0).sqrt()
    return torch.where(std > 0, std, 255.0).float()
