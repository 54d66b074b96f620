"""The papers' own networks: `preset("preresnet110", classes=10)`. One row a network.

Names load when they are used; `index` knows every listed preset without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalogue import CATALOGUE, FAMILIES, describe, find, preset, preset_cost
    from .family import Family, Preset
    from .index import Listed
    from .published import Published

_HOMES = {"Family": "family", "Preset": "family", "Listed": "index", "Published": "published"}
_CATALOGUE = ("CATALOGUE", "FAMILIES", "describe", "find", "preset", "preset_cost")
_HOMES |= dict.fromkeys(_CATALOGUE, "catalogue")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
