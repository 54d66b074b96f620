"""Exactly k of n droppable units in every step, a uniform subset (Veit et al. 2016, sec. 4.3)."""

from typing import TYPE_CHECKING

from ...errors import UsageError
from ...reader import Count
from .named import Named

if TYPE_CHECKING:
    import torch
    from torch import nn


class ActiveSubset(Named, frozen=True, tag="active-subset"):
    """`active` of the units whose branch is `Dropped` take part in a step, all others are out.

    How units are scaled at test is the network's matter (`Dropped.scaling`).
    UsageError, from `draw`: the network has fewer droppable units.
    """

    active: Count

    def draw(self, network: "nn.Module", generator: "torch.Generator") -> None:
        import torch

        from ...parts.wrappers import Dropped

        droppable = [m for m in network.modules() if isinstance(m, Dropped) and m.per == "batch"]
        if len(droppable) < self.active:
            there = f"the network has {len(droppable)} units that can be dropped"
            advice = "Give a network of stochastic depth, say resnet110-stochastic, or fewer"
            asked = f"active-subset: {self.active} units are to be active"
            raise UsageError(f"{asked}, but {there}. {advice}")
        order = torch.randperm(len(droppable), generator=generator).tolist()
        active = set(order[: self.active])
        for number, part in enumerate(droppable):
            part.drawn = number in active
