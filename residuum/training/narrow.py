"""What torch computes wrongly in bfloat16 on a CPU."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..machine import Machine
from ..networks.sizes import black
from ..parts.modes import in_evaluation


def require_gradients(network: nn.Module, image: tuple[int, int], machine: Machine) -> None:
    """UsageError: the weight gradient of a convolution would hold whatever its memory held.

    On signals of one pixel all taps of a strided kernel but one see nothing but padding, and oneDNN
    does not write their gradients in bfloat16 (torch 2.15: values up to 1e19, other ones every
    time). `image`: height and width; such images are known to pass.
    """
    if (machine.precision, machine.device) != ("bfloat16", "cpu"):
        return
    found: list[str] = []

    def look(name: str, layer: nn.Module, given: tuple[Tensor, ...], named: dict[str, Any]) -> None:
        signal = given[0] if given else named["input"]
        if tuple(signal.shape[-2:]) == (1, 1):
            found.append(name)

    hooks = [
        part.register_forward_pre_hook(partial(look, name), with_kwargs=True)
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d) and max(part.stride) > 1 and max(part.kernel_size) > 1
    ]
    if not hooks:
        return
    try:
        with torch.no_grad(), in_evaluation(network):
            network(black(network, image))
    finally:
        for hook in hooks:
            hook.remove()
    if found:
        what = f"{found[0]}, a strided convolution of signals of one pixel"
        advice = "Say --precision float32, or give larger images"
        raise UsageError(f"torch's gradient of {what}, is wrong in bfloat16 on a CPU. {advice}")
