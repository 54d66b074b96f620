"""dissect: everything there is about one model, on one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import progress
from ..dissection.effort import Effort
from ..dissection.files import PARTS, RESULT, SWEEPS
from ..errors import UsageError
from ..machine import Hardware
from ..results import Dissection
from ..storage import Lock, make_folder
from ..subjects.asked import Measuring, Source
from .evaluation import prepared
from .requests import verb

if TYPE_CHECKING:
    from ..subjects import Subject

STARTED = {".lock", SWEEPS}  # all that there is before the first part is finished


@dataclass(frozen=True)
class Dissected:
    """What was found, and where its page is."""

    dissection: Dissection
    page: str


@verb
def dissect(
    model: str | Path,
    *,
    output: str | Path,
    measuring: Measuring = Measuring(),
    effort: Effort = Effort(),
    source: Source = Source(),
    machine: Hardware = Hardware(),
) -> Dissected:
    """Take a model apart: its units and their proof, lesions, paths and gradients by length, what
    flows, cheap scores of redundancy and what they are worth, a pruning frontier; on one page.

    Units are scored and chosen on training examples; all that is reported is measured on test
    examples. What the model does not allow is told on the page, with the reason. Each part is kept
    in the folder as it finishes, so the same command goes on where it was stopped.

    UsageError: a model or data that cannot be opened; a folder that holds something else, or the
    dissection of another model or of other data.
    LockedError: another process dissects into this folder. CheckpointError: a damaged log.

    Parameters
    ----------
    model
        The folder of a run or of residuum prune, a preset, tv:NAME, timm:NAME, hf:FOLDER or
        module.path:function.
    output
        The folder of the page, the figures and what was measured.
    """
    folder = Path(output)
    _require_own(folder)
    from ..dissection import dissect as everything
    from ..dissection.bench import Bench
    from ..pages import write_dissection
    from ..subjects import open_subject, require_two

    device = prepared(machine).device
    subject = open_subject(model, measuring, source, device, effort.search_examples)
    require_two(subject)  # before there is a folder
    with Lock(make_folder(folder)):
        Bench(subject, folder).require_own()
        _tell_replaced(folder, subject)
        found = everything(subject, effort, folder)
        found.save(folder / RESULT)
        return Dissected(found, str(write_dissection(found, folder)))


def _require_own(folder: Path) -> None:
    """UsageError: there is something in it, and not an earlier dissection."""
    if folder.is_dir():
        there = {path.name for path in folder.iterdir()}
        if there - STARTED and not {RESULT, PARTS} & there:
            raise UsageError(f"{folder}: holds something else. Choose another --output")


def _tell_replaced(folder: Path, subject: "Subject") -> None:
    """Of the same model and data, with other weights or examples."""
    if not (folder / RESULT).exists():
        return
    try:
        found = Dissection.load(folder / RESULT)
    except UsageError as error:
        progress.say(f"warning: {error}. It is written anew")
        return
    before, now = ({**told, "run": ""} for told in (found.provenance, subject.provenance))
    if (before, found.n) != (now, len(subject.test)):
        progress.say(f"warning: {folder}: was of other weights or examples, and is replaced")
