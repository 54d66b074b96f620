"""A finished run on the table: its network as it was trained, with the data to measure it on."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from .. import progress
from ..anatomy.deletions import spread_out
from ..data import Dataset, Images
from ..data.crops import pixels_of
from ..data.images import hold_out
from ..data.normalise import Normaliser, fit
from ..errors import CheckpointError, DataError
from ..networks.weights import load_weights
from ..presets import build
from ..training import Run
from ..training.description import require_structure


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode, its run and data. Images are normalised, not augmented."""

    run: Run
    network: nn.Module
    data: Dataset

    @property
    def name(self) -> str:
        assert self.run.network is not None  # rebuild has seen to it
        return self.run.network.preset

    def test(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """n test images (None: all) at equal distances, (n, 3, H, W), and their labels, (n,)."""
        return self._examples(self.data.test, n)

    def train(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """The same of what was trained on."""
        return self._examples(self._trained_on, n)

    def _examples(self, part: Images, n: int | None) -> tuple[Tensor, Tensor]:
        pixels = pixels_of(part, self.normaliser, "cpu", crop=self.run.recipe.crop)
        return pixels.batch(spread_out(len(pixels), len(pixels) if n is None else n))

    @cached_property
    def _trained_on(self) -> Images:
        return hold_out(self.data.train, self.run.recipe.validation)[0]

    @cached_property
    def normaliser(self) -> Normaliser:
        return fit(self._trained_on, self.run.recipe.normalisation)


def open_trained(run: Run, data: Dataset, device: str = "cpu") -> Trained:
    """The finished run's network on the device. DataError: other data than it was trained on."""
    require_data(run, data)
    return Trained(run, rebuild(run).to(device), data)


def rebuild(run: Run) -> nn.Module:
    """The finished run's network with its weights, in evaluation mode.

    CheckpointError: unfinished or damaged, or the preset builds another network than was trained.
    """
    words = run.network
    if words is None:
        raise CheckpointError(
            f"{run.folder}: run.json does not name a preset; build the network and load "
            "run.weights()"
        )
    network = build(words.preset, words.classes, seed=0, **words.options)
    require_structure(run.folder, run.description.structure, network)
    load_weights(network, run.weights(), str(run.folder))
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def require_data(run: Run, data: Dataset) -> None:
    """DataError: other classes or another size than in training. Warns of other images."""
    trained, given = run.data, data.describe()
    for what in ("classes", "size"):
        ours, theirs = getattr(given, what), getattr(trained, what)
        if ours != theirs:
            raise DataError(
                f"{run.folder}: trained on {len(theirs)} {what} {list(theirs[:5])}, but "
                f"{data.name} has {len(ours)} {what} {list(ours[:5])}. Give the same data"
            )
    if trained.digest != given.digest:
        progress.say(
            f"warning: these are not the images that {run.folder} was trained on (another digest)"
        )
