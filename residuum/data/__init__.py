"""Images and labels: where they come from, how they are augmented, in which order they are seen."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .images import Dataset, Images
    from .sources import load

# a recipe can be read without torch
__getattr__, __dir__ = lazy(__name__, {".images": "Dataset Images", ".sources": "load"})
