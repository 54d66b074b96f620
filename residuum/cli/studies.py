"""study (with --plan) and report."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import verbs
from ..errors import several
from ..machine import Machine
from ..results import Study
from ..verbs import Scope, Source
from .command import command
from .words import clock, table

if TYPE_CHECKING:
    from ..experiments.plan import Priced


@dataclass(frozen=True)
class Planned:
    """What `study --plan` found."""

    name: str
    scope: Scope
    priced: "list[Priced]"


def study(
    name: str,
    *,
    plan: bool = False,
    scope: Scope = Scope(),
    source: Source = Source(),
    machine: Machine = Machine(),
) -> tuple[Study, Path] | Planned:
    """Reproduce a paper's figures: train what is missing, measure, write the report.

    Parameters
    ----------
    name
        A study of `residuum ls`.
    plan
        Only print what would be trained and what it would cost here.
    """
    if plan:
        priced = verbs.plan(name, scope=scope, source=source, machine=machine)
        return Planned(name, scope, priced)
    return verbs.study(name, scope=scope, source=source, machine=machine)


def _json(found: tuple[Study, Path] | Planned) -> dict[str, Any]:
    if not isinstance(found, Planned):
        done, page = found
        return {"report": str(page)} | asdict(done)
    numbers = ("done", "steps", "flops", "seconds", "folder", "measured", "to_measure")
    trials = [
        {"preset": priced.trial.preset, "recipe": priced.trial.recipe.name}
        | {"seed": priced.trial.recipe.seed}
        | {name: getattr(priced, name) for name in numbers}
        | {"folder": str(priced.folder)}
        for priced in found.priced
    ]
    return {"study": found.name, "scale": found.scope.scale, "trials": trials}


@command(study, json=_json, kept=lambda found: not isinstance(found, Planned))
def _study_words(found: tuple[Study, Path] | Planned) -> str:
    """What was found, item by item; or what it would cost."""
    if isinstance(found, Planned):
        return _plan_words(found)
    done, page = found
    rows = []
    for network in done.networks:
        low, high = network.interval
        error = f"test error {network.test_error:.2f} % [{low:.2f}, {high:.2f}]"
        rows.append((f"  {network.name}", network.role, error))
    lines = [f"{done.title}\n{done.data}, scale {done.scale}\n", table(rows)]
    items = table((f"  {r.item}", r.claim.verdict, r.finding) for r in done.results)
    return "\n".join([*lines, "", items, f"\nreport: {page}"])


def _plan_words(found: Planned) -> str:
    """One line a trial, and the sum."""
    rows = [("network", "recipe", "seed", "steps", "FLOPs", "estimate", "training", "measured")]
    for p in found.priced:
        state, all_probes = "finished" if p.done else "to train", p.measured + p.to_measure
        recipe, measured = p.trial.recipe, f"{p.measured} of {all_probes}"
        cost = str(p.steps), f"{p.flops:.1e}", clock(p.seconds)
        rows.append((p.trial.preset, recipe.name, str(recipe.seed), *cost, state, measured))
    seconds, workers = [p.seconds for p in found.priced], found.scope.workers
    together = clock(max([*seconds, sum(seconds) / workers]))
    many = several(workers, "worker")
    total = f"training: about {together} with {many}; measuring comes on top"
    return f"{table(rows)}\n{total}"


@command(verbs.report, json=lambda page: {"report": str(page)}, kept=lambda page: True)
def report(page: Path) -> str:
    """The page's path."""
    return str(page)
