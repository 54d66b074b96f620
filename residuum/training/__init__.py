"""Training by published recipes into a run folder that resumes exactly."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from ..machine import Machine
    from .precise import precise_bn
    from .recipe import Recipe
    from .recipes import RECIPES, find_recipe, recipe_from_file
    from .run import About, Blueprint, Run, train

# recipes are listed without torch
__getattr__, __dir__ = lazy(
    __name__,
    {
        "..machine": "Machine",
        ".precise": "precise_bn",
        ".recipe": "Recipe",
        ".recipes": "RECIPES find_recipe recipe_from_file",
        ".run": "About Blueprint Run train",
    },
)
