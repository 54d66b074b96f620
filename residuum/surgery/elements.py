"""Whole elements of a model's lists of layers, taken out: the model keeps its class."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from typing import Any

from torch import nn

from ..views.foreign import ForeignView
from ..views.unit import Unit

LAYERS = ("num_hidden_layers", "num_layers", "num_decoder_layers")  # in a configuration


def without_elements(view: ForeignView, units: Collection[int]) -> nn.Module | None:
    """A copy of the model without the elements of its ModuleLists and Sequentials that hold these
    units and no others; None where the units do not fill elements.

    Layers are renumbered, in what they know of themselves and in the configuration. Nobody has
    checked here that the copy computes the same: `removed` does.
    """
    found = _elements(view, set(units))
    if found is None:
        return None
    small = copy.deepcopy(view.model)
    for path, indices in found.items():
        _shorten(small, small.get_submodule(path), indices)
    return small


def _elements(view: ForeignView, units: set[int]) -> dict[str, list[int]] | None:
    """By the path of the list, which of its elements go."""
    found: dict[str, list[int]] = {}
    covered = set[int]()
    for path, module in view.model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential):
            continue
        for index in range(len(module)):
            inside = {u.number for u in view.units if _stands_in(u, f"{path}.{index}".strip("."))}
            if inside and inside <= units - covered:
                found.setdefault(path, []).append(index)
                covered |= inside
    return found if found and covered == units else None


def _stands_in(unit: Unit, path: str) -> bool:
    return unit.where == path or unit.where.startswith(f"{path}.")


def _shorten(model: nn.Module, layers: Any, indices: list[int]) -> None:
    before = len(layers)
    for index in reversed(indices):
        del layers[index]
    for number, layer in enumerate(layers):
        for part in layer.modules():
            if type(getattr(part, "layer_idx", None)) is int:
                part.layer_idx = number
    for config in _configurations(model):
        _count_anew(config, before, indices)


def _configurations(model: nn.Module) -> Iterator[Any]:
    found = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    return iter(found.values())


def _count_anew(config: Any, before: int, indices: list[int]) -> None:
    """The configuration's number of layers, and its lists of one word a layer.

    One that counts layers otherwise (by stages) stays as it is, since its lists of that length may
    be of something else: what it describes is then another model, as `write_folder` notices.
    """
    counted = [name for name in LAYERS if getattr(config, name, None) == before]
    if not hasattr(config, "to_dict") or not counted:
        return
    for name in counted:
        setattr(config, name, before - len(indices))
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == before:
            setattr(config, name, [word for i, word in enumerate(value) if i not in indices])
