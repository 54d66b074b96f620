"""Training by published recipes into a run folder that resumes exactly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..machine import Machine
    from .recipe import Recipe
    from .recipes import RECIPES, find_recipe, recipe_from_file
    from .run import About, Blueprint, Run, train

_HOMES = {
    "Machine": "..machine",
    "Recipe": ".recipe",
    **dict.fromkeys(("RECIPES", "find_recipe", "recipe_from_file"), ".recipes"),
    **dict.fromkeys(("About", "Blueprint", "Run", "train"), ".run"),
}


def __getattr__(name: str) -> Any:
    """Loaded when asked for, so that recipes are listed without torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
