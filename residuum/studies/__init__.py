"""One paper a file: an item for every table or figure, shown without torch."""

from .run import STUDIES, Request, run_study, study_plan

__all__ = ["STUDIES", "Request", "run_study", "study_plan"]
