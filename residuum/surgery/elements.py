"""Whole elements of a model's lists of layers, taken out: the model keeps its class."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from torch import nn

from ..errors import UsageError
from ..views.foreign import ForeignView
from ..views.unit import Unit
from ..views.view import View

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
            inside = set(_inside(view, f"{path}.{index}".strip(".")))
            if inside and inside <= units - covered:
                found.setdefault(path, []).append(index)
                covered |= inside
    return found if found and covered == units else None


def layers(view: View) -> list[tuple[int, ...]]:
    """The units of every layer, as `groups` of a search: what goes so leaves a model of its own
    class (`removed`), of transformers one that `from_pretrained` loads.

    A layer is an element of a ModuleList or a Sequential in which two elements of one class or more
    hold units; of lists within lists the innermost. Layers with a unit that cannot be removed stay.

    UsageError: a model without such a list.
    """
    name = type(view.model).__name__
    if not isinstance(view, ForeignView):
        raise UsageError(f"{name} is one of our own networks, whose units are its layers already")
    within = dict[int, str]()  # by unit, the element that it stands in
    for path, module in view.model.named_modules():  # outer lists come first
        if isinstance(module, nn.ModuleList | nn.Sequential):
            inside = {
                element: units
                for index in range(len(module))
                if (units := _inside(view, element := f"{path}.{index}".strip(".")))
            }
            kinds = Counter(type(view.model.get_submodule(element)) for element in inside)
            if max(kinds.values(), default=0) > 1:
                within |= {unit: element for element in inside for unit in inside[element]}
    found = {element: list[int]() for element in within.values()}
    for unit, element in sorted(within.items()):
        found[element].append(unit)
    able = [g for g in found.values() if all(view.units[unit].sums for unit in g)]
    if not able:
        raise UsageError(
            f"{name} has no list of layers (a ModuleList or Sequential with several elements "
            "of one class that hold units). Remove single units"
        )
    return [tuple(group) for group in able]


def _inside(view: ForeignView, path: str) -> list[int]:
    return [unit.number for unit in view.units if _stands_in(unit, path)]


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
