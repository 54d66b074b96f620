"""Training by published recipes into a run folder that resumes exactly."""

from .recipe import RECIPES, Machine, Recipe, find_recipe
from .run import Run, train

__all__ = ["RECIPES", "Machine", "Recipe", "Run", "find_recipe", "train"]
