"""How training images are varied and normalised, in words and numbers. Loads no torch."""

from dataclasses import dataclass
from typing import Literal

from ..reader import Whole

Normalisation = Literal["channel", "pixel", "pixel-mean"]


@dataclass(frozen=True)
class Augmentation:
    """Pad by `pad` pixels of the mean, crop back at random, flip with probability 1/2.

    He et al. 2015, sec. 4.2.
    """

    pad: Whole = 4
    flip: bool = True
