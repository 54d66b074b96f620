"""Removing units for good: smaller networks, and their export for others.

Names load when they are used.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .before_after import compare_sizes
    from .elements import layers
    from .files import write_folder, write_onnx, write_program
    from .healing import Healing, heal
    from .measures import Candidate, Comparison, Size
    from .removal import removed, without_branches, without_layers
    from .search import Target, by_score, greedy, lost, pairs
    from .stored import Word, about, load, save, save_model

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".before_after": "compare_sizes",
        ".elements": "layers",
        ".files": "write_folder write_onnx write_program",
        ".healing": "Healing heal",
        ".measures": "Candidate Comparison Size",
        ".removal": "removed without_branches without_layers",
        ".search": "Target by_score greedy lost pairs",
        ".stored": "Word about load save save_model",
    },
)
