"""export: weights under another library's names, or a whole model for others; checked before they
are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CheckpointError, UsageError, one_line
from ..reader import Pixels
from .requests import Opening, verb

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..units import ResidualNetwork

Library = Literal["torchvision", "timm", "fb", "onnx", "pt2", "hf"]
NAMES = ("torchvision", "timm", "fb")  # those that are names of weights alone
TOLERANCE = 1e-4  # of the largest logit: other orders of summing round otherwise


@dataclass(frozen=True)
class Exported:
    """What was written.

    `counterpart`: what it was compared with, the library's own model or what runs the file; empty
    where there is none here, and `unchecked` says why. `difference`: the largest one between its
    logits and ours, as a share of the largest logit.
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
    run: str | Path,
    *,
    as_: Library,
    output: str | Path,
    model: str | None = None,
    opening: Opening = Opening(),
    image_size: Pixels | None = None,
) -> Exported:
    """Write a model for others: whole, as ONNX, .pt2 or a folder of transformers; or the weights of
    a run under the names of another library.

    What was written is read again and must give what the model gives, on 1, 2 and 5 examples. Of
    weights alone, the library's model of that name is filled with them, and must give the same
    logits; where it builds none, the result says so.

    CheckpointError: unfinished, damaged, or no run; weights that the library's model does not
    answer alike with. UsageError: a network for which the library has no names; a file that exists;
    options that mean nothing here. ExportError: a model that cannot be written whole, or a file
    that answers otherwise, which is kept as NAME.rejected. ResourceError: too large for one file.

    Parameters
    ----------
    run
        A finished run's folder; for whole models also the folder of residuum prune, tv:NAME,
        timm:NAME, hf:FOLDER, module.path:function or a preset.
    as_
        Whole: onnx, pt2 or hf. Names of weights: torchvision, timm, or fb for fb.resnet.torch's.
    output
        The file, FILE.onnx, FILE.pt2 or FILE.safetensors; with hf a new folder.
    model
        What the library calls this network, where it is not the preset's name.
    image_size
        Pixels of the images that the exported model takes; its own by default.
    """
    if as_ not in NAMES:
        if model is not None:
            raise UsageError(
                f"model is of another library's names, and {as_} writes the model whole"
            )
        return _whole(run, as_, Path(output), opening, image_size)
    if opening != Opening() or image_size is not None:
        raise UsageError(f"weights, classes and sizes are the run's own: leave them out with {as_}")
    return _names(run, as_, Path(output), model)


def _whole(
    word: str | Path, as_: Library, output: Path, opening: Opening, image_size: int | None
) -> Exported:
    from .. import surgery
    from ..subjects import open_model
    from ..subjects.pruned import about_of
    from ..surgery.conditions import require_new_file

    if as_ != "hf":
        require_new_file(output, f".{as_}")
    opened = open_model(word, opening, image_size)
    given = opened.inputs
    named = isinstance(given, Mapping)
    args, words = (() if named else (given,)), (dict(given) if named else {})
    write, runs = {
        "onnx": (surgery.write_onnx, "the model, run by onnxruntime"),
        "pt2": (surgery.write_program, "the model, loaded by torch.export"),
        "hf": (surgery.write_folder, "the model, loaded by transformers"),
    }[as_]
    done = write(opened.model, output, *args, about=about_of(opened), **words)
    return Exported(
        *(str(word), opened.origin.source, as_, done.file, done.sha256),
        tensors=len(opened.model.state_dict()),
        counterpart=f"{runs} on {', '.join(map(str, done.batches))} examples",
        difference=done.difference,
    )


def _names(run: str | Path, as_: Library, file: Path, model: str | None) -> Exported:
    _require_new(file)
    from ..networks.weights import weights_as
    from ..presets import find
    from ..presets.libraries import counterpart
    from ..storage import make_folder, write_tensors

    network, preset, classes, about = _own(run)
    tensors = weights_as(network, as_)
    name, theirs = counterpart(as_, model or preset, classes)
    told: dict[str, Any] = {"unchecked": name}
    if theirs is not None:
        size = find(preset).size
        told = {"counterpart": name} | compared(network, theirs, tensors, name, size)
    elif model is not None:
        raise UsageError(f"model {model!r}: {name}")
    entry = write_tensors(make_folder(file.parent), file.name, tensors, about)
    kept = {"file": str(file), "sha256": entry.sha256, "tensors": len(tensors)}
    return Exported(run=Path(run).name, network=preset, library=as_, **kept, **told)


def _require_new(file: Path) -> None:
    if file.suffix != ".safetensors":
        raise UsageError(f"{file}: weights are kept as safetensors; say NAME.safetensors")
    if file.exists():
        raise UsageError(f"{file}: is there already. Choose another --output")


def _own(run: str | Path) -> "tuple[ResidualNetwork, str, int, dict[str, str]]":
    """The finished run's network, its preset, how many classes it has, and what is known of it."""
    from ..subjects.asked import is_pruned
    from ..subjects.pruned import about_run
    from ..subjects.trained import rebuild
    from ..training import Run
    from ..units import ResidualNetwork

    if is_pruned(str(run)):
        raise UsageError(f"{run}: without units it has no names elsewhere. Say --as onnx or pt2")
    opened = Run.open(run)
    network, words = rebuild(opened), opened.network
    assert words is not None  # rebuild has seen to it
    if not isinstance(network, ResidualNetwork):
        named = "its weights.safetensors has torchvision's names already"
        raise UsageError(f"{run}: {words.preset} is torchvision's own model; {named}")
    return network, words.preset, words.classes, about_run(opened)


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
        said = one_line(error)
        raise CheckpointError(f"{name} is another network: {said}. Nothing was written") from error
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs(images), ours(images)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= TOLERANCE:
        differ = f"its logits differ from ours by {difference:.2g} of the largest"
        raise CheckpointError(f"{name} has these names, but {differ}. Nothing was written")
    return {"difference": difference}
