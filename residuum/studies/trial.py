"""A trial: preset x recipe x data, as plain data, so that it can be priced before it is run and found again after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .. import progress
from ..data import Dataset
from ..errors import CheckpointError, UsageError
from ..networks.structure import digest
from ..presets import preset
from ..training import About, Blueprint, Machine, Recipe, Run, train
from ..training.checkpoint import load_weights
from ..training.description import Identity, require_structure
from ..units import ResidualNetwork
from ..views.own import leaves


@dataclass(frozen=True)
class Trial:
    """What is trained. Two trials with the same content are the same run, in whatever study they occur."""

    preset: str
    recipe: Recipe
    options: Mapping[str, Any] = field(default_factory=dict)

    def blueprint(self, classes: int) -> Blueprint:
        """How a run folder names its network."""
        return Blueprint(self.preset, classes, dict(self.options))

    def folder(self, root: Path, data: Dataset, machine: Machine) -> Path:
        """`root`/NAME-HASH, the hash over what changes the numbers (training/description.py)."""
        blueprint = self.blueprint(len(data.classes))
        with torch.device("meta"):
            structure = digest(self.build(len(data.classes)))
        identity = Identity(blueprint, structure, self.recipe, data.describe().digest, machine.precision)
        return root / f"{self.preset}-{identity.digest[:10]}"

    def build(self, classes: int) -> ResidualNetwork:
        """The network with the initial weights of the recipe's seed."""
        return preset(self.preset, classes, self.recipe.seed, **self.options)

    def train(self, data: Dataset, folder: Path, machine: Machine) -> Run:
        """Train, go on, or find it finished; the gradient of the first unit's first convolution is recorded."""
        network = self.build(len(data.classes))
        require_size(network, data, self.preset)
        about = About(self.blueprint(len(data.classes)), first_convolution(network), self.preset)
        return train(network, data, self.recipe, folder, machine, about)


def require_size(network: ResidualNetwork, data: Dataset, name: str) -> None:
    """UsageError before any work where pictures of this size cannot pass through the network."""
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, data.size, data.size))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{name}: pictures of {data.size}x{data.size} pixels do not pass ({reason})") from error
    finally:
        network.train()


def first_convolution(network: ResidualNetwork) -> str:
    """The parameter name of the first convolution of the first unit (Huang et al. 2016, fig. 7)."""
    first = next(leaves(network))
    weight = next(p for p in first.branch.parameters() if p.ndim > 1)
    return next(name for name, p in network.named_parameters() if p is weight)


def rebuild(run: Run) -> ResidualNetwork:
    """The finished run's network with its weights, in evaluation mode.

    CheckpointError: unfinished or damaged, or the preset builds another network now than was trained.
    """
    words = run.network
    if words is None:
        raise CheckpointError(f"{run.folder}: run.json does not name a preset; build the network and load run.weights()")
    network = preset(words.preset, words.classes, seed=0, **words.options)
    require_structure(run.folder, run.description.structure, network)
    load_weights(network, run.weights(), str(run.folder))
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def train_all(trials: Sequence[Trial], data: Dataset, root: Path, machine: Machine, workers: int = 1) -> list[Run]:
    """All trials, `workers` processes at a time, each with `machine.threads` threads. Finished ones are only found."""
    folders = [trial.folder(root, data, machine) for trial in trials]
    waiting = [(t, f) for t, f in zip(trials, folders, strict=True) if not (f / "done.json").exists()]
    if workers <= 1 or len(waiting) <= 1:
        for trial, folder in waiting:
            trial.train(data, folder, machine)
    else:
        from joblib import Parallel, delayed

        calls = (delayed(_train_apart)(t, data, f, machine, progress.quiet) for t, f in waiting)
        Parallel(n_jobs=min(workers, len(waiting)))(calls)
    return [Run.open(folder) for folder in folders]


def _train_apart(trial: Trial, data: Dataset, folder: Path, machine: Machine, quiet: bool) -> None:
    progress.quiet = quiet
    trial.train(data, folder, machine)


def describe_trial(trial: Trial) -> dict[str, Any]:
    return {"preset": trial.preset, "options": dict(trial.options), "recipe": trial.recipe.name}
