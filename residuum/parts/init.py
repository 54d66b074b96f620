"""Initial weights, from a generator of their own: a network is a function of its seed."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Fan = Literal["in", "out"]
Fill = Callable[[Tensor, torch.Generator | None], object]


class Initialisation(NamedTuple):
    """How a network starts: `HE_FAN_IN(network, seed)`.

    `word`: part of what a run is (networks/fingerprint.py), so it never changes its meaning.
    `convolution`, `linear`: fill a weight. Biases are 0.
    `gamma`: of batch normalisation; None for 1. Its shift is 0.
    `first`: fills the first convolution, where its rule is another.
    """

    word: str
    convolution: Fill
    linear: Fill
    gamma: Fill | None = None
    first: Fill | None = None

    def __call__(self, network: nn.Module, seed: int | None = None) -> nn.Module:
        """Changes the network in place and returns it; its `initialisation` is then the word.

        `seed`: None draws from torch's global generator. Parts with a `reset` of their own (a gate
        with its bias, a learned slope) come last.
        """
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        rule = self if self.first is None else self._replace(convolution=self.first)
        for module in network.modules():
            rule._start(module, generator)
            rule = self if isinstance(module, nn.Conv2d) else rule
        for module in network.modules():
            if callable(reset := getattr(module, "reset", None)):
                reset()
        network.initialisation = self.word  # type: ignore[assignment] - torch types attributes as modules
        return network

    def _start(self, module: nn.Module, generator: torch.Generator | None) -> None:
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.reset_parameters()
            if self.gamma and module.affine and not module.weight.is_meta:
                self.gamma(module.weight, generator)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            if not module.weight.is_meta:  # a generator has no meta device
                fill = self.convolution if isinstance(module, nn.Conv2d) else self.linear
                fill(module.weight, generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def he(fan: Fan) -> Fill:
    """N(0, 2/n), n = k*k*c_in (He et al. 2015b, eq. 10) or k*k*c_out (fb.resnet.torch)."""
    mode = "fan_in" if fan == "in" else "fan_out"
    return lambda weight, g: nn.init.kaiming_normal_(weight, 0, mode, "relu", g)


def torch7(weight: Tensor, generator: torch.Generator | None) -> None:
    """U(-1/sqrt(n), 1/sqrt(n)), n the inputs: linear layers of Torch7 and fb.resnet.torch."""
    bound = weight[0].numel() ** -0.5
    nn.init.uniform_(weight, -bound, bound, generator)


def gaussian(deviation: float) -> Fill:
    """N(0, deviation^2)."""
    return lambda weight, g: nn.init.normal_(weight, 0, deviation, g)


def uniform(bound: float) -> Fill:
    """U(-bound, bound)."""
    return lambda weight, g: nn.init.uniform_(weight, -bound, bound, g)


def xavier(weight: Tensor, generator: torch.Generator | None) -> None:
    """U(-b, b), b = sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010, eq. 16)."""
    nn.init.xavier_uniform_(weight, generator=generator)


def orthonormal(weight: Tensor, generator: torch.Generator | None) -> None:
    """Rows or columns of unit length at right angles: the start of LSUV (Mishkin and Matas)."""
    nn.init.orthogonal_(weight, generator=generator)


def unit_uniform(weight: Tensor, generator: torch.Generator | None) -> None:
    """U(0, 1): the scale of batch normalisation in Torch7."""
    nn.init.uniform_(weight, 0, 1, generator)


HE_FAN_IN = Initialisation("he_normal fan-in", he("in"), torch7)
HE_FAN_OUT = Initialisation("he_normal fan-out", he("out"), torch7)
HE_FAN_IN_TORCH7 = Initialisation("he_normal fan-in, gamma U(0,1)", he("in"), torch7, unit_uniform)
HE_FAN_OUT_TORCH7 = Initialisation(
    "he_normal fan-out, gamma U(0,1)", he("out"), torch7, unit_uniform
)
HE_FAN_IN_ALL = Initialisation("he_normal fan-in, linear too", he("in"), he("in"))
HIGHWAY = Initialisation(
    "he_normal fan-in, linear too, first normal 0.05", he("in"), he("in"), first=gaussian(0.05)
)
HIGHWAY_CODE = Initialisation(
    "he_normal fan-in, linear too, first normal 1", he("in"), he("in"), first=gaussian(1)
)
XAVIER = Initialisation("xavier uniform", xavier, xavier)
NORMAL = Initialisation("normal 0.05", gaussian(0.05), gaussian(0.05))
UNIFORM = Initialisation("uniform 0.005", uniform(0.005), uniform(0.005))
ORTHONORMAL = Initialisation("orthonormal", orthonormal, orthonormal)
