"""Removing units for good: smaller networks, and their export for others.

Names load when they are used.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .removal import removed, without_branches

__getattr__, __dir__ = lazy(__name__, {".removal": "removed without_branches"})
