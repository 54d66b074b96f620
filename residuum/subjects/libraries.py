"""Models of torchvision and timm: with initial weights, and normalised as their weights ask."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

from torch import nn

from ..errors import UsageError, nearest
from ..presets.libraries import PREFIX, model, pixels_of_model, require_model, takes_one_size
from .origins import DEFAULT_CLASSES, Origin, moments

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what torchvision's weights use


def torchvision_model(name: str) -> Origin:
    """`tv:NAME`. UsageError: torchvision is not there, or has no such model."""
    word = f"{PREFIX}{name}"
    require_model(word)

    def make(classes: int | None, size: int | None) -> nn.Module:
        return model(word, classes or DEFAULT_CLASSES, size=size)

    return Origin(
        *(word, f"torchvision {version('torchvision')}", make, "image"),
        classes=DEFAULT_CLASSES,
        size=pixels_of_model(name),
        fixed=takes_one_size(name),
        normaliser=moments(*IMAGENET),
    )


def timm_model(name: str) -> Origin:
    """`timm:NAME`. UsageError: timm is not installed, or has no such model."""
    try:
        library: Any = import_module("timm")
    except ImportError as error:
        advice = "pip install 'residuum[timm]'"
        raise UsageError(f"timm:{name} needs timm ({error}): {advice}") from error
    known = library.list_models()
    if name.partition(".")[0] not in known:
        raise UsageError(f"timm has no model {name!r}.{nearest(name, known)}")
    found = library.get_pretrained_cfg(name)
    asked = {} if found is None else found.to_dict()
    fixed = bool(asked.get("fixed_input_size"))
    channels, side = asked.get("input_size", (3, 224, 224))[:2]
    if channels != 3:
        raise UsageError(f"timm:{name} reads {channels} channels, and images here have 3")

    def make(classes: int | None, size: int | None) -> nn.Module:
        options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
        if fixed and size not in (None, side):
            options["img_size"] = size
        return library.create_model(name, pretrained=False, **options)

    return Origin(
        *(f"timm:{name}", f"timm {version('timm')}", make, "image"),
        classes=asked.get("num_classes"),
        size=side,
        fixed=fixed,
        normaliser=moments(
            *(tuple(asked.get(k, v)) for k, v in zip(("mean", "std"), IMAGENET, strict=True))
        ),
    )
