"""What any optimiser of torch remembers between steps, taken out and put back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import CheckpointError

Number = int | float | bool | None


@dataclass(frozen=True)
class Numbers:
    """What it remembers beside tensors: by `parameter.key`, and by key for each group."""

    parameters: Mapping[str, Number] = field(default_factory=dict)
    groups: tuple[Mapping[str, Number], ...] = ()
    kind: str = ""  # the optimiser's class; "": not said


def remember(optimiser: Optimizer, network: nn.Module) -> tuple[dict[str, Tensor], Numbers]:
    """Its tensors by `parameter.key` (`stem.0.weight.momentum_buffer`), and its numbers.

    CheckpointError: it remembers something that is neither, which could not be restored.
    """
    tensors, numbers = dict[str, Tensor](), dict[str, Number]()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for parameter, memory in optimiser.state.items():
        for key, value in memory.items():
            name = f"{names[id(parameter)]}.{key}"
            if isinstance(value, Tensor):
                tensors[name] = value
            elif value is None or isinstance(value, int | float):
                numbers[name] = value
            else:
                what = f"{type(optimiser).__name__} remembers a {type(value).__name__} as {key!r}"
                raise CheckpointError(f"{what}: only tensors and numbers can be saved")
    groups = optimiser.param_groups
    kept = ({k: v for k, v in group.items() if isinstance(v, int | float)} for group in groups)
    return tensors, Numbers(numbers, tuple(kept), type(optimiser).__name__)


def recall(
    optimiser: Optimizer, network: nn.Module, tensors: Mapping[str, Tensor], numbers: Numbers
) -> None:
    """Put back what `remember` gave.

    CheckpointError: it belongs to other parameters or another kind of optimiser.
    """
    kind = type(optimiser).__name__
    if numbers.kind not in ("", kind):
        raise CheckpointError(f"the memory of {numbers.kind} is not that of {kind}")
    parameters = dict(network.named_parameters())
    for name, value in {**tensors, **numbers.parameters}.items():
        owner, _, key = name.rpartition(".")
        if owner not in parameters:
            raise CheckpointError(f"the optimiser's {name!r} belongs to no parameter")
        parameter = parameters[owner]
        if isinstance(value, Tensor):
            value = _placed(value, parameter, key, optimiser)
        optimiser.state[parameter][key] = value
    saved, groups = numbers.groups, optimiser.param_groups
    if len(saved) != len(groups):
        raise CheckpointError(f"{len(saved)} groups were saved, not {len(groups)}")
    for group, remembered in zip(groups, saved, strict=True):
        group.update(remembered)


def _placed(value: Tensor, parameter: Tensor, key: str, optimiser: Optimizer) -> Tensor:
    """On the parameter's device, in its memory layout, as before: another order rounds otherwise.

    Step counts stay on the CPU, where torch keeps them unless the optimiser is fused or capturable.
    """
    if key == "step" and not any(optimiser.defaults.get(k) for k in ("fused", "capturable")):
        return value
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
