"""What was written and answers otherwise: it is kept to be looked at, under another name."""

from collections.abc import Callable
from pathlib import Path

from ..errors import ExportError, ResiduumError, one_line
from .checking import Apart


def beside(path: Path) -> Path:
    """Where what answers otherwise is kept to be looked at."""
    return path.with_name(f"{path.name}.rejected")


def rejected(error: Apart, place: Path, keep: Callable[[], None]) -> ExportError:
    """What is raised once `keep()` has put it there, or could not."""
    try:
        keep()
    except (ResiduumError, OSError) as other:
        return ExportError(f"{error}. Nothing was written ({one_line(other)})")
    told = ExportError(f"{error}. It was kept as {place}, to be looked at")
    told.rejected = str(place)
    return told
