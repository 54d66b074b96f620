"""How training images are varied and normalised, in words and numbers. Loads no torch."""

from dataclasses import dataclass
from typing import Literal

from ..reader import Whole

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
