"""After any call of the public interface, whether it ends well, fails or is interrupted, model,
inputs and process are as they were."""

import copy
import inspect
import random
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from conftest import highway, labels
from foreign import STEPS, Wide
from torch import Tensor, nn
from torch.nn.modules import module as hooks

import residuum
from residuum import anatomy, surgery
from residuum.training.description import Blueprint


class Fuse(nn.Module):
    """Counts forward passes; the one whose turn it is fails. A restless one also writes into a
    buffer and draws, whatever its mode."""

    passes, at, error, restless = 0, 0, ValueError, False

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        Fuse.passes += 1
        if Fuse.passes == Fuse.at:
            raise Fuse.error("in the middle")
        if Fuse.restless:
            self.seen += 1
            torch.rand(1)
        return x


class Foreign(Wide):
    def __init__(self) -> None:
        super().__init__(STEPS["highway"], units=2)
        self.fuse, self.norm = Fuse(), nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(self.norm(self.fuse(x)), 0.5, self.training))


class Subject(NamedTuple):
    model: nn.Module
    view: Any
    x: Tensor
    y: Tensor
    folder: Path

    @property
    def new(self) -> Path:
        """A folder that is not there yet."""
        return self.folder / str(len(list(self.folder.iterdir())))

    @property
    def examples(self) -> anatomy.Examples:
        return anatomy.Examples(self.x, self.y)


def subject(kind: str, folder: Path, hooked: bool = True) -> Subject:
    """Half of it in training, with a frozen parameter, a gradient and hooks."""
    torch.manual_seed(0)
    if kind == "ours":
        model, x = highway(2), torch.randn(4, 3, 4, 4)
        model.stem = nn.Sequential(Fuse(), model.stem)
    else:
        model, x = Foreign(), torch.randn(4, 8)
    model.train()
    parts, parameters = list(model.modules()), list(model.parameters())
    parts[-1].eval()
    parameters[0].grad = torch.ones_like(parameters[0])
    parameters[1].requires_grad_(False)
    parameters[2].register_hook(_nothing)
    if hooked:
        parts[2].register_forward_hook(_nothing)
    view = residuum.unravel(model, x)
    assert len(view.units) == 2  # our own are looked through once
    return Subject(model, view, x, labels(4), folder)


def _nothing(*_: Any) -> None:
    """A hook that changes nothing."""


def world() -> list[Any]:
    name, keys, *at = np.random.get_state()
    return [
        torch.get_rng_state().tolist(),
        (name, keys.tolist(), at, random.getstate()),
        torch.are_deterministic_algorithms_enabled(),
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        (torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()),
        torch.backends.mha.get_fastpath_enabled(),
        (torch.overrides._len_torch_function_stack(), torch.is_autocast_enabled("cpu")),
        torch.utils._python_dispatch._len_torch_dispatch_stack(),
        [len(v) for k, v in vars(hooks).items() if k.startswith("_global") and hasattr(v, "keys")],
    ]


def state(given: Subject) -> list[Any]:
    """What a call must leave as it was."""
    tensors = [
        (name, id(t), t.tolist(), t.requires_grad, len(t._backward_hooks or ()))
        for name, t in (*given.model.named_parameters(), *given.model.named_buffers())
    ]
    gradients = [None if p.grad is None else (id(p.grad), p.grad.tolist())
                 for p in given.model.parameters()]  # fmt: skip
    modules = [
        (name, id(m), m.training, [len(v) for k, v in vars(m).items() if k.endswith("hooks")])
        for name, m in given.model.named_modules()
    ]
    data = [(t.tolist(), t.requires_grad, t._version) for t in (given.x, given.y)]
    return [tensors, gradients, modules, data, *world()]


A, S = anatomy, surgery


def kept(given: Subject) -> Any:
    small, word = S.removed(given.view, [0]), S.Word("module:function")
    return S.save_model(small, given.new, given.view, [0], word, lambda: copy.deepcopy(given.model))


