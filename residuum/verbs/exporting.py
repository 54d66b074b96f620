"""export: a finished run's weights under another library's names, checked before they are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CheckpointError, UsageError
from .requests import verb

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..units import ResidualNetwork

Library = Literal["torchvision", "timm", "fb"]
TOLERANCE = 1e-4  # of the largest logit: other orders of summing round otherwise


@dataclass(frozen=True)
class Exported:
    """What was written.

    `counterpart`: the library's own model; empty where there is none here, and `unchecked` says
    why. `difference`: the largest one between its logits and ours, as a share of the largest logit.
    """

    run: str
    network: str
    library: Library
    file: str
    sha256: str
    tensors: int
    counterpart: str = ""
    difference: float | None = None
    unchecked: str = ""


@verb
def export(
    run: str | Path, *, as_: Library, output: str | Path, model: str | None = None
) -> Exported:
    """Write a finished run's weights under the names of another library (safetensors).

    Where the library builds a model of that name, it is filled with them, and must give the same
    logits; where not, the result says so.

    CheckpointError: unfinished, damaged, or no run; the library's model is another network.
    UsageError: a network for which the library has no names; a file that exists.

    Parameters
    ----------
    run
        The run's folder.
    as_
        Whose names: torchvision, timm, or fb for fb.resnet.torch's.
    output
        The file, FILE.safetensors.
    model
        What the library calls this network, where it is not the preset's name.
    """
    _require_new(file := Path(output))
    from ..networks.weights import weights_as
    from ..presets import find
    from ..presets.libraries import counterpart
    from ..storage import make_folder, write_tensors

    network, preset, classes = _own(run)
    tensors = weights_as(network, as_)
    name, theirs = counterpart(as_, model or preset, classes)
    told: dict[str, Any] = {"unchecked": name}
    if theirs is not None:
        size = find(preset).size
        told = {"counterpart": name} | compared(network, theirs, tensors, name, size)
    elif model is not None:
        raise UsageError(f"model {model!r}: {name}")
    entry = write_tensors(make_folder(file.parent), file.name, tensors)
    kept = {"file": str(file), "sha256": entry.sha256, "tensors": len(tensors)}
    return Exported(run=Path(run).name, network=preset, library=as_, **kept, **told)


def _require_new(file: Path) -> None:
    if file.suffix != ".safetensors":
        raise UsageError(f"{file}: weights are kept as safetensors; say NAME.safetensors")
    if file.exists():
        raise UsageError(f"{file}: is there already. Choose another --output")


def _own(run: str | Path) -> "tuple[ResidualNetwork, str, int]":
    """The finished run's network, its preset and how many classes it has."""
    from ..subjects.trained import rebuild
    from ..training import Run
    from ..units import ResidualNetwork

    opened = Run.open(run)
    network, words = rebuild(opened), opened.network
    assert words is not None  # rebuild has seen to it
    if not isinstance(network, ResidualNetwork):
        named = "its weights.safetensors has torchvision's names already"
        raise UsageError(f"{run}: {words.preset} is torchvision's own model; {named}")
    return network, words.preset, words.classes


def compared(
    ours: "nn.Module", theirs: "nn.Module", tensors: "Mapping[str, Tensor]", name: str, size: int
) -> dict[str, float]:
    """The largest difference of logits over the largest logit, on two random images.

    CheckpointError: other names or shapes there, or a difference that is no rounding.
    """
    import torch

    try:
        theirs.load_state_dict(dict(tensors))
    except RuntimeError as error:
        said = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{name} is another network: {said}. Nothing was written") from error
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs(images), ours(images)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= TOLERANCE:
        differ = f"its logits differ from ours by {difference:.2g} of the largest"
        raise CheckpointError(f"{name} has these names, but {differ}. Nothing was written")
    return {"difference": difference}
