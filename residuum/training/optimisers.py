"""Optimisers as parts of a recipe: hyper-parameters that are data, and what torch makes of them.

Weight decay belongs to the groups of parameters, so it stands in the recipe. Loads no torch.
"""

import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ..errors import UsageError
from ..reader import NotNegative, Positive, Share, check

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


class LayerFactor(msgspec.Struct, frozen=True):
    """Another learning rate or decay for some parameters, as factors of the recipe's.

    "biases": every parameter called bias, those of batch normalisation too; "convolutions": all of
    theirs; "last": those of the last layer that has any.
    """

    of: Literal["biases", "convolutions", "last"]
    rate: Positive = 1.0
    decay: NotNegative = 1.0

    def __post_init__(self) -> None:
        check(self, "layers", UsageError)

    def chosen(self, network: "nn.Module") -> set[str]:
        """The parameters' names."""
        from torch.nn.modules.conv import _ConvNd

        names = [name for name, _ in network.named_parameters()]
        owner = {name: network.get_submodule(name.rpartition(".")[0]) for name in names}
        if self.of == "biases":
            return {name for name in names if name.rpartition(".")[2] == "bias"}
        if self.of == "last":
            return {name for name in names if owner[name] is owner[names[-1]]}
        return {name for name in names if isinstance(owner[name], _ConvNd)}


def parameter_groups(network: "nn.Module", recipe: "Recipe") -> Groups:
    """Parameters of one rate and one decay in one group; `rate_factor` multiplies the recipe's.

    All decay, or only weights of convolutions and linear layers (ndim > 1); then the factors of
    `recipe.layers`.
    """
    kinds: dict[tuple[float, float], list[Any]] = {(1.0, 1.0): []}
    if recipe.decay == "weights":
        kinds[1.0, 0.0] = []
    chosen = [(factor, factor.chosen(network)) for factor in recipe.layers]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            mine = [factor for factor, names in chosen if name in names]
            decay = 1.0 if recipe.decay == "all" or parameter.ndim > 1 else 0.0
            rate = math.prod((factor.rate for factor in mine), start=1.0)
            decay = math.prod((factor.decay for factor in mine), start=decay)
            kinds.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": recipe.weight_decay * decay, "rate_factor": rate}
        for (rate, decay), parameters in kinds.items()
    ]