CALLS: dict[str, Callable[[Subject], Any]] = {
    "discover": lambda s: residuum.discover(s.model, s.x),
    "unravel": lambda s: residuum.unravel(s.model, s.x),
    "verify": lambda s: s.view.verify(),
    "at_rest": lambda s: A.at_rest(s.model),
    "applied": lambda s: A.applied(s.view, A.without(s.view, [0])),
    "intact": lambda s: A.intact(s.view),
    "without": lambda s: A.without(s.view, [1]),
    "activations": lambda s: A.activations(s.view, s.x),
    "delete": lambda s: A.delete(s.view, s.examples, [[0, 1]]),
    "delete_each": lambda s: A.delete_each(s.view, s.examples),
    "delete_random": lambda s: A.delete_random(s.view, s.examples, [1], repeats=2),
    "delete_each_early": lambda s: A.delete_each_early(s.view, s.examples),
    "gate_statistics": lambda s: A.gate_statistics(s.view, s.x),
    "gradient_by_length": lambda s: A.gradient_by_length(s.view, s.x, s.y),
    "sampled_paths": lambda s: A.sampled_paths(s.view, s.x, s.y, [1], 1),
    "signed_sweep": lambda s: A.signed_sweep(s.view, s.x, s.y, draws=1),
    "count_paths": lambda s: A.count_paths(s.view),
    "agreement": lambda s: A.agreement(s.view, s.examples, {"first": [0.0, 1.0]}, (1,), 2),
    "reorder_random": lambda s: A.reorder_random(s.view, s.examples, [1], repeats=1),
    "shapes": lambda s: A.shapes(s.view, s.x),
    "layer_responses": lambda s: A.layer_responses(s.view, s.x),
    "effects": lambda s: A.effects(s.view, s.examples, [A.without(s.view, [0])]),
    "interactions": lambda s: A.interactions(s.view, s.examples),
    "scores": lambda s: A.scores(s.view, s.examples, [A.without(s.view, [0])]),
    "cka": lambda s: A.cka(s.view, s.x),
    "redundancy": lambda s: A.redundancy(s.view, s.x),
    "path_gradients": lambda s: A.path_gradients(s.view, s.x, s.y, 2, batch=4),
    "contributions": lambda s: A.contributions(s.view, s.x, s.y),
    "decomposition": lambda s: A.decomposition(s.view, s.x),
    "lens": lambda s: A.lens(s.view, s.x),
    "sweep": lambda s: A.sweep(s.view, s.x, [A.intact(s.view), A.without(s.view, [0])]),
    "removed": lambda s: S.removed(s.view, [0]),
    "without_branches": lambda s: S.without_branches(s.view, [0]),
    "without_layers": lambda s: S.without_layers(s.view, [0]),
    "compare_sizes": lambda s: S.compare_sizes(s.model, s.model, (2, 2), s.examples, s.x, 2),
    "heal": lambda s: S.heal(copy.deepcopy(s.model), s.model, s.examples),
    "by_score": lambda s: S.by_score(s.view, s.examples, [1, 0], S.Target(units=1)),
    "greedy": lambda s: S.greedy(s.view, s.examples, S.Target(units=1)),
    "lost": lambda s: S.lost(s.view, s.examples, [[0]]),
    "pairs": lambda s: S.pairs(s.view, s.examples),
    "layers": lambda s: S.layers(s.view),
    "write_program": lambda s: S.write_program(s.model, s.new / "m.pt2", s.x),
    "write_onnx": lambda s: S.write_onnx(s.model, s.new / "m.onnx", s.x),
    "write_folder": lambda s: S.write_folder(s.model, s.folder, s.x),
    "save": lambda s: S.save(s.model, s.folder, Blueprint("resnet20", 10), ()),
    "save_model": kept,
    "load": lambda s: S.load(s.folder, s.model),
}
# of transformers, of presets, of what was kept: tests/test_removal_files.py has them end well
REFUSED = {"write_folder", "save", "load", "layers"}
WRITING = {"write_onnx", "write_program"}  # which refuse a model with hooks
SLOW = {
    "write_onnx",
    "write_program",
    "without_branches",
    "save_model",
}  # tried on the foreign model alone


def called(name: str, given: Subject) -> BaseException | None:
    """What the call ends with, after all that it gives was taken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = CALLS[name](given)
            if isinstance(result, AbstractContextManager):
                with A.at_rest(given.model), result:
                    given.model(given.x)
            elif isinstance(result, Generator):
                list(result)
    except (Exception, KeyboardInterrupt) as error:
        return error
    return None


def compared(name: str, given: Subject) -> BaseException | None:
    before = state(given)
    error = called(name, given)
    assert state(given) == before, f"{name} ended with {error!r}"
    return error


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_left(name, tmp_path, monkeypatch):
    worked = False
    for kind in ["foreign"] if name in SLOW else ["ours", "foreign"]:
        given = subject(kind, tmp_path, name not in WRITING)
        monkeypatch.setattr(Fuse, "passes", 0)
        worked |= compared(name, given) is None
        passes = Fuse.passes
        wrong = given._replace(x=torch.zeros(4, 5, 2), y=given.y.clone())
        compared(name, wrong)
        for error in (ValueError, KeyboardInterrupt) if passes else ():
            monkeypatch.setattr(Fuse, "passes", 0)
            monkeypatch.setattr(Fuse, "at", passes // 2 + 1)
            monkeypatch.setattr(Fuse, "error", error)
            ended = compared(name, given)
            assert error is ValueError or isinstance(ended, KeyboardInterrupt)
            monkeypatch.setattr(Fuse, "at", 0)
    assert worked or name in REFUSED


@pytest.mark.parametrize("name", sorted(CALLS.keys() - SLOW - REFUSED - {"at_rest", "applied"}))
def test_nothing_is_left_in_a_restless_model(name, tmp_path, monkeypatch):
    monkeypatch.setattr(Fuse, "restless", True)
    given = subject("foreign", tmp_path)
    monkeypatch.setattr(Fuse, "passes", 0)
    compared(name, given)
    if Fuse.passes:
        monkeypatch.setattr(Fuse, "at", Fuse.passes // 2 + 1)
        monkeypatch.setattr(Fuse, "passes", 0)
        compared(name, given)


def test_every_public_function_of_a_model_is_listed():
    takes = {"model", "view", "network", "small", "before"}
    for module in (anatomy, surgery):
        for name in dir(module):
            value = getattr(module, name)
            if inspect.isfunction(value) and takes & set(inspect.signature(value).parameters):
                assert name in CALLS, f"{module.__name__}.{name} is not tried"
