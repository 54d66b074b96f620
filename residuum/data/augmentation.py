"""How training images are varied and normalised, in words and numbers. Loads no torch."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from ..errors import UsageError
from ..reader import Count, Pixels, Share, Whole, check

Normalisation = Literal[
    "channel", "pixel", "pixel-mean", "scale", "gcn", "gcn-pixel-mean", "gcn-zca"
]


@dataclass(frozen=True)
class Augmentation:
    """Pad by `pad` pixels, crop back at random, flip with probability 1/2.

    He et al. 2015, sec. 4.2. `border`: what is padded with, the mean (zero once normalised, as the
    papers' code does) or the image's own reflection without its edge (WRN). `pad_after`: at the
    bottom and at the right, where it is another number (BoostResNet: 2 before and 1 after). `per`:
    every image has a crop of its own; or every batch has one for all its images, and exactly half
    of them, rounded down, are flipped (WRN's Lua code).
    """

    pad: Whole = 4
    flip: bool = True
    border: Literal["mean", "reflection"] = "mean"
    pad_after: Whole | None = None
    per: Literal["image", "batch"] = "image"

    @property
    def padding(self) -> tuple[int, int]:
        """At the top and left, at the bottom and right."""
        return self.pad, self.pad if self.pad_after is None else self.pad_after


class ResizedCrop(msgspec.Struct, frozen=True, tag_field="kind", tag="resized-crop"):
    """A box of 8 to 100 % of the image at any place, resized to `size` (fb.resnet.torch, ImageNet).

    Its side is the root of the area times and over a number of 3/4 to 4/3; where ten draws do not
    fit, the centre. Then brightness, contrast and saturation in any order, each by a factor of 1 -
    `jitter` to 1 + `jitter`; then `lighting` times the colours' principal components (Krizhevsky et
    al. 2012); then a flip with probability 1/2. For testing the centre, see `ScaledCrop`.

    Boxes lie in the images as they are kept: what `--image-size` cut off is not seen.
    """

    size: Pixels = 224
    jitter: Share = 0.4
    lighting: Share = 0.1

    def __post_init__(self) -> None:
        check(self, "resized crop", UsageError)


class ScaledCrop(msgspec.Struct, frozen=True, tag_field="kind", tag="scaled-crop"):
    """The short side is scaled to one of `shortest`, then `size` pixels are cropped at any place.

    Simonyan and Zisserman 2015; He et al. 2015, sec. 3.4. Lighting and flip as in `ResizedCrop`.
    Cut from the image as it is kept, to a whole pixel, then resized. For testing the short
    side is scaled to 8/7 of `size` (256 for 224) and the centre is taken.
    """

    size: Pixels = 224
    shortest: tuple[Count, Count] = (256, 480)
    lighting: Share = 0.1

    def __post_init__(self) -> None:
        check(self, "scaled crop", UsageError)
        least, most = self.shortest
        if not self.size <= least <= most:
            raise UsageError(
                f"scaled crop: shortest must rise from at least {self.size}, not {self.shortest}"
            )


Crop = ResizedCrop | ScaledCrop
