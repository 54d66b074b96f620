"""Taking networks apart: what to delete, reorder and follow. Stands on units alone and knows no network by name.

Names load when they are used: `anatomy.statistics` and `anatomy.measures`, the values that are measured, need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gradients import gradient_by_length, path_gradients, sampled_paths, signed_sweep
    from .lesion import Examples, delete, delete_each, delete_random, lesion
    from .measures import Deletion, PathGradients, Reordering, Response
    from .paths import Paths, polynomial, unravel
    from .reorder import reorder_random, shapes
    from .replace import at_rest, replace
    from .responses import layer_responses
    from .sweep import applied, intact, reordered, sweep, without

_HOMES = {
    **dict.fromkeys(("gradient_by_length", "path_gradients", "sampled_paths", "signed_sweep"), ".gradients"),
    **dict.fromkeys(("Examples", "delete", "delete_each", "delete_random", "lesion"), ".lesion"),
    **dict.fromkeys(("Deletion", "PathGradients", "Reordering", "Response"), ".measures"),
    **dict.fromkeys(("Paths", "polynomial", "unravel"), ".paths"),
    **dict.fromkeys(("reorder_random", "shapes"), ".reorder"),
    **dict.fromkeys(("at_rest", "replace"), ".replace"),
    "layer_responses": ".responses",
    **dict.fromkeys(("applied", "intact", "reordered", "sweep", "without"), ".sweep"),
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for public, home in _HOMES.items():  # all at once: a function may bear its module's name
        globals()[public] = getattr(import_module(home, __name__), public)
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
