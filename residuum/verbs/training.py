"""Training a preset by a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..machine import Machine
from .requests import NetworkOptions, Source, Training, verb

if TYPE_CHECKING:
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
    """Train a preset, or torchvision's tv:NAME, into a run folder; run again it goes on.

    The recipe is by default "digits" for images below 16 pixels and "fb-cifar" above. Raises what
    `residuum.training.train` raises.

    Parameters
    ----------
    preset
        A name of `residuum ls`, another depth of its family, or tv:NAME.
    output
        The run folder; runs/NAME-HASH by default.
    """
    from ..experiments.trial import Trial
    from ..presets import find, require_model

    options = network.given()
    sized = None
    if preset.startswith("tv:"):
        require_model(preset)
    elif "size" in (row := find(preset)).options:
        sized = row.size
    training.choose(image_size=32)  # like a wrong preset, told before the data are read
    data = source.load()
    if sized not in (None, data.size):
        options = {"size": data.size} | options
    trial = Trial(preset, training.choose(data.size), options)
    folder = Path(output) if output else trial.folder(Path("runs"), data, machine)
    return trial.train(data, folder, machine)
