"""What torch computes wrongly in bfloat16 on a CPU."""

from functools import partial

import torch
from torch import nn

from ..errors import UsageError
from ..machine import Machine


def require_gradients(network: nn.Module, size: int, machine: Machine) -> None:
    """UsageError: the weight gradient of a convolution would hold whatever its memory held.

    On signals of one pixel all taps of a strided kernel but one see nothing but padding, and oneDNN
    does not write their gradients in bfloat16 (torch 2.15: values up to 1e19, other ones every
    time). `size`: pixels of a side of the images; they are known to pass.
    """
    if (machine.precision, machine.device) != ("bfloat16", "cpu"):
        return
    found: list[str] = []

    def look(name: str, layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if tuple(given[0].shape[-2:]) == (1, 1):
            found.append(name)

    strided = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and max(module.stride) > 1 and max(module.kernel_size) > 1
    ]
    hooks = [module.register_forward_pre_hook(partial(look, name)) for name, module in strided]
    mode, device = network.training, next(network.parameters()).device
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, size, size, device=device))
    finally:
        network.train(mode)
        for hook in hooks:
            hook.remove()
    if found:
        what = f"{found[0]}, a strided convolution of signals of one pixel"
        advice = "Say --precision float32, or give larger images"
        raise UsageError(f"torch's gradient of {what}, is wrong in bfloat16 on a CPU. {advice}")
