"""One paper a file: an item for every table or figure, the paper's value beside ours.

No torch is needed to show one.
"""

from .catalogue import STUDIES, Request, run_study, study_plan

__all__ = ["STUDIES", "Request", "run_study", "study_plan"]
