"""A trial: preset x options x recipe, as plain data: priced before it is run, found again after."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import presets, progress

if TYPE_CHECKING:
    from torch import nn

    from ..data import Dataset
    from ..training import Blueprint, Machine, Recipe, Run
    from ..units import ResidualNetwork

SMALL, MANY = 16, 54  # pixels of a side, and units (of 110 layers) that are advised against there


@dataclass(frozen=True)
class Trial:
    """What is trained. Equal trials are one run, in whatever study they occur."""

    preset: str
    recipe: "Recipe"
    options: Mapping[str, Any] = field(default_factory=dict)

    def blueprint(self, classes: int) -> "Blueprint":
        """How a run folder names its network."""
        from ..training import Blueprint

        return Blueprint(self.preset, classes, dict(self.options))

    def folder(self, root: Path, data: "Dataset", machine: "Machine") -> Path:
        """`root`/NAME-HASH, the hash over what changes the numbers (training/description.py)."""
        import torch

        from ..networks.fingerprint import digest
        from ..training.description import Identity

        blueprint, content = self.blueprint(len(data.classes)), data.describe().digest
        with torch.device("meta"):
            structure = digest(self.build(len(data.classes)))
        identity = Identity(blueprint, structure, self.recipe, content, machine.precision)
        return root / f"{self.preset.replace(':', '-')}-{identity.digest[:10]}"

    def build(self, classes: int) -> "nn.Module":
        """The network with the initial weights of the recipe's seed."""
        return presets.build(self.preset, classes, self.recipe.seed, **self.options)

    def require_batches(self, data: "Dataset") -> None:
        """UsageError or DataError where the recipe cannot be followed on the data, before work."""
        from ..training.epoch import require_data

        require_data(data, self.recipe)

    def _teacher(self) -> "nn.Module | None":
        """The network that the recipe learns from, of a finished run."""
        from ..subjects.trained import rebuild
        from ..training import Run
        from ..training.schemes import Hints

        if not isinstance(self.recipe.scheme, Hints):
            return None
        return rebuild(Run.open(self.recipe.scheme.resolved().teacher))

    def train(self, data: "Dataset", folder: Path, machine: "Machine") -> "Run":
        """Train, go on, or find it finished.

        The gradient of the first unit's first convolution is recorded (Huang et al. 2016, fig. 7);
        a `tv:` model has no units.
        UsageError: images of this size do not pass. Else what `residuum.training.train` raises.
        """
        from ..training import About, train
        from ..units import ResidualNetwork

        network = self.build(len(data.classes))
        watch = None
        if isinstance(network, ResidualNetwork):
            advise(self.preset, network, data)
            watch = first_convolution(network)
        blueprint = self.blueprint(len(data.classes))
        about = About(blueprint, watch, self.preset, self._teacher())
        return train(network, data, self.recipe, folder, machine, about)


def advise(name: str, network: "ResidualNetwork", data: "Dataset") -> None:
    """Warns, before the hours are spent, of a network that is made for larger images."""
    from ..views.own import leaves

    made_for, units = presets.find(name).size, sum(1 for _ in leaves(network))
    pixels = f"{data.size}x{data.size} pixels"
    if made_for > 4 * data.size:
        progress.say(
            f"warning: {name} is made for images of {made_for} pixels; these have {pixels}"
        )
    if data.size < SMALL and units > MANY:
        progress.say(
            f"warning: {name} has {units} units, far more than images of {pixels} need; "
            "preresnet56 has 27"
        )


def first_convolution(network: "ResidualNetwork") -> str:
    """The parameter name of the first convolution of the first unit."""
    from ..views.own import leaves

    first = next(leaves(network))
    weight = next(p for p in first.branch.parameters() if p.ndim > 1)
    return next(name for name, p in network.named_parameters() if p is weight)
