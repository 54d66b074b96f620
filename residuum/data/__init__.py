"""Pictures and labels: where they come from, how they are augmented, in which order they are seen."""

from .images import Dataset, Images
from .sources import load

__all__ = ["Dataset", "Images", "load"]
