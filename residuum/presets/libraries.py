"""Models that torchvision and timm build: `tv:alexnet` to train, a preset's counterpart to compare.

A `tv:` model is torchvision's own code with initial weights that follow from a seed. Nothing is
claimed of it: no published errors; its units are those that discovery finds.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

import torch
from torch import fx, nn
from torch.utils.flop_counter import FlopCounterMode

from ..errors import UsageError, nearest
from ..networks.fingerprint import digest
from ..reader import Seed, require
from .catalogue import preset
from .family import Classes
from .index import Listed

PREFIX = "tv:"
# heads that only help training, which would make of the output a tuple
HELPED, WITHOUT = ("googlenet", "inception_v3"), {"aux_logits": False, "init_weights": True}
INITIALISATION = "torchvision's own"


def build(name: str, classes: int, seed: int | None = None, **options: Any) -> nn.Module:
    """The preset or the `tv:` model of that name, in training mode, weights a function of the seed.

    UsageError: see `preset` and `model`.
    """
    if not name.startswith(PREFIX):
        return preset(name, classes, seed, **options)
    if options:
        raise UsageError(f"{name} has no option {next(iter(options))!r}: torchvision builds it")
    return model(name, classes, seed)


def model(name: str, classes: int, seed: int | None = None, size: int | None = None) -> nn.Module:
    """The classification model `tv:NAME` of torchvision, in training mode, without weights of its.

    `seed`: of the initial weights; None draws from torch's global generator. `size`: pixels of a
    side, where the model is made for one size; others read any.
    UsageError: torchvision is not there, or has no such model (with the nearest).
    """
    short = require_model(name)
    require(classes, Classes, f"{name}: classes", UsageError)
    require(seed, Seed | None, f"{name}: seed", UsageError)
    models = _library("torchvision.models")
    asked = {"weights": None, "num_classes": classes} | (WITHOUT if short in HELPED else {})
    if size is not None and takes_one_size(short):
        asked |= {"image_size": size} if short.startswith("vit") else {"input_size": (size, size)}
    generator = torch.default_generator
    before = generator.get_state()
    try:
        if seed is not None:
            generator.manual_seed(seed)  # not torch.manual_seed, which reaches for every device
        network = _on_default_device(models.get_model, short, asked)
    finally:
        if seed is not None:
            generator.set_state(before)
    network.initialisation = INITIALISATION  # type: ignore[assignment] - as in parts/init.py
    return network


def require_model(name: str) -> str:
    """torchvision's own name of `tv:NAME`. UsageError: it has none, or is not there."""
    short, known = name.removeprefix(PREFIX), model_names()
    if short not in known:
        raise UsageError(f"torchvision has no model {short!r}.{nearest(short, known)}")
    return short


def model_names() -> list[str]:
    """Torchvision's classification models."""
    models = _library("torchvision.models")
    return models.list_models(module=models)


def describe_model(name: str, classes: int | None = None) -> Listed:
    """What can be counted of a `tv:` model, on images of the size that its weights are made for.

    `depth` is 0 where it cannot be counted: see `longest_way`.
    """
    network, size = _outline(name, 1000 if classes is None else classes)
    short = name.removeprefix(PREFIX)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, size, size, device="meta"))
    return Listed(
        name=name,
        family="torchvision",
        depth=longest_way(network) or 0,
        parameters=sum(p.numel() for p in network.parameters()),
        flops=counter.get_total_flops(),
        units=0,
        size=size,
        classes=1000 if classes is None else classes,
        expression=None,
        initialisation=INITIALISATION,
        recipe="",
        source=f"torchvision {version('torchvision')}, torchvision.models.{short}",
        published=(),
        note="without its auxiliary heads" if short in HELPED else "",
        structure=digest(network),
    )


def _outline(name: str, classes: int) -> tuple[nn.Module, int]:
    """The model without weights in memory, and the pixels of the images that it is made for."""
    with torch.device("meta"):
        network = model(name, classes).eval()
    return network, pixels_of_model(name)


def pixels_of_model(name: str) -> int:
    """Of a side of the images that the published weights of `tv:NAME` are made for."""
    short = name.removeprefix(PREFIX)
    weights = next(iter(_library("torchvision.models").get_model_weights(short)))
    return 224 if takes_one_size(short) else weights.transforms.keywords.get("crop_size", 224)


def takes_one_size(short: str) -> bool:
    """Whether a model of torchvision reads images of the size alone that it is built for."""
    return short.startswith(("vit_", "maxvit"))


def longest_way(network: nn.Module) -> int | None:
    """Convolutions and linear layers on the longest way through: the depth that papers count.

    None where the model cannot be traced, or its weights also stand in layers of other kinds
    (attention).
    """
    try:
        graph = fx.symbolic_trace(network).graph
    except Exception:  # whatever the model's code does with a signal that has no values
        return None
    modules, longest = dict(network.named_modules()), dict[fx.Node, int]()
    for node in graph.nodes:
        longest[node] = max((longest[before] for before in node.all_input_nodes), default=0)
        owner = modules.get(str(node.target).rpartition(".")[0])
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if node.op == "get_attr" and isinstance(owner, nn.Linear | nn.Conv2d):
            return None
        if isinstance(module, nn.MultiheadAttention):
            return None
        longest[node] += isinstance(module, nn.Linear | nn.Conv2d)
    return max(longest.values())


def counterpart(library: str, name: str, classes: int) -> tuple[str, nn.Module | None]:
    """The library's model of a preset's name, in evaluation mode, with what it is called there.

    None where there is none here, with the reason. torchvision spells resnext50-32x4d with
    underscores; timm calls preresnet50 resnetv2_50.
    """
    spelled = name.replace("-", "_")
    if library == "timm":
        spelled = spelled.replace("preresnet", "resnetv2_")
    homes = {"torchvision": ("torchvision.models", "get_model"), "timm": ("timm", "create_model")}
    if library not in homes:
        return f"nothing here builds models of {library}", None
    home, make = homes[library]
    try:
        with torch.random.fork_rng(devices=[]):
            found = getattr(import_module(home), make)(spelled, num_classes=classes)
    except ImportError:
        return f"{library} is not installed", None
    except (RuntimeError, ValueError):  # timm's, torchvision's
        return f"{library} builds no model {spelled!r}", None
    return f"{home}.{spelled}", found.eval()


def _library(name: str) -> Any:
    """UsageError: it is not there, or does not load beside this torch."""
    try:
        return import_module(name)
    except (ImportError, RuntimeError) as error:
        advice = "pip install 'residuum[zoo]', torchvision from the index that torch came from"
        raise UsageError(f"tv: models need torchvision ({error}): {advice}") from error


def _on_default_device(make: Any, name: str, asked: Mapping[str, Any]) -> nn.Module:
    """Some builders compute widths with tensors, which the meta device cannot."""
    try:
        return make(name, **asked)
    except NotImplementedError:
        there = torch.empty(0).device  # also where a `with` chose it, in older torch
        with torch.device("cpu"):
            return make(name, **asked).to(there)
