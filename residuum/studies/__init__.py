"""One paper a file: a function for every table or figure, the paper's value beside ours. Studies are where floors meet."""

from .catalogue import STUDIES, Request, run_study, study_plan
from .trial import Trial, rebuild

__all__ = ["STUDIES", "Request", "Trial", "rebuild", "run_study", "study_plan"]
