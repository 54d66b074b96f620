"""Taking models apart: what to delete, reorder and follow.

Stands on views and knows no network by name.

Names load when they are used: `anatomy.statistics` and `anatomy.measures`, the values that are
measured, need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..views import at_rest, replace, unravel
    from .deletions import Examples, delete, delete_each, delete_random
    from .gradients import gradient_by_length, path_gradients, sampled_paths, signed_sweep
    from .measures import Deletion, PathGradients, Reordering, Response
    from .paths import Paths, count_paths, polynomial
    from .reorder import reorder_random, shapes
    from .responses import layer_responses
    from .sweeps import sweep
    from .variants import applied, intact, reordered, without

_HOMES = {
    **dict.fromkeys(("at_rest", "replace", "unravel"), "..views"),
    **dict.fromkeys(("Examples", "delete", "delete_each", "delete_random"), ".deletions"),
    **dict.fromkeys(
        ("gradient_by_length", "path_gradients", "sampled_paths", "signed_sweep"), ".gradients"
    ),
    **dict.fromkeys(("Deletion", "PathGradients", "Reordering", "Response"), ".measures"),
    **dict.fromkeys(("Paths", "count_paths", "polynomial"), ".paths"),
    **dict.fromkeys(("reorder_random", "shapes"), ".reorder"),
    "layer_responses": ".responses",
    "sweep": ".sweeps",
    **dict.fromkeys(("applied", "intact", "reordered", "without"), ".variants"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
