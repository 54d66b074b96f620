"""A network of ours without units, in a folder from which it is built again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import CheckpointError, UsageError
from ..networks import fingerprint
from ..networks.weights import load_weights, require_finite
from ..presets import build
from ..reader import Whole, plain, read
from ..storage import Digest, Entry, make_folder, read_tensors, write_json, write_tensors
from ..training import Blueprint
from ..units import ResidualNetwork
from .own import without_units

SCHEMA = 1
FILE = "removed.json"


@dataclass(frozen=True)
class Shortened:
    """What removed.json says: `preset(network)` without the units `removed`, numbered as there.

    `structure`: the digest of networks/fingerprint.py of what is left.
    """

    network: Blueprint
    removed: tuple[Whole, ...]
    structure: Digest
    weights: Entry


def save(
    network: ResidualNetwork, folder: str | Path, blueprint: Blueprint, units: Collection[int]
) -> Shortened:
    """Keep a network from which these units of a preset were removed: weights.safetensors and
    removed.json.

    UsageError: the preset without these units is another network; a folder that holds one.
    """
    where, numbers = Path(folder), tuple(sorted(units))
    if (where / FILE).exists():
        raise UsageError(f"{where}: holds a network already. Choose another folder")
    structure = fingerprint.digest(network)
    if fingerprint.digest(_shape(blueprint, numbers)) != structure:
        raise UsageError(
            f"{blueprint.preset} without units {list(numbers)} is another network than this one"
        )
    state = network.state_dict()
    require_finite(state, "the network", CheckpointError)
    entry = write_tensors(make_folder(where), "weights.safetensors", state)
    kept = Shortened(blueprint, numbers, structure, entry)
    write_json(where, FILE, plain(kept), SCHEMA)
    return kept


def load(folder: str | Path) -> ResidualNetwork:
    """The network that `save` kept, in evaluation mode.

    CheckpointError: none there, damaged, or the preset now builds another.
    """
    where = Path(folder)
    kept = read(where / FILE, Shortened, CheckpointError, SCHEMA, "Remove the units again")
    network = _shape(kept.network, kept.removed)
    if fingerprint.digest(network) != kept.structure:
        raise CheckpointError(f"{where}: {kept.network.preset} is another network in this version")
    file = where / kept.weights.file
    load_weights(network, read_tensors(file, kept.weights).tensors, str(file))
    return network.eval()  # type: ignore[return-value]


def _shape(blueprint: Blueprint, units: Collection[int]) -> ResidualNetwork:
    with torch.random.fork_rng([]):
        network = build(blueprint.preset, blueprint.classes, seed=0, **blueprint.options)
    if not isinstance(network, ResidualNetwork):
        raise UsageError(f"{blueprint.preset} is not one of our own networks; keep it as .pt2")
    return without_units(network, units)
