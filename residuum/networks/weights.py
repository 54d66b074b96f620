"""Weights into a network, from our own files or under other libraries' names, and out again."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, UsageError, nearest
from ..storage import read_tensors
from ..units import ResidualNetwork
from .layouts import LAYOUTS, Layout, layout_of

COUNTER = "num_batches_tracked"  # of a normalisation; older files and Torch7's have none
Source = Mapping[str, Tensor] | str | Path


def load_weights(network: nn.Module, source: Source, where: str = "") -> str:
    """Copy weights and buffers into the network, all or nothing; gives whose names they had.

    `source`: a state dict, or a safetensors file. Names are our own ("residuum") or those of the
    same network in torchvision, timm or fb.resnet.torch ("fb"), see `networks.layouts`; wrappers'
    prefixes (`module.`) are ignored. The weights of a linear layer may be those of a 1x1
    convolution, and counters of batches may be missing under others' names: they begin at 0.
    `where` opens the messages.

    CheckpointError: names missing or left over, another shape or type (both given), values that are
    not finite, all zero, or negative variances; a file that is none, or damaged.
    """
    if isinstance(source, str | Path):
        where, source = where or str(source), read_tensors(Path(source)).tensors
    where = where or "weights"
    if not isinstance(source, Mapping):
        raise CheckpointError(
            f"{where}: not a state dict or a file's name, {type(source).__name__}"
        )
    given = dict(source)
    if not given.keys() <= network.state_dict().keys():  # a part of its own may be called module
        given = {re.sub(r"module\.|_orig_mod\.", "", name): t for name, t in given.items()}
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(f"{where}: {name} is a {type(tensor).__name__}, not a tensor")
    library, names = _nearest(network, given)
    if library != "residuum":
        given = _completed(network, given, names)
    _require_fit(network, given, names, where)
    require_finite(given, where, CheckpointError)
    for name, tensor in given.items():
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise CheckpointError(f"{where}: tensor {name} holds negative variances")
    if given and not any(bool(tensor.any()) for tensor in given.values()):
        raise CheckpointError(f"{where}: all weights are zero")
    network.load_state_dict({ours: given[theirs] for ours, theirs in names.items()})
    return library


def weights_as(network: ResidualNetwork, library: str) -> dict[str, Tensor]:
    """The network's weights and buffers under the library's names: "torchvision", "timm" or "fb".

    UsageError: the library has no names for such a network.
    """
    layout, state = layout_of(network, library), network.state_dict()
    if not layout.flat_head:
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear):
                state[f"{name}.weight"] = module.weight.detach()[..., None, None]
    return {theirs: state[ours] for ours, theirs in tensor_names(network, layout).items()}


def tensor_names(network: ResidualNetwork, layout: Layout) -> dict[str, str]:
    """Of every tensor of ours, in our order: its name in the layout. UsageError: it has none."""
    modules = layout.names(network)
    split = {name: name.rpartition(".") for name in network.state_dict()}
    return {name: f"{modules[module]}.{kind}" for name, (module, _, kind) in split.items()}


def _nearest(network: nn.Module, given: Mapping[str, Tensor]) -> tuple[str, dict[str, str]]:
    """Whose names are given, and those of our tensors there; our own where none is nearer."""
    tables = [("residuum", {name: name for name in network.state_dict()})]
    for layout in LAYOUTS:
        with suppress(UsageError):
            if isinstance(network, ResidualNetwork):
                tables.append((layout.library, tensor_names(network, layout)))
    return max(tables, key=lambda table: len(given.keys() & table[1].values()))


def _completed(
    network: nn.Module, given: dict[str, Tensor], names: Mapping[str, str]
) -> dict[str, Tensor]:
    """With counters where there are none, and 1x1 convolutions as the linear layers they are."""
    given, wanted = dict(given), network.state_dict()
    counted = any(name.endswith(COUNTER) for name in given)
    for ours, theirs in names.items():
        if theirs not in given and not counted and ours.endswith(COUNTER):
            given[theirs] = torch.zeros_like(wanted[ours])
        elif theirs in given and given[theirs].shape == (*wanted[ours].shape, 1, 1):
            given[theirs] = given[theirs].flatten(1)
    return given


def _require_fit(
    network: nn.Module, given: Mapping[str, Tensor], names: Mapping[str, str], where: str
) -> None:
    """CheckpointError: names missing or left over, another shape or type."""
    missing = sorted(set(names.values()) - given.keys())
    extra = sorted(given.keys() - names.values())
    if missing or extra:
        changed = _some(" lacks", missing) + _some(" has besides", extra)
        changed += nearest(missing[0], extra) if missing and extra else ""
        raise CheckpointError(f"{where}: another network{changed}")
    for name, wanted in network.state_dict().items():
        tensor = given[names[name]]
        if tensor.shape != wanted.shape:
            ours, theirs = tuple(wanted.shape), tuple(tensor.shape)
            last_layer = tensor.ndim <= 2 and "head" in name
            hint = f": made for {theirs[0]} classes, not {ours[0]}" if last_layer else ""
            shapes = f"is {theirs}, the network's {ours}{hint}"
            raise CheckpointError(f"{where}: tensor {names[name]} {shapes}")
        if tensor.dtype != wanted.dtype:
            kinds = f"{tensor.dtype}, the network's {wanted.dtype}"
            raise CheckpointError(f"{where}: tensor {names[name]} is {kinds}")


def require_finite(
    tensors: Mapping[str, Tensor], where: str, wrong: Callable[[str], Exception]
) -> None:
    """Raises `wrong` with the first tensor's name that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise wrong(f"{where}: tensor {name} holds values that are not finite")


def _some(words: str, names: list[str]) -> str:
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{words} {', '.join(names[:10])}{rest}" if names else ""
