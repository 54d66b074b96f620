"""Optimisers as parts of a recipe: hyper-parameters that are data, and what torch makes of them.

Weight decay belongs to the groups of parameters, so it stands in the recipe. Loads no torch.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import UsageError
from ..reader import Positive, Share, check

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from .recipe import Recipe

Groups = list[dict[str, Any]]


class SGD(msgspec.Struct, frozen=True, tag_field="kind", tag="sgd"):
    """Gradient descent with momentum: v = m v + g, w -= r v; Nesterov's: w -= r (g + m v)."""

    momentum: Share = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        check(self, "SGD", UsageError)
        if self.nesterov and self.momentum == 0:
            raise UsageError("SGD: nesterov needs a momentum above 0")

    def build(self, groups: Groups, learning_rate: float) -> "Optimizer":
        from torch.optim import SGD

        return SGD(groups, lr=learning_rate, momentum=self.momentum, nesterov=self.nesterov)


class Adam(msgspec.Struct, frozen=True, tag_field="kind", tag="adam"):
    """Kingma and Ba 2015. Weight decay is added to the gradient."""

    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: Positive = 1e-8

    def __post_init__(self) -> None:
        check(self, type(self).__name__, UsageError)

    def build(self, groups: Groups, learning_rate: float) -> "Optimizer":
        from torch import optim

        made = getattr(optim, type(self).__name__)
        return made(groups, lr=learning_rate, betas=(self.beta1, self.beta2), eps=self.epsilon)


class AdamW(Adam, frozen=True, tag_field="kind", tag="adamw"):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019)."""


class RMSProp(msgspec.Struct, frozen=True, tag_field="kind", tag="rmsprop"):
    """Gradient over the root of its running mean square (Tieleman and Hinton 2012)."""

    smoothing: Share = 0.99
    epsilon: Positive = 1e-8
    momentum: Share = 0.0

    def __post_init__(self) -> None:
        check(self, "RMSProp", UsageError)

    def build(self, groups: Groups, learning_rate: float) -> "Optimizer":
        from torch.optim import RMSprop

        smoothing, momentum = self.smoothing, self.momentum
        return RMSprop(groups, learning_rate, smoothing, self.epsilon, momentum=momentum)


Optimiser = SGD | Adam | AdamW | RMSProp


def parameter_groups(network: "nn.Module", recipe: "Recipe") -> Groups:
    """What decays: all parameters, or only weights of convolutions and linear layers (ndim > 1)."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    decaying = [p for p in parameters if recipe.decay == "all" or p.ndim > 1]
    groups: Groups = [{"params": decaying, "weight_decay": recipe.weight_decay}]
    if recipe.decay == "weights":
        rest = [p for p in parameters if p.ndim <= 1]
        groups.append({"params": rest, "weight_decay": 0.0})
    return groups
