"""What dissection stands on: a model seen as units in signal order, whatever it is made of.

`unravel(model)` gives the `View`. Names load when they are used; `residuum.views.view` needs no
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .edits import at_rest, replace
    from .own import unravel
    from .view import DELETE, KEEP, Delete, Edit, Keep, Leaf, Parallel, Put, Series, UnitInfo, View

_HOMES = {
    **dict.fromkeys(("at_rest", "replace"), "edits"),
    "unravel": "own",
    **dict.fromkeys(("DELETE", "KEEP", "Delete", "Edit", "Keep", "Put"), "view"),
    **dict.fromkeys(("Leaf", "Parallel", "Series", "UnitInfo", "View"), "view"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
