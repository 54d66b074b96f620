"""Reproducing a paper: what it would cost, carrying it out, its page."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..machine import Machine
from ..results import Study
from .requests import Scope, Source, verb

if TYPE_CHECKING:
    from ..experiments.bench import Bench
    from ..experiments.plan import Priced
    from ..studies import Request


@verb
def study(
    name: str, *, scope: Scope = Scope(), source: Source = Source(), machine: Machine = Machine()
) -> tuple[Study, Path]:
    """Reproduce a paper's figures: train what is missing, measure, write the report.

    Gives the study and the path of its page. One that was stopped goes on. UsageError: an unknown
    study or scale, or a number that cannot be; else what training and measuring raise.

    Parameters
    ----------
    name
        A study of `residuum ls`.
    """
    from ..experiments.executors import Local
    from ..pages import write_report
    from ..studies import run_study

    request, bench = _asked(name, scope, source, machine)
    folder = Path(scope.output or f"runs/{name}-{scope.scale}")
    done = run_study(request, bench, folder, Local(scope.workers))
    return done, write_report(done, folder)


@verb
def plan(
    name: str, *, scope: Scope = Scope(), source: Source = Source(), machine: Machine = Machine()
) -> "list[Priced]":
    """What a study would train and measure, with FLOPs and estimated seconds. Writes nothing.

    The seconds come from a few timed steps. Raises what `study` raises.

    Parameters
    ----------
    name
        A study of `residuum ls`.
    """
    from ..studies import study_plan

    return study_plan(*_asked(name, scope, source, machine))


def _asked(name: str, scope: Scope, source: Source, machine: Machine) -> "tuple[Request, Bench]":
    """A wrong word is told before the data are read."""
    from ..experiments.bench import Bench
    from ..studies import Request

    request = Request(name, scope.scale, scope.epochs, scope.depth, scope.seed)
    return request, Bench(Path(scope.store), source.load(), machine.resolved())


@verb
def report(folder: str | Path) -> Path:
    """Write figures and report.html anew from a study's folder. Needs neither data nor weights.

    UsageError: no study there, or a damaged one.

    Parameters
    ----------
    folder
        Where study.json lies.
    """
    from ..pages import write_report

    folder = Path(folder)
    folder = folder.parent if folder.name == "study.json" else folder
    if not (folder / "study.json").exists():
        raise UsageError(f"{folder}: no study.json here. `residuum study` makes one")
    return write_report(Study.load(folder / "study.json"), folder)
