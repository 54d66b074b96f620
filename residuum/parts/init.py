"""Initial weights, from a generator of their own: a network is a function of its seed."""

from typing import Literal

import torch
from torch import nn

Fan = Literal["in", "out"]


def rule(fan: Fan) -> str:
    """The rule of `he_normal` in words: part of what a run is, so it never changes its meaning."""
    return f"he_normal fan-{fan}"


def he_normal(network: nn.Module, fan: Fan, seed: int | None = None) -> nn.Module:
    """Convolutions N(0, 2/n), linear layers U(-1/sqrt(n), 1/sqrt(n)) with zero bias.

    `fan`: n = k*k*c_in ("in", He et al. 2015b, eq. 10) or k*k*c_out ("out", fb.resnet.torch).
    `seed`: None draws from torch's global generator.

    Linear layers as in Torch7 and fb.resnet.torch; batch normalisation 1 and 0. Changes the network
    in place and returns it; its attribute `initialisation` then names the rule.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d | nn.Linear) and module.weight.is_meta:
            continue  # a generator has no meta device
        elif isinstance(module, nn.Conv2d):
            mode = "fan_in" if fan == "in" else "fan_out"
            nn.init.kaiming_normal_(module.weight, 0, mode, "relu", generator)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator)
            nn.init.zeros_(module.bias)
    # the rule belongs to what the network is (networks/fingerprint.py)
    network.initialisation = rule(fan)  # type: ignore[assignment] - torch types attributes as modules
    return network
