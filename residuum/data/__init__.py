"""Images and labels: where they come from, how they are augmented, in which order they are seen."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .images import Dataset, Images
    from .sources import load

_HOMES = {"Dataset": "images", "Images": "images", "load": "sources"}


def __getattr__(name: str) -> Any:
    """Loaded when asked for, so that a recipe can be read without torch."""
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
