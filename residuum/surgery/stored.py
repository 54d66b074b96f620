"""A model without units, in a folder from which it is built again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import CheckpointError, UsageError
from ..networks import fingerprint
from ..networks.weights import load_weights, require_finite
from ..presets import build
from ..reader import Count, Pixels, Whole, plain, read
from ..storage import (
    Digest,
    Entry,
    json_digest,
    new_folder,
    read_tensors,
    write_json,
    write_tensors,
)
from ..training import Blueprint
from ..units import ResidualNetwork
from ..views.edits import device_of
from ..views.foreign import ForeignView, unravel
from ..views.trace import bare
from .conditions import About, described, itself
from .own import without_units
from .removal import on_inputs, removed

SCHEMA = 2
FILE, WEIGHTS = "removed.json", "weights.safetensors"


@dataclass(frozen=True)
class Shape:
    """Of one input tensor."""

    size: tuple[Whole, ...]
    dtype: str  # as torch names it, "float32"


@dataclass(frozen=True)
class Word:
    """A model as it was asked for, and what it was built for (None: what is its own). `files`: the
    digests of those that say what it is, where they were brought along."""

    name: str
    classes: Count | None = None
    size: Pixels | None = None
    files: Mapping[str, Digest] = field(default_factory=dict)


@dataclass(frozen=True)
class Shortened:
    """What removed.json says: a model without the units `removed`, numbered as there.

    `network`: the model as a preset of ours; `word`: any other, with the `inputs` and `keywords` by
    which its units were found. `structure`: a digest of what is left,
    apart from its weights.
    """

    removed: tuple[Whole, ...]
    structure: Digest
    weights: Entry
    network: Blueprint | None = None
    word: Word | None = None
    inputs: tuple[Shape, ...] = ()
    keywords: Mapping[str, Shape] = field(default_factory=dict)


def save(
    network: ResidualNetwork,
    folder: str | Path,
    blueprint: Blueprint,
    units: Collection[int],
    about: About | None = None,
) -> Shortened:
    """Keep a network from which these units of a preset were removed: weights.safetensors, in whose
    metadata `about` stands, and removed.json.

    UsageError: the preset without these units is another network; a lesion in place; a folder that
    is not empty.
    """
    numbers = tuple(sorted(units))
    own = bare(network)
    structure = fingerprint.digest(own)
    if fingerprint.digest(_shape(blueprint, numbers)) != structure:
        raise UsageError(
            f"{blueprint.preset} without units {list(numbers)} is another network than this one"
        )
    require_finite(own.state_dict(), "the network", CheckpointError)
    return _write(own, folder, about, removed=numbers, structure=structure, network=blueprint)


def save_model(
    small: nn.Module,
    folder: str | Path,
    view: ForeignView,
    units: Collection[int],
    word: Word,
    make: Callable[[], nn.Module],
    about: About | None = None,
) -> Shortened:
    """The same of any model that `word` names and `make()` builds, with whatever weights; `small`
    is it without these units. What comes back must give the same bits before it is kept.

    CheckpointError: the model is not built again from its word (keep it as .pt2). UsageError: as
    `save`.
    """
    numbers, small = tuple(sorted(units)), bare(small)
    with new_folder(Path(folder)) as between:
        kept = _write(
            small,
            between,
            about,
            removed=numbers,
            structure=_structure(small),
            word=word,
            inputs=tuple(map(_shape_of, view.units.inputs)),
            keywords={name: _shape_of(each) for name, each in view.units.keywords.items()},
        )
        again = load(between, make()).to(device_of(view.model))
        same = zip(on_inputs(view, small), on_inputs(view, again), strict=True)
        if not all(torch.equal(ours, theirs) for ours, theirs in same):
            raise CheckpointError(f"{word.name}: what is built again gives something else")
    return kept


def _write(model: nn.Module, folder: str | Path, about: About | None, **words: Any) -> Shortened:
    model = itself(model)
    with new_folder(Path(folder)) as between:
        said = described(model, about)
        kept = Shortened(weights=write_tensors(between, WEIGHTS, model.state_dict(), said), **words)
        write_json(between, FILE, plain(kept), SCHEMA)
    return kept


def about(folder: str | Path) -> dict[str, str]:
    """What is known of the model in the folder. CheckpointError: none there, or damaged."""
    where = Path(folder)
    return read_tensors(where / WEIGHTS, description(where).weights).metadata


def description(folder: str | Path) -> Shortened:
    """What removed.json says. CheckpointError: none there, or damaged."""
    return read(Path(folder) / FILE, Shortened, CheckpointError, SCHEMA, "Remove the units again")


def load(folder: str | Path, model: nn.Module | None = None) -> nn.Module:
    """The network that `save` kept, in evaluation mode; or what `save_model` kept, where `model` is
    what its word builds, with whatever weights (it is not changed).

    CheckpointError: none there, damaged, or what is built now is another. UsageError: the model is
    not given.
    """
    where, kept = Path(folder), description(folder)
    found = read_tensors(where / kept.weights.file, kept.weights).tensors
    if kept.network is not None:
        network = _shape(kept.network, kept.removed)
        if fingerprint.digest(network) != kept.structure:
            raise CheckpointError(
                f"{where}: {kept.network.preset} is another network in this version"
            )
        load_weights(network, found, str(where / kept.weights.file))
        return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if kept.word is None:
        raise CheckpointError(f"{where / FILE}: names neither a network nor a word")
    if model is None:
        name = kept.word.name
        raise UsageError(f"{where}: made of {name}: give the model that this word builds")
    small = _removed_again(where, kept, model)
    small.load_state_dict(found)
    return small.eval()


def _removed_again(where: Path, kept: Shortened, model: nn.Module) -> nn.Module:
    assert kept.word is not None
    name = kept.word.name
    inputs = [_example(each) for each in kept.inputs]
    keywords = {name: _example(each) for name, each in kept.keywords.items()}
    try:
        view = unravel(model.eval(), *inputs, **keywords)
        small = removed(view, kept.removed)
    except UsageError as error:
        raise CheckpointError(f"{where}: {name} has changed: {error}") from error
    if _structure(small) != kept.structure:
        raise CheckpointError(
            f"{where}: {name} without units {list(kept.removed)} is another model here than "
            "the one that was kept"
        )
    return small


def _shape(blueprint: Blueprint, units: Collection[int]) -> ResidualNetwork:
    with torch.random.fork_rng([]):
        network = build(blueprint.preset, blueprint.classes, seed=0, **blueprint.options)
    if not isinstance(network, ResidualNetwork):
        raise UsageError(f"{blueprint.preset} is not one of our own networks; keep it as .pt2")
    return without_units(network, units)


def _structure(model: nn.Module) -> str:
    """A digest of names and shapes of its weights, and of its operations with all that they are
    given where it is a graph; else of how it prints itself."""
    tensors = [[n, str(t.dtype), list(t.shape)] for n, t in model.state_dict().items()]
    graph = model.graph.nodes if isinstance(model, fx.GraphModule) else ()
    calls = [[n.op, str(n.target), str(n.args), str(n.kwargs)] for n in graph] or repr(model)
    return json_digest([type(model).__name__, tensors, calls])


def _shape_of(value: Any) -> Shape:
    if not isinstance(value, Tensor):
        raise CheckpointError(f"an input that is no tensor ({type(value).__name__}) is not kept")
    return Shape(tuple(value.shape), str(value.dtype).removeprefix("torch."))


def _example(shape: Shape) -> Tensor:
    """Any values: noise, or zeros where they are whole numbers."""
    dtype = getattr(torch, shape.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise CheckpointError(f"{shape.dtype!r} is no type of tensors")
    if not dtype.is_floating_point:
        return torch.zeros(shape.size, dtype=dtype)
    return torch.randn(shape.size, generator=torch.Generator().manual_seed(0)).to(dtype)
