"""What a network costs, counted on meta tensors: parameters, FLOPs, depth, units."""

from dataclasses import dataclass
from functools import cache
from itertools import chain

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..parts.wrappers import Companion
from ..units import ResidualNetwork, ResidualUnit, Row
from .shapes import Shape, shape_of, through_row


@dataclass(frozen=True)
class Cost:
    """`parameters`: those in use; what helps in training alone (`Companion`) is not counted.

    `flops`: 2 x MACs of the forward pass of one image.

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
    UsageError: two roads that cannot be added.
    """

    @cache
    def passed(part: nn.Module, *shapes: Shape) -> tuple[int, Shape]:
        with FlopCounterMode(display=False) as counter:
            out = shape_of(part, *shapes)
        return counter.get_total_flops(), out

    network = network.eval()
    image, parts = torch.Size((1, 3, size, size)), (network.stem, *network.units, network.head)
    beside = [m for name, m in network.named_children() if name not in ("stem", "units", "head")]
    if type(network).forward is ResidualNetwork.forward:
        stem, shape = passed(network.stem, image)
        units, shape = through_row(network.units, shape, passed, "units")
        flops = stem + units + passed(network.head, shape)[0]
    else:
        flops, _ = passed(network, image)
    return Cost(
        parameters=sum(map(cache(_parameters), (*parts, *beside))),
        flops=flops,
        depth=sum(map(cache(_layers), parts)),
        units=sum(map(cache(_innermost), network.units)),
    )


def _parameters(module: nn.Module) -> int:
    """Of what is deployed: no companions' heads. A nest's units are counted where they stand,
    however often."""
    if isinstance(module, ResidualUnit) and isinstance(module.branch, Row):
        own = (module.before, module.merge, module.after)
        rows = [r if isinstance(r, Row) else [r] for r in (module.shortcut, module.branch)]
        return sum(map(_parameters, (*own, *chain(*rows))))
    heads = [m.head for m in module.modules() if isinstance(m, Companion)]
    helping = {p for head in heads for p in head.parameters()}
    return sum(p.numel() for p in module.parameters() if p not in helping)


def _layers(module: nn.Module) -> int:
    """Convolutions and linear layers; shortcuts and merges are not on the way.

    Of two rows side by side, the branch's: it is the longer one.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        return 1
    if isinstance(module, Companion):
        return _layers(module.road)
    if isinstance(module, ResidualUnit):
        return sum(_layers(part) for part in (module.before, module.branch, module.after))
    if isinstance(module, Row):
        return sum(map(_layers, module))
    return sum(_layers(part) for part in module.children())


def _innermost(unit: nn.Module) -> int:
    rows = [road for road in (unit.shortcut, unit.branch) if isinstance(road, Row)]
    return sum(_innermost(inner) for row in rows for inner in row) if rows else 1
