"""Largest gradients and largest weights, as numbers of a recipe. Loads no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..reader import Positive, check

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Limits:
    """None: no limit.

    `gradient`: every entry is clamped to +- this before the step (BoostResNet's code).
    `convolution`, `linear`: after the step, the weights into one output are scaled down to this
    Euclidean norm where theirs is larger (max-norm: Srivastava et al. 2014, sec. 5.1; FitNets).
    """

    gradient: Positive | None = None
    convolution: Positive | None = None
    linear: Positive | None = None

    def __post_init__(self) -> None:
        check(self, "limits", UsageError)

    def clamp(self, network: "nn.Module") -> None:
        """The gradients, once they are of the true scale."""
        if self.gradient is not None:
            from torch.nn.utils import clip_grad_value_

            clip_grad_value_(network.parameters(), self.gradient)

    def project(self, network: "nn.Module") -> None:
        """The weights of convolutions and linear layers."""
        if self.convolution is None and self.linear is None:
            return
        import torch
        from torch.nn.modules.conv import _ConvNd

        with torch.no_grad():
            for layer in network.modules():
                linear = isinstance(layer, torch.nn.Linear)
                most = self.linear if linear else self.convolution
                if most is None or not (linear or isinstance(layer, _ConvNd)):
                    continue
                norm = layer.weight.flatten(1).norm(dim=1)
                share = (most / norm.clamp_min(most)).reshape(-1, *[1] * (layer.weight.ndim - 1))
                layer.weight.mul_(share)
