"""Every command as a function: arguments and requests in, a typed result out.

A request is a dataclass whose fields are the flags of the command line. It is given whole or field
by field: `train("resnet20", machine=Machine(threads=2))` is `train("resnet20", threads=2)`.
Importing this loads no torch; carrying a verb out may.
"""

from .cache import CachedFile, CacheState, cache
from .catalogue import Entry, Info, PathCount, info, ls, paths
from .comparison import Comparison, diff
from .discovery import Discovered, FoundUnit, Joined, Proven, map_units
from .dissecting import Dissected, dissect
from .evaluation import Evaluation, Member, evaluate
from .exporting import Exported, export
from .lesions import Decided, Lesioned, Lesions, LossLesion, lesion
from .pruning import Pruned, Removal, Repair, prune
from .requests import (
    Deletions,
    Looking,
    Measuring,
    NetworkOptions,
    Opening,
    Scope,
    Source,
    Training,
)
from .run_list import RunEntry, runs
from .similarity import Similarity, similarity
from .studies import plan, report, study
from .training import train

__all__ = [
    "CacheState", "CachedFile", "Comparison", "Decided", "Deletions", "Discovered", "Dissected",
    "Entry", "Evaluation", "Exported", "FoundUnit", "Info", "Joined", "Lesioned", "Lesions",
    "Looking", "LossLesion", "Measuring", "Member", "NetworkOptions", "Opening", "PathCount",
    "Proven", "Pruned", "Removal", "Repair", "RunEntry", "Scope", "Similarity", "Source",
    "Training", "cache", "diff", "dissect", "evaluate", "export", "info", "lesion", "ls",
    "map_units", "paths", "plan", "prune", "report", "runs", "similarity", "study", "train",
]  # fmt: skip
