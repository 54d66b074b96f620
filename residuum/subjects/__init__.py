"""A model on the table with examples to measure it on, from the words of a command line."""

from .subject import Subject

__all__ = ["Subject"]
