"""Schemes: what a paper adds to the plain training loop. One scheme a file."""

from typing import TYPE_CHECKING

from ...lazy import lazy
from .companions import Companions
from .hints import Hints
from .lsuv import Lsuv
from .subset import ActiveSubset

if TYPE_CHECKING:
    from .plain import Plain
    from .scheme import Batch, Scheme

NamedScheme = ActiveSubset | Companions | Hints | Lsuv  # a union: what a recipe's `scheme` may be

# recipes name schemes without torch
__getattr__, __dir__ = lazy(__name__, {".plain": "Plain", ".scheme": "Batch Scheme"})
