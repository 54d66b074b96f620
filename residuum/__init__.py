"""Residuum: build, train and dissect residual networks.

    network = residuum.preset("preresnet110", classes=10)     the papers' networks, by their names
    run = residuum.train("preresnet20", data="digits")        a run folder that resumes exactly
    residuum.lesion(run.folder)                               what deleting each unit does to it
    residuum.study("veit2016", data="digits")                 a paper's figures, and their page

Every command of the command line is a function here (`verbs`). Names load when they are used:
importing the package is quick and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        anatomy,
        data,
        experiments,
        networks,
        pages,
        parts,
        presets,
        results,
        studies,
        training,
        units,
        verbs,
        views,
    )
    from .experiments.subject import rebuild
    from .machine import Machine
    from .presets import preset
    from .training import Recipe, Run
    from .units import ResidualNetwork, ResidualUnit, Row
    from .verbs import diff, evaluate, info, lesion, ls, paths, plan, report, runs, study, train
    from .views import unravel

_NAMES = {  # of a module: what stands at the top
    "experiments.subject": "rebuild",
    "machine": "Machine",
    "presets": "preset",
    "training": "Recipe Run",
    "units": "ResidualNetwork ResidualUnit Row",
    "verbs": "diff evaluate info lesion ls paths plan report runs study train",
    "views": "unravel",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
_MODULES = {*_NAMES} - {"experiments.subject", "machine"}
_MODULES |= {"anatomy", "data", "experiments", "networks", "pages", "parts", "results", "studies"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'residuum' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_MODULES, *_HOMES])
