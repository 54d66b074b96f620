"""Exactly k of n droppable units in every step, a uniform subset (Veit et al. 2016, sec. 4.3)."""

from typing import TYPE_CHECKING

from ...errors import UsageError
from ...reader import Count
from .named import Named

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ...parts.wrappers import Dropped


class ActiveSubset(Named, frozen=True, tag="active-subset"):
    """`active` of the units whose branch is `Dropped` take part in a step, all others are out.

    How units are scaled at test is the network's matter (`Dropped.scaling`).
    UsageError: the network has fewer droppable units.
    """

    active: Count

    def require(self, network: "nn.Module") -> None:
        self._droppable(network)

    def draw(self, network: "nn.Module", generator: "torch.Generator") -> None:
        import torch

        droppable = self._droppable(network)
        order = torch.randperm(len(droppable), generator=generator).tolist()
        active = set(order[: self.active])
        for number, part in enumerate(droppable):
            part.drawn = number in active

    def _droppable(self, network: "nn.Module") -> "list[Dropped]":
        """At least as many as are to be active."""
        from ...parts.wrappers import Dropped

        found = [m for m in network.modules() if isinstance(m, Dropped) and m.per == "batch"]
        if len(found) < self.active:
            asked = f"active-subset: {self.active} units are to be active"
            there = f"but the network has {len(found)} that can be dropped"
            advice = "Give a network of stochastic depth, say resnet110-stochastic, or fewer"
            raise UsageError(f"{asked}, {there}. {advice}")
        return found
