"""All presets by name: `find` gives a row, `preset` a network, `describe` what is known of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from ..errors import ResourceError, UsageError, nearest
from ..networks.cost import Cost, cost
from ..networks.stages import once
from ..reader import Seed, require
from ..storage import memory_bytes
from ..units import ResidualNetwork
from ..views.notation import write
from ..views.own import express
from . import (
    aggregated,
    boosted,
    dense,
    ensembles,
    exponential,
    fitted,
    fractal,
    gated,
    highways,
    memory,
    nested,
    residual,
    stacks,
    stochastic,
    streams,
    swapout,
    weighted,
    wide,
)
from .family import Preset
from .index import Listed

LITERATURES = (
    residual,
    gated,
    stochastic,
    nested,
    wide,
    aggregated,
    swapout,
    streams,
    exponential,
    weighted,
    fitted,
    ensembles,
    boosted,
    highways,
    dense,
    fractal,
    memory,
    stacks,
)
CATALOGUE = {row.name: row for literature in LITERATURES for row in literature.ROWS}
FAMILIES = tuple(family for literature in LITERATURES for family in literature.FAMILIES)


def find(name: str) -> Preset:
    """The catalogue's row, or one of a family's depths that no paper names (`resnet26`).

    UsageError: an unknown name (with the nearest), or a depth that no such network has.
    """
    if not isinstance(name, str):
        raise UsageError(f"a preset has a name, such as 'resnet20'; got {name!r}")
    if name in CATALOGUE:
        return CATALOGUE[name]
    for family in FAMILIES:
        depth = family.depth(name)
        if depth is None:
            continue
        if depth == family.near(depth):
            return family.member(name, depth)
        depths = [family.near(depth), *filter(None, map(family.depth, CATALOGUE))]
        near = family.named(min(depths, key=lambda known: abs(known - depth)))
        first = ", ".join(str(family.step * n + family.offset) for n in range(1, 4))
        raise UsageError(
            f"{name}: this family has depths {family.rule} ({first}, ...) and those that are "
            f"listed, not {depth}. The nearest is {near!r}"
        )
    raise UsageError(f"unknown preset {name!r}.{nearest(name, CATALOGUE)} `residuum ls` lists all")


def preset(
    name: str, classes: int | None = None, seed: int | None = None, **options: Any
) -> ResidualNetwork:
    """The network of that name with initial weights by its paper, in training mode.

    `classes`: the paper's own (10 or 1000) by default.
    `seed`: the weights are a function of it; None draws from torch's global generator.
    `shortcut`: "A", "A-avg", "B", "B-bare" or "C", where the network has one.
    `arrangement`: "original", "bn_after_add", "relu_before_add", "relu_preact" or "preact".
    `size`: pixels of an image, where the network must know it (VGG, DSN, linear layers).

    UsageError: unknown name, option or value (with the nearest valid one); fewer than 2 classes.
    ResourceError: weights larger than this machine's memory.
    """
    row = find(name)
    require(seed, Seed | None, f"{name}: seed", UsageError)
    _require_memory(row, classes, options)
    network = row.build(row.classes if classes is None else classes, options)
    return row.start(network, seed)  # type: ignore[return-value]


def _require_memory(row: Preset, classes: int | None, options: Mapping[str, Any]) -> None:
    """Only many classes and large images make a network that large, so depth is not counted."""
    needed = 4 * sum(weight.numel() for weight in _outline(row, classes, options).parameters())
    if needed > memory_bytes():
        there = f"{needed / 1e9:.0f} GB of weights, but this machine has {memory_bytes() / 1e9:.0f}"
        raise ResourceError(f"{row.name}: {there} GB of memory. Take fewer classes or pixels")


def _outline(row: Preset, classes: int | None, options: Mapping[str, Any]) -> ResidualNetwork:
    """On the meta device, units of the same shape built once: to count, however deep."""
    with torch.device("meta"):
        return row.build(row.classes if classes is None else classes, options, once)


def preset_cost(
    name: str,
    classes: int | None = None,
    options: Mapping[str, Any] | None = None,
    size: int | None = None,
) -> Cost:
    """Parameters, FLOPs, depth and units; FLOPs on images of `size` pixels, by default its own."""
    row, options = find(name), options or {}
    return cost(_outline(row, classes, options), size or options.get("size", row.size))


def describe(name: str, classes: int | None = None, **options: Any) -> Listed:
    """What the index says of a preset, worked out anew: for other depths, classes and options.

    With options there are no published errors: those are of the network as its paper has it.
    """
    row = find(name)
    outline, size = _outline(row, classes, options), options.get("size", row.size)
    alike = ("name", "family", "depth", "initialisation", "recipe", "source", "note")
    return Listed(
        **asdict(cost(outline, size)) | {field: getattr(row, field) for field in alike},
        published=() if options else row.published,
        size=size,
        classes=row.classes if classes is None else classes,
        expression=write(express(outline.units)),
    )
