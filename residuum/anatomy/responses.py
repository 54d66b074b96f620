"""Layer responses: how much every layer changes the signal (He et al. 2015, fig. 7)."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..views import unravel
from ..views.edits import device_of, replace
from ..views.trace import undisturbed
from .measures import Response
from .variants import require_some


class Tapped(nn.Module):
    """The same module, its output's sum and sum of squares noted."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module, self.n, self.sums = module, 0, torch.zeros(2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        y = self.module(x)
        wide = y.detach().double()
        self.sums += torch.stack([wide.sum(), wide.square().sum()]).cpu()
        self.n += y.numel()
        return y

    @property
    def std(self) -> float:
        mean, square = (self.sums / self.n).tolist()
        return max(0.0, square - mean**2) ** 0.5


@torch.no_grad()
def layer_responses(model: Any, inputs: Tensor, batch: int = 250) -> list[Response]:
    """Of every convolution of kernel 3 or more, in signal order: after its batch normalisation,
    before nonlinearity and addition. Where no normalisation follows (pre-activation units) the
    convolution's own output."""
    require_some(inputs)
    network = unravel(model).model
    taps: dict[str, Tapped] = {}
    edits = []
    for path, owner in network.named_modules():
        if not isinstance(owner, nn.Sequential):
            continue
        for (name, module), following in pairwise([*owner.named_children(), ("", nn.Identity())]):
            if isinstance(module, nn.Conv2d) and max(module.kernel_size) >= 3:
                normalised = isinstance(following[1], nn.BatchNorm2d)
                tap_name, tapped = following if normalised else (name, module)
                taps[f"{path}.{name}"] = Tapped(tapped)
                edits.append((owner, tap_name, taps[f"{path}.{name}"]))
    with undisturbed(network), replace(edits):
        for part in inputs.split(batch):
            network(part.to(device_of(network)))
    return [Response(name, tap.std) for name, tap in taps.items()]
