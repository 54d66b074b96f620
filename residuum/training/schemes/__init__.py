"""Schemes: what a paper adds to the plain training loop. One scheme a file."""

from .plain import Plain
from .scheme import Batch, Scheme

__all__ = ["Batch", "Plain", "Scheme"]
