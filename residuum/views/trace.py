"""One forward pass of any model as a numbered list of operations, each with what it was made from.

On fake tensors, which have shapes and no values, so that weights are neither read nor needed;
where a model's Python asks for values, on the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils._pytree import tree_map

from ..errors import ResiduumError, UsageError, out_of_memory
from .edits import at_rest, device_of
from .recorder import Recorder, Trace, tensors
from .sums import Running, Sums, eager


def bare(model: nn.Module) -> nn.Module:
    """Without what wraps it: DataParallel, DistributedDataParallel, torch.compile.

    UsageError: TorchScript, whose operations cannot be seen; what is no module.
    """
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            break
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError("a TorchScript model hides its operations: give the nn.Module itself")
    if not isinstance(model, nn.Module):
        raise UsageError(f"a model is a torch.nn.Module, not {type(model).__name__}")
    return model


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Attributes, buffers and containers of every submodule return as they were, random states
    too: a model may keep something of a pass."""
    state = [(m, dict(m.__dict__)) for m in model.modules()]
    inside = [
        (value, value.copy())
        for _, attributes in state
        for value in attributes.values()
        if type(value) in (dict, list)
    ]
    buffers = [(b, b._version, b.detach().clone()) for b in model.buffers() if not b.is_meta]
    here = device_of(model)
    with torch.random.fork_rng([here] if here.type == "cuda" else []):
        try:
            yield
        finally:
            for module, attributes in state:
                module.__dict__.clear()
                module.__dict__.update(attributes)
            for container, before in inside:
                container.clear()
                container.update(before) if isinstance(container, dict) else container.extend(
                    before
                )
            with torch.no_grad():
                for buffer, version, before in buffers:
                    if buffer._version != version:
                        buffer.copy_(before)


def trace(model: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any]) -> Trace:
    """One pass in evaluation mode, on fake tensors where the model allows it.

    UsageError: a model that does not run on these inputs.
    """
    problem: Exception | None = None
    inputs, keywords = _moved((inputs, dict(keywords)), device_of(model))
    for fake in (True, False):
        try:
            with torch.no_grad(), at_rest(model), untouched(model), eager():
                return _traced(model, inputs, keywords, fake)
        except ResiduumError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            problem = error
            if not fake or any(p.is_meta for p in model.parameters()):
                break
    given = ", ".join(
        [str(tuple(t.shape)) for t in tensors(inputs)] + [f"{key}=..." for key in keywords]
    )
    message = str(problem).strip().split("\n")[0][:300]
    raise UsageError(
        f"{type(model).__name__} does not run on these inputs ({given or 'none were given'}): "
        f"{type(problem).__name__}: {message}. Give it what its forward takes: "
        "unravel(model, *inputs, **keywords)"
    ) from problem


def _moved(inputs: Any, device: torch.device) -> Any:
    """A model without weights (on "meta") is given what it is given."""
    if device.type == "meta":
        return inputs
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, inputs)


def _traced(
    model: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], fake: bool
) -> Trace:
    found, running = Trace(model, fake), Running(model)
    named = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    mode: Any = nullcontext()
    run: Callable[[], Any] = lambda: model(*inputs, **keywords)
    if fake:
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        made: dict[int, Tensor] = {}
        named = {name: made.setdefault(id(t), _fake(mode, t)) for name, t in named.items()}
        inputs, keywords = tree_map(
            lambda leaf: _fake(mode, leaf) if isinstance(leaf, Tensor) else leaf, (inputs, keywords)
        )
        run = lambda: torch.func.functional_call(
            model, named, inputs, keywords, tie_weights=False, strict=False
        )
    recorder = Recorder(found, running, named)
    for tensor in tensors((inputs, keywords)):
        recorder.made(tensor, recorder.new("input", (), tensor))
    with mode, running.watched(), Sums(running, recorder.called), recorder:
        output = run()
    found.outputs = [s for t in _answers(output) if isinstance(s := recorder.look(t), int)]
    if not found.outputs:
        raise UsageError(
            f"{type(model).__name__} gave nothing that depends on its inputs: give it tensors"
        )
    return found


def _fake(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    """Weights that are not there (on "meta") stand on the CPU."""
    if tensor.is_meta:
        with mode:
            return torch.empty_strided(
                tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu"
            )
    return mode.from_tensor(tensor)


def _answers(output: Any) -> list[Tensor]:
    found = tensors(output)
    if not found and hasattr(output, "__dict__"):  # a dataclass
        found = tensors(list(vars(output).values()))
    return found
