"""Taking networks apart: what to delete, reorder and follow. Stands on units alone and knows no network by name."""

from .gradients import PathGradients, gradient_by_length, path_gradients, sampled_paths, signed_sweep
from .lesion import Examples, delete, delete_each, delete_random, lesion
from .paths import Paths, polynomial, unravel
from .reorder import reorder_random
from .replace import at_rest, replace
from .responses import layer_responses
from .sweep import applied, intact, reordered, sweep, without

__all__ = [
    "Examples",
    "PathGradients",
    "Paths",
    "applied",
    "at_rest",
    "delete",
    "delete_each",
    "delete_random",
    "gradient_by_length",
    "intact",
    "layer_responses",
    "lesion",
    "path_gradients",
    "polynomial",
    "reorder_random",
    "reordered",
    "replace",
    "sampled_paths",
    "signed_sweep",
    "sweep",
    "unravel",
    "without",
]
