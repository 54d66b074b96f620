"""Whether images of a size pass a network."""

import copy

import torch
from torch import nn

from ..errors import UsageError, first_line, out_of_memory
from ..parts.modes import in_evaluation
from ..units import ResidualNetwork
from .shapes import Shape, shape_of, through_row


def require_size(network: nn.Module, image: tuple[int, int], name: str) -> None:
    """UsageError before any work where images (height, width) do not pass the network: which roads
    cannot be added, else which part fails. The network stays as it is."""
    _require_sums(network, torch.Size((3, *image)), name)
    part, images = "layers", black(network, image)
    try:
        with torch.no_grad(), in_evaluation(network):
            if isinstance(network, ResidualNetwork):
                part = "stem"
                signal = network.stem(images)
                for number, unit in enumerate(network.units):
                    part = f"unit {number}"
                    signal = unit(signal)
                part = "head"
            network(images)  # its own way: a head may read more than the signal
    except (RuntimeError, AssertionError) as error:
        if out_of_memory(error):
            raise
        what = f"images of {image[0]}x{image[1]} pixels do not pass its {part}"
        raise UsageError(f"{name}: {what} ({first_line(error)})") from error


def black(network: nn.Module, image: tuple[int, int]) -> torch.Tensor:
    """One image of zeros, where the network is."""
    device = next((parameter.device for parameter in network.parameters()), None)
    return torch.zeros(1, 3, *image, device=device)


def _require_sums(network: nn.Module, image: torch.Size, name: str) -> None:
    """UsageError where a unit's roads cannot be added, for an image (C, H, W); nothing is computed.

    Other faults are left to a pass with values, which tells more of them.
    """
    if not isinstance(network, ResidualNetwork):
        return

    def passed(part: nn.Module, *shapes: Shape) -> tuple[int, Shape]:
        return 0, shape_of(part, *shapes)

    outline = copy.deepcopy(network).to("meta").eval()
    try:
        stem = shape_of(outline.stem, torch.Size((1, *image)))
        through_row(outline.units, stem, passed, "units")
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    except Exception:
        return
