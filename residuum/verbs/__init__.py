"""Every command as a function: arguments and requests in, a typed result out.

A request is a dataclass whose fields are the flags of the command line. It is given whole or field
by field: `train("resnet20", machine=Machine(threads=2))` is `train("resnet20", threads=2)`.
Importing this loads no torch; carrying a verb out may.
"""

from .cache import CachedFile, CacheState, cache
from .catalogue import Entry, Info, PathCount, info, ls, paths
from .comparison import Comparison, diff
from .dissecting import Dissected, dissect
from .dissection import Decided, Lesioned, Lesions, lesion
from .evaluation import Evaluation, Member, evaluate
from .exporting import Exported, export
from .requests import Deletions, Looking, NetworkOptions, Scope, Source, Training
from .run_list import RunEntry, runs
from .studies import plan, report, study
from .training import train

__all__ = [
    "CacheState", "CachedFile", "Comparison", "Decided", "Deletions", "Dissected", "Entry",
    "Evaluation", "Exported", "Info", "Lesioned", "Lesions", "Looking", "Member",
    "NetworkOptions", "PathCount", "RunEntry", "Scope", "Source", "Training", "cache", "diff",
    "dissect", "evaluate", "export", "info", "lesion", "ls", "paths", "plan", "report", "runs",
    "study", "train",
]  # fmt: skip
