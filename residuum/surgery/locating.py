"""In which layer an ONNX file leaves the model that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from ..views.export import module_of
from ..views.inputs import tensors, to_device
from .checking import Given, difference


def first_apart(
    program: torch.export.ExportedProgram, proto: Any, given: Given, limit: float
) -> str:
    """In words, the first layer whose values differ by more than the limit, with the one that
    differs most; empty where the values have other names in the file.

    Every value that has one name in both is computed by both.
    """
    ours = _Kept(module_of(program), {o for n in proto.graph.node for o in n.output})
    ours.compute(given)
    theirs = _values(proto, list(ours.values), given)
    apart = {name: difference(value, theirs[name]) for name, value in ours.values.items()
             if theirs[name].shape == value.shape}  # fmt: skip
    wrong = [name for name, value in apart.items() if not value <= limit]
    if not wrong:
        return ""
    most = max(wrong, key=lambda name: apart[name])
    said = f"; the first value apart is that of {ours.places[wrong[0]]}, by {apart[wrong[0]]:.2g}"
    return f"{said}, the worst that of {ours.places[most]}, by {apart[most]:.2g}"


class _Kept(fx.Interpreter):
    """Runs a graph and keeps the values of these names, with the layer that each belongs to."""

    def __init__(self, module: fx.GraphModule, names: set[str]):
        super().__init__(module)
        self.names, self.values, self.places = names, dict[str, Tensor](), dict[str, str]()

    def compute(self, given: Given) -> None:
        device = next((p.device for p in self.module.parameters()), torch.device("cpu"))
        with torch.no_grad():
            self.run(*tensors(to_device((given[0], dict(given[1])), device)))

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.names and isinstance(value, Tensor):
            self.values[n.name] = value.detach().cpu()
            stack: Mapping[str, Any] = n.meta.get("nn_module_stack") or {}
            path = next((p for p, _ in reversed([*stack.values()]) if p), "")
            self.places[n.name] = f"{path or 'the model'} ({n.name})"
        return value


def _values(proto: Any, names: list[str], given: Given) -> dict[str, Tensor]:
    """What the file computes for these values, which become outputs of a copy."""
    import onnx
    import onnxruntime

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    there = {output.name for output in copy.graph.output}
    for name in names:
        if name not in there:
            copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(
        copy.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    fed = {
        each.name: tensor.numpy()
        for each, tensor in zip(session.get_inputs(), tensors(given), strict=True)
    }
    found = session.run(names, fed)
    return {name: torch.as_tensor(value) for name, value in zip(names, found, strict=True)}
