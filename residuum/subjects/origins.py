"""What a word of the command line names: where a model comes from, known before it is built."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from ..data.normalise import Normaliser
from ..errors import CheckpointError, UsageError, nearest
from ..presets import CATALOGUE, build, find
from ..training import Run
from .asked import exists, is_pruned, is_run

Reads = Literal["image", "sequence"]
WORDS = (
    "tv:NAME, timm:NAME, hf:FOLDER, module.path:function, a preset, or the folder of a finished "
    "run or of residuum prune"
)
DEFAULT_CLASSES, DEFAULT_SIZE = 1000, 224


@dataclass(frozen=True)
class Origin:
    """A model that is not built yet.

    `make(classes, size)`: the model with initial weights, drawn from torch's generator; each None
    where the model's own number is meant. `load()`: the model with weights that come with it, those
    of the files `stored`; None where none do. `reads`: images or sequences of tokens; None where
    only the model can tell. `classes`, `size`: its own number of classes, and pixels of a side;
    `fixed`: it takes no other size; `length`: the one number of tokens that it takes, None where it
    takes others too. `normaliser`: what its images are normalised by; None: by what
    the training part says. `tokenizer`: the folder that holds one. `labels`: what it calls its
    classes.
    """

    name: str
    source: str
    make: Callable[[int | None, int | None], nn.Module]
    reads: Reads | None = None
    load: Callable[[], nn.Module] | None = None
    stored: tuple[Path, ...] = ()
    classes: int | None = None
    size: int | None = None
    fixed: bool = False
    length: int | None = None
    normaliser: Normaliser | None = None
    tokenizer: Path | None = None
    labels: tuple[str, ...] = ()
    run: Run | None = None


def origin(word: str | Path) -> Origin:
    """What the word names. Nothing is built, and of a run only its description is read.

    UsageError: an unknown name (with the nearest), a library that is not installed, a folder or a
    module that does not fit. CheckpointError: a folder that is no run, or a damaged one.
    """
    from .functions import function_of
    from .hugging_face import transformers_folder
    from .libraries import timm_model, torchvision_model
    from .pruned import pruned_folder

    kinds = {"tv": torchvision_model, "timm": timm_model, "hf": transformers_folder}
    name = str(word)
    kind, colon, rest = name.partition(":")
    if colon and kind in kinds:
        return kinds[kind](rest)
    if is_pruned(name):
        return pruned_folder(name)
    if isinstance(word, Path) or is_run(name):
        return finished_run(name)
    if colon:
        return function_of(name)
    if "/" in name or exists(Path(name)):
        return finished_run(name)
    return preset_of(name)


def moments(mean: tuple[float, ...], std: tuple[float, ...]) -> Normaliser:
    """Of channels, on the scale 0-1 as libraries write them."""
    return Normaliser(255 * torch.tensor(mean), 255 * torch.tensor(std))


def preset_of(name: str) -> Origin:
    """One of our own networks. UsageError: no such name, with the nearest."""
    try:
        row = find(name)
    except UsageError as error:
        if not str(error).startswith("unknown preset"):
            raise
        near = nearest(name, CATALOGUE)
        raise UsageError(f"{name}: not a run folder, nor a model's name.{near} {WORDS}") from error
    sized = "size" in row.options

    def make(classes: int | None, size: int | None) -> nn.Module:
        options = {"size": size} if sized and size is not None else {}
        return build(name, row.classes if classes is None else classes, None, **options)

    return Origin(
        *(name, f"residuum {version('residuum')}", make, "image"),
        classes=row.classes,
        size=row.size,
    )


def finished_run(folder: str) -> Origin:
    """CheckpointError: no run, a damaged one, or one whose network was somebody's own."""
    from .trained import rebuild

    run = Run.open(folder)
    words = run.network
    if words is None:
        raise CheckpointError(f"{folder}: run.json does not name a preset, so nothing can build it")

    def make(classes: int | None, size: int | None) -> nn.Module:
        return build(words.preset, words.classes, None, **words.options)

    def load() -> nn.Module:
        return rebuild(run)

    return Origin(
        *(folder, words.preset, make, "image", load),
        classes=words.classes,
        size=run.data.size[0],
        fixed=True,
        stored=(run.folder / run.outcome.weights.file,) if run.finished else (),
        run=run,
    )
