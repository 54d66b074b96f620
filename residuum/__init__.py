"""Residuum: build, train and dissect residual networks.

    network = residuum.preset("preresnet110", classes=10)     the papers' networks, by their names
    run = residuum.train("preresnet20", data="digits")        a run folder that resumes exactly
    residuum.lesion(run.folder)                               what deleting each unit does to it
    residuum.study("veit2016", data="digits")                 a paper's figures, and their page

Every command of the command line is a function here (`verbs`). Names load when they are used:
importing the package is quick and needs no torch.
"""

from typing import TYPE_CHECKING

from .lazy import lazy

if TYPE_CHECKING:
    from . import (
        anatomy,
        data,
        dissection,
        experiments,
        networks,
        pages,
        parts,
        presets,
        results,
        studies,
        surgery,
        training,
        units,
        verbs,
        views,
    )
    from .machine import Machine
    from .networks.weights import load_weights
    from .presets import preset
    from .subjects.trained import rebuild
    from .training import Recipe, Run
    from .units import ResidualNetwork, ResidualUnit, Row
    from .verbs import (
        cache,
        diff,
        dissect,
        evaluate,
        export,
        info,
        lesion,
        ls,
        map_units,
        paths,
        plan,
        prune,
        report,
        runs,
        similarity,
        study,
        train,
    )
    from .views import discover, unravel

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".subjects.trained": "rebuild",
        ".machine": "Machine",
        ".networks.weights": "load_weights",
        ".presets": "preset",
        ".training": "Recipe Run",
        ".units": "ResidualNetwork ResidualUnit Row",
        ".verbs": "cache diff dissect evaluate export info lesion ls map_units paths plan prune"
        " report runs similarity study train",
        ".views": "discover unravel",
    },
    (
        *("anatomy", "data", "dissection", "experiments", "networks", "pages", "parts", "presets"),
        *("results", "studies", "surgery", "training", "units", "verbs", "views"),
    ),
)
