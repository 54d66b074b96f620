"""What a network costs: parameters, FLOPs, depth, units. Counted on meta tensors."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..units import ResidualNetwork, ResidualUnit, Row


@dataclass(frozen=True)
class Cost:
    """`flops`: 2 x MACs of the forward pass of one image.

    `depth`: convolutions and linear layers on the way through the branches.
    `units`: the innermost ones.
    """

    parameters: int
    flops: int
    depth: int
    units: int


def cost(network: ResidualNetwork, size: int) -> Cost:
    """The cost of a network on images of size x size pixels, as torch's FLOP counter has it.

    A unit that stands in several places is looked at once and counted in each, so a network built
    by `once(maker)` costs what the whole one does. The network must be on the meta device; it is
    left in evaluation mode.
    """
    seen: dict[tuple[int, torch.Size], tuple[int, Tensor]] = {}

    def pass_through(module: nn.Module, x: Tensor) -> tuple[int, Tensor]:
        key = id(module), x.shape
        if key not in seen:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                out = module(x)
            seen[key] = counter.get_total_flops(), out
        return seen[key]

    network = network.eval()
    stages = [network.stem, *network.units, network.head]
    x, flops = torch.empty(1, 3, size, size, device="meta"), 0
    for module in stages:
        more, x = pass_through(module, x)
        flops += more
    return Cost(
        parameters=_sum(stages, _parameters),
        flops=flops,
        depth=_sum(stages, _layers),
        units=_sum(list(network.units), _innermost),
    )


def _sum(modules: list[nn.Module], count: Callable[[nn.Module], int]) -> int:
    each = {id(module): count(module) for module in dict.fromkeys(modules)}
    return sum(each[id(module)] for module in modules)


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _layers(module: nn.Module) -> int:
    """Convolutions and linear layers; shortcuts and merges are not on the way."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return 1
    if isinstance(module, ResidualUnit):
        return sum(_layers(part) for part in (module.before, module.branch, module.after))
    return sum(_layers(part) for part in module.children())


def _innermost(module: nn.Module) -> int:
    branch = module.branch if isinstance(module, ResidualUnit) else None
    return sum(_innermost(unit) for unit in branch) if isinstance(branch, Row) else 1
