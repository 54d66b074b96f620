"""Broken lines that a test must notice."""

from . import around, dissection, training
from .mutant import Mutant

MUTANTS = [*dissection.MUTANTS, *around.MUTANTS, *training.MUTANTS]
__all__ = ["MUTANTS", "Mutant"]
