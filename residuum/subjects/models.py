"""A model from a word, with its weights, where no data are needed."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from .. import progress
from ..errors import UsageError, out_of_memory
from ..parts.modes import evaluating
from ..views import View, unravel
from ..views.inputs import Inputs, take, tensors
from .asked import Opening
from .origins import DEFAULT_SIZE, Origin, Reads, origin
from .text import sequence_length, vocabulary
from .weights import digest, drawn, filled, made, the_file

T = TypeVar("T")
INITIAL = "nothing was learned"
SHORT = 16  # tokens of a made-up sequence


@dataclass(frozen=True)
class Opened:
    """A model in evaluation mode, before it has data. `weights`: in words, where they are from;
    empty where it was built without any. `reads`: images or sequences; `inputs`: two made up,
    as its forward takes them."""

    origin: Origin
    model: nn.Module
    weights: str
    reads: Reads
    inputs: Inputs

    @property
    def view(self) -> View:
        return seen(self.model, self.inputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return tuple(tensors(self.inputs)[0].shape[1:])


def open_model(
    word: str | Path,
    opening: Opening = Opening(),
    image_size: int | None = None,
    device: str = "cpu",
) -> Opened:
    """The model that the word names, with two made-up examples, where no data are needed.

    On the device "meta" it is built without weights, however large it is; where its own code asks
    for values, it has initial ones all the same.

    Raises what `origin` raises. UsageError: options that the model does not have; a function's
    model that fails. CheckpointError: weights that do not fit.
    """
    start = origin(word)
    if device == "meta":
        require_options(start, opening)
        model, weights = _outline(start, opening, image_size), ""
    else:
        model, weights = build(start, opening, opening.classes, image_size)
        model = model.to(device)
    reads = _reads(start, model)
    if reads == "sequence" and image_size is not None:
        raise UsageError(f"image_size is of images, and {start.name} reads tokens. Leave it out")
    if reads == "image" and opening.length is not None:
        raise UsageError(f"length is of tokens, and {start.name} reads images. Leave it out")
    inputs = made_up(start, evaluating(model), reads, image_size, opening.length)
    return Opened(start, model, weights, reads, inputs)


def build(
    start: Origin, opening: Opening, classes: int | None, size: int | None
) -> tuple[nn.Module, str]:
    """The model on the CPU, and in words where its weights are from; initial ones are announced."""
    require_options(start, opening)
    if opening.weights is not None:
        file = the_file(opening.weights)
        return evaluating(filled(start, file, classes, size)), _said(file)
    if start.load is not None:
        return evaluating(start.load()), "; ".join(map(_said, start.stored))
    seed = opening.initial_seed or 0
    model = evaluating(made(start, classes, size, seed))
    words = f"initial weights of seed {seed}: {INITIAL}"
    if start.reads is None:
        words = f"as {start.name} gives them (torch's seed was {seed})"
    else:
        progress.say(f"{start.name}: {words}")
    return model, words


def _said(file: Path) -> str:
    return f"{file}, sha256 {digest(file)}"


def _outline(start: Origin, opening: Opening, size: int | None) -> nn.Module:
    """Without weights in memory, where its code allows that."""
    with drawn(0):
        try:
            with torch.device("meta"):
                return start.make(opening.classes, size)
        except Exception as error:
            if out_of_memory(error):
                raise
        return start.make(opening.classes, size)


def require_options(start: Origin, opening: Opening) -> None:
    """UsageError: an option that means nothing here is not accepted in silence."""
    if start.run is not None and (opening.weights or opening.classes):
        what = "weights" if opening.weights else "classes"
        raise UsageError(f"{start.name} is a finished run, which has its own {what}")
    learned = opening.weights is not None or start.load is not None
    if learned and opening.initial_seed is not None:
        raise UsageError(f"initial_seed is of initial weights, and {start.name} has learned ones")
    if start.load is not None and opening.weights is None and opening.classes is not None:
        own = f"it comes with weights for {start.classes} classes"
        if opening.classes != start.classes:
            raise UsageError(f"classes: {start.name} has its own number, {own}")
    if start.reads == "sequence" and opening.classes is not None:
        raise UsageError(f"classes are of images, and {start.name} reads tokens. Leave it out")


def _reads(start: Origin, model: nn.Module) -> Reads:
    """Of a function's model, what its layers and its forward say."""
    if start.reads is not None:
        return start.reads
    if _named_input(model):
        return "sequence"
    kinds = {type(module) for module in model.modules()}
    return "sequence" if nn.Embedding in kinds and nn.Conv2d not in kinds else "image"


def _named_input(model: nn.Module) -> bool:
    return "input_ids" in inspect.signature(model.forward).parameters


def as_inputs(start: Origin, model: nn.Module, tensor: Tensor) -> Inputs:
    """The tensor as the model's forward takes it: by keyword where it is a model of transformers
    or names its tokens so."""
    if hasattr(model, "main_input_name"):
        name = str(model.main_input_name)
        named = {name: tensor}
        if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
            named[f"decoder_{name}"] = tensor
        return named
    return {"input_ids": tensor} if _named_input(model) else tensor


def made_up(
    start: Origin, model: nn.Module, reads: Reads, size: int | None, length: int | None
) -> Inputs:
    """Two examples: noise, or tokens; without values where the model has none."""
    source = torch.Generator().manual_seed(0)
    if reads == "image":
        side = size or start.size or DEFAULT_SIZE
        tensor = torch.randn(2, 3, side, side, generator=source)
    else:
        many = sequence_length(start, model, length, SHORT)
        tensor = torch.randint(vocabulary(model), (2, many), generator=source)
    without = any(p.is_meta for p in model.parameters())
    return as_inputs(start, model, tensor.to("meta") if without else tensor)


def seen(model: nn.Module, inputs: Inputs) -> View:
    """`unravel`, on two of the inputs."""
    return on_two(unravel, model, inputs)


def on_two(function: Callable[..., T], model: nn.Module, inputs: Inputs) -> T:
    """`unravel` or `discover`, given two of the inputs as the model's forward takes them."""
    two = take(inputs, slice(0, 2))
    with torch.device("meta") if any(p.is_meta for p in model.parameters()) else nullcontext():
        return function(model, **two) if isinstance(two, Mapping) else function(model, two)
