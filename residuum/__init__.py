"""Residuum: build, train and dissect residual networks.

    network = residuum.preset("preresnet110", classes=10)      the networks of the papers, by their names
    run = residuum.train("preresnet20", data="digits")         a run folder that describes itself and resumes exactly
    residuum.anatomy, residuum.studies, residuum.report        dissection, the papers' figures, the page

Names load when they are used: importing the package is quick and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import anatomy, data, experiments, networks, parts, report, results, studies, training, units, verbs
    from .experiments.subject import rebuild
    from .presets import preset
    from .training import Machine, Recipe, Run
    from .units import ResidualNetwork, ResidualUnit, Row
    from .verbs import evaluate, info, ls, paths, study, train
    from .views import unravel

_HOMES = {
    "preset": "presets",
    "rebuild": "experiments.subject",
    **dict.fromkeys(("Machine", "Recipe", "Run"), "training"),
    "unravel": "views",
    **dict.fromkeys(("ResidualNetwork", "ResidualUnit", "Row"), "units"),
    **dict.fromkeys(("evaluate", "info", "ls", "paths", "study", "train"), "verbs"),
}
_MODULES = (
    *("anatomy", "data", "experiments", "networks", "parts", "report"),
    *("results", "studies", "training", "units", "verbs"),
)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'residuum' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_MODULES, *_HOMES])
