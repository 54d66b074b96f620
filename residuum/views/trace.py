"""One forward pass of any model as a numbered list of operations, each with what it was made from.

On fake tensors, which have shapes and no values, so that weights are neither read nor needed;
where a model's Python asks for values, on the real ones.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses import FakeTensorMode
from torch.func import functional_call
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils._pytree import tree_map

from ..errors import ResiduumError, UsageError, first_line, out_of_memory
from .edits import at_rest, device_of
from .inputs import tensors, to_device
from .operations import Trace
from .recorder import Recorder
from .sums import Running, Sums, eager, name_of


def bare(model: nn.Module) -> nn.Module:
    """Without what wraps it: DataParallel, DistributedDataParallel, torch.compile.

    UsageError: TorchScript, whose operations cannot be seen; a graph that torch.export wrote in
    training mode; what is no module.
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
        advice = ": give its .module()" if isinstance(model, torch.export.ExportedProgram) else ""
        raise UsageError(f"a model is a torch.nn.Module, not {type(model).__name__}{advice}")
    _require_evaluation(model)
    return model


# tensors inside vmap and inside the transforms of gradients
TRANSFORMED = re.compile("BatchedTensorImpl|TensorWrapper")
# of the operations that know modes, the place of the word that says training
TRAINING = {"batch_norm": 5, "dropout": 2, "_native_batch_norm_legit_functional": 5}


def _require_evaluation(model: nn.Module) -> None:
    """A graph keeps its mode: examples would depend on each other, and on chance."""
    graphs = [part for part in model.modules() if isinstance(part, fx.GraphModule)]
    for node in chain.from_iterable(part.graph.nodes for part in graphs):
        place = TRAINING.get(name_of(node.target)) if node.op == "call_function" else None
        if place is None or len(node.args) <= place or node.args[place] is not True:
            continue
        if place == 5 and node.args[3] is None:  # it has no statistics, in either mode
            continue
        what = f"was exported in training mode ({node.name})"
        raise UsageError(f"a graph that {what}. Call model.eval() and export it again")


def version(tensor: Tensor) -> int | None:
    """How often it was written into; None of a tensor of inference mode, which does not count."""
    return None if tensor.is_inference() else tensor._version


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Attributes, buffers and containers of every submodule return as they were, random states
    too: a model may keep something of a pass."""
    state = [(m, dict(m.__dict__)) for m in model.modules()]
    inside = [
        (value, value.copy())
        for _, attributes in state
        for value in attributes.values()
        if type(value) in (dict, OrderedDict, list)
    ]
    buffers = [(b, version(b), b.detach().clone()) for b in model.buffers() if not b.is_meta]
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
            for buffer, number, before in buffers:
                if number is None or buffer._version != number:
                    with torch.inference_mode(buffer.is_inference()), torch.no_grad():
                        buffer.copy_(before)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """At rest, and afterwards as it was in everything: a model may write into buffers, keep things
    or draw, in evaluation too."""
    with at_rest(model), untouched(model):
        yield


def trace(
    model: nn.Module,
    inputs: tuple[Any, ...],
    keywords: Mapping[str, Any],
    fake: tuple[bool, ...] = (True, False),
) -> Trace:
    """One pass in evaluation mode, on fake tensors where the model allows it; `fake` says what is
    tried, one after the other.

    UsageError: a model that does not run on these inputs.
    """
    problem: Exception | None = None
    here, given, named = device_of(model), inputs, dict(keywords)
    if here.type != "meta":  # a model without weights is given what it is given
        given, named = to_device((given, named), here)
    for kind in fake:
        try:
            with torch.no_grad(), at_rest(model), untouched(model), eager(), _quiet():
                return _traced(model, given, named, kind)
        except ResiduumError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            problem = error
            if kind and any(p.is_meta for p in model.parameters()):
                break
    shapes = [str(tuple(t.shape)) for t in tensors(inputs)] + [f"{key}=..." for key in keywords]
    what = ", ".join(shapes) or "none were given"
    advice = "Give it what its forward takes"
    advice += "" if shapes else ": unravel(model, *inputs, **keywords)"
    assert problem is not None
    name, said = type(model).__name__, first_line(problem)
    if TRANSFORMED.search(said):
        what = "uses a transform of torch.func (vmap, grad, jvp, ...) that hides its operations"
        raise UsageError(f"{name} {what}: write that part without it") from problem
    raise UsageError(f"{name} does not run on these inputs ({what}): {said}. {advice}") from problem


def _traced(
    model: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], fake: bool
) -> Trace:
    found, running = Trace(model, fake), Running(model)
    named = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    mode: Any = FakeTensorMode(allow_non_fake_inputs=True) if fake else nullcontext()
    if fake:
        made: dict[int, Tensor] = {}
        named = {name: made.setdefault(id(t), _fake(mode, t)) for name, t in named.items()}
        inputs, keywords = tree_map(
            lambda leaf: _fake(mode, leaf) if isinstance(leaf, Tensor) else leaf, (inputs, keywords)
        )
    recorder = Recorder(found, running, named)
    for tensor in tensors((inputs, keywords)):
        recorder.made(tensor, recorder.new("input", (), tensor))
    with mode, running.watched(), Sums(running, recorder.called, recorder.whole), recorder:
        if fake:
            output = functional_call(model, named, inputs, keywords, tie_weights=False)
        else:
            output = model(*inputs, **keywords)
    found.outputs = [s for t in results(output) if isinstance(s := recorder.look(t), int)]
    if not found.outputs:
        raise UsageError(
            f"{type(model).__name__} gave nothing that depends on its inputs: give it tensors"
        )
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """What fake tensors cannot do is not logged: real ones are asked then."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _fake(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    """Weights that are not there (on "meta") stand on the CPU."""
    if tensor.is_meta:
        with mode:
            return torch.empty_strided(
                tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu"
            )
    return mode.from_tensor(tensor)


def results(output: Any) -> list[Tensor]:
    """The tensors of what a model gave: a tensor, containers of them, a dataclass."""
    found = tensors(output)
    if not found and hasattr(output, "__dict__"):  # a dataclass
        found = tensors(list(vars(output).values()))
    return found
