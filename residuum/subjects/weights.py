"""Weights into a model that somebody else wrote: all that it has, or nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, UsageError
from ..networks.weights import load_weights
from ..storage import memory_bytes, read_bytes, read_tensors, sha256
from .asked import place
from .origins import Origin


def the_file(where: str | Path) -> Path:
    """The file itself, or the one safetensors file of a folder.

    UsageError: a file of another kind. CheckpointError: none there, or several.
    """
    path = place(where)
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            names = ", ".join(file.name for file in found[:4]) or "none"
            raise CheckpointError(
                f"{path}: holds {len(found)} safetensors files ({names}), not one"
            )
        return found[0]
    if path.suffix != ".safetensors":
        raise UsageError(f"{path}: --weights takes safetensors, and no pickle is ever read")
    return path


def made(origin: Origin, classes: int | None, size: int | None, seed: int) -> nn.Module:
    """The model as its code makes it. UsageError: its tensors hold no values (meta)."""
    with drawn(seed):
        model = origin.make(classes, size)
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise UsageError(f"{origin.name}: its tensors hold no values. Make it on the CPU, not meta")
    return model


def filled(origin: Origin, file: Path, classes: int | None, size: int | None) -> nn.Module:
    """The model with the file's weights; it tells as many classes apart as they do.

    CheckpointError: a damaged file, names missing or left over (with the nearest), other shapes.
    """
    given = read_tensors(file).tensors
    network = made(origin, classes_of(origin, given, classes, size), size, seed=0)
    load_weights(network, completed(network, given), str(file))
    return network


def classes_of(
    origin: Origin, given: Mapping[str, Tensor], classes: int | None, size: int | None
) -> int | None:
    """How many the weights tell apart: where the model for `classes` has other shapes than they
    have, all in the first dimension alone and by the same two numbers, theirs."""
    with torch.device("meta"):
        try:
            wanted = origin.make(classes, size).state_dict()
        except UsageError:
            raise
        except Exception:  # what a model's own code does without values
            return classes
    shapes = [(w.shape, given[n].shape) for n, w in wanted.items() if n in given]
    other = {(ours[:1], theirs[:1]) for ours, theirs in shapes if ours != theirs}
    alike = all(ours[1:] == theirs[1:] for ours, theirs in shapes)
    if len(other) == 1 and alike:
        ((ours, theirs),) = other
        if ours[0] in (classes, origin.classes):
            return theirs[0]
    return classes


def completed(network: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With the second names of tensors that the network shares: files hold these once."""
    places: dict[tuple[int, torch.Size], Tensor] = {}
    state, found = network.state_dict(), dict(given)
    for name, tensor in state.items():
        if name in found and tensor.numel():
            places[tensor.data_ptr(), tensor.shape] = found[name]
    for name, tensor in state.items():
        if name not in found and (tensor.data_ptr(), tensor.shape) in places:
            found[name] = places[tensor.data_ptr(), tensor.shape]
    return found


def digest(file: Path) -> str:
    return sha256(read_bytes(file, most=memory_bytes()))


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """What is drawn inside follows from the seed; torch's generator returns as it was."""
    generator = torch.default_generator  # not torch.manual_seed, which reaches for every device
    before = generator.get_state()
    try:
        generator.manual_seed(seed)
        yield
    finally:
        generator.set_state(before)
