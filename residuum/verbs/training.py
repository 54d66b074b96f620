"""Training a preset by a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..machine import Machine
from ..presets.index import listed
from .requests import NetworkOptions, Source, Training, verb

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training import Run


@verb
def train(
    preset: str,
    *,
    output: str | Path | None = None,
    training: Training = Training(),
    source: Source = Source(),
    network: NetworkOptions = NetworkOptions(),
    machine: Machine = Machine(),
) -> "Run":
    """Train a preset into a run folder; run it again to go on where it stopped.

    The recipe is by default "digits" for images below 16 pixels and "fb-cifar" above. Raises what
    `residuum.training.train` raises.

    Parameters
    ----------
    preset
        A name of `residuum ls`, or another depth of its family.
    output
        The run folder; runs/NAME-HASH by default.
    """
    from ..experiments.trial import Trial

    _require_preset(preset)
    training.choose(image_size=32)  # a wrong word is told before the data are read
    data = source.load()
    trial = Trial(preset, training.choose(data.size), fitted(preset, data, network))
    folder = Path(output) if output else trial.folder(Path("runs"), data, machine)
    return trial.train(data, folder, machine)


def fitted(preset: str, data: "Dataset", network: NetworkOptions) -> dict[str, Any]:
    """The options, with the images' size where the network must know it and it is not its own."""
    from ..presets import find

    row = find(preset)
    wanted = {"size": data.size} if "size" in row.options and data.size != row.size else {}
    return wanted | dict(network.given())


def _require_preset(preset: str) -> None:
    """UsageError before the data are read."""
    if preset not in listed():
        from ..presets import find

        find(preset)
