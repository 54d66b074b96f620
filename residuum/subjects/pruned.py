"""The folder of `residuum prune`: a model without units, by the word that it was made of."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..data.normalise import Normaliser, unchanged
from ..errors import CheckpointError, UsageError, several
from ..presets import find
from ..surgery import stored
from ..training import Run
from .models import Opened
from .origins import Origin, origin
from .weights import digest, drawn

PROGRAM = "model.pt2"
INTACT = "intact"  # what describes a model of transformers with all its units


def pruned_folder(folder: str) -> Origin:
    """What `prune` kept there.

    UsageError: a model that a function made, whose name is never taken from a file; a program
    (.pt2), which is for others. CheckpointError: damaged.
    """
    _require_description(folder)
    kept, about = stored.description(folder), stored.about(folder)
    source = start(kept, folder)

    def load() -> nn.Module:
        if source is None:
            return stored.load(folder)
        assert kept.word is not None
        with drawn(0):
            whole = source.make(kept.word.classes, kept.word.size)
        small = stored.load(folder, whole)
        for name in ("config", "main_input_name"):  # a graph reads what the model reads
            if hasattr(whole, name) and not hasattr(small, name):
                setattr(small, name, getattr(whole, name))
        return small

    def make(classes: int | None, size: int | None) -> nn.Module:
        with torch.device("cpu"):  # also where a model without values is asked for
            return load()

    found = json.loads(about.get("classes", "[]"))
    own = kept.network
    what = own.preset if own is not None else about.get("model", "")
    return Origin(
        *(folder, f"{what} without {several(len(kept.removed), 'unit')}", make),
        "image" if source is None else source.reads,
        *(load, (Path(folder) / kept.weights.file,)),
        classes=own.classes if own is not None else kept.word and kept.word.classes,
        size=pixels_said(about) or _built_for(kept) or (source and source.size),
        fixed=True,
        length=_length(kept),
        normaliser=_normaliser(about),
        tokenizer=source.tokenizer if source is not None else None,
        labels=tuple(map(str, found)) if isinstance(found, list) else (),
    )


def _require_description(folder: str) -> None:
    """UsageError, CheckpointError: without one nothing builds the model again."""
    if (Path(folder) / stored.FILE).exists():
        return
    if (Path(folder) / "config.json").exists():
        raise UsageError(f"{folder}: transformers loads it. Say hf:{folder}")
    if not (Path(folder) / PROGRAM).exists():
        raise CheckpointError(f"{folder}: {stored.FILE} is missing. Prune again")
    raise UsageError(f"{folder}: holds {PROGRAM}, which is written for others and not read here")


def _built_for(kept: stored.Shortened) -> int | None:
    """Pixels of a side."""
    if kept.network is None:
        return kept.word.size if kept.word is not None else None
    built = kept.network.options.get("size")
    return built if isinstance(built, int) else find(kept.network.preset).size


def _length(kept: stored.Shortened) -> int | None:
    """Tokens of a sequence: a graph of operations is for the length that it was made at."""
    shapes = (*kept.inputs, *kept.keywords.values())
    return next((s.size[1] for s in shapes if s.dtype == "int64" and len(s.size) == 2), None)


def start(kept: stored.Shortened, folder: str) -> Origin | None:
    """What builds the model with all its units; None of a preset."""
    if kept.word is None:
        return None
    name = kept.word.name
    kind, _, where = name.partition(":")
    if kind not in ("tv", "timm", "hf"):
        raise UsageError(
            f"{folder}: made of {name}, and no function is called that a file names. In "
            "Python: surgery.load(folder, model)"
        )
    for each, known in kept.word.files.items():
        file = Path(folder, where, Path(each).name)
        if not file.is_file() or digest(file) != known:
            raise CheckpointError(f"{file}: is missing or was changed. Prune again")
    try:  # a folder is seen from this one
        return origin(f"hf:{Path(folder, where)}" if kind == "hf" else name)
    except UsageError as error:
        what = f"was made of {name}, which builds it again"
        raise CheckpointError(f"{folder}: {what}. {error}") from error


def labels(classes: Sequence[str], normaliser: Normaliser | None) -> dict[str, str]:
    """For the metadata of files: the classes in order, and what pixels (0-255) are normalised by,
    where that are numbers a channel."""
    found = {"classes": json.dumps(list(classes), ensure_ascii=False)} if classes else {}
    if normaliser is None or normaliser.prepare is not unchanged or normaliser.mean.ndim != 1:
        return found
    numbers = {"mean": normaliser.mean.tolist(), "std": normaliser.std.tolist()}
    return found | {"normaliser": json.dumps(numbers)}


def about_run(run: Run) -> dict[str, str]:
    """What a run says of its model; the numbers of its normalisation follow from its data."""
    assert run.network is not None
    told = {"model": run.network.preset, "data": run.data.name, "data sha256": run.data.digest}
    told |= {"weights sha256": run.outcome.weights.sha256}
    return told | {"normalisation": run.recipe.normalisation} | labels(run.data.classes, None)


def about_of(opened: Opened) -> dict[str, str]:
    """What stands in the file of an opened model."""
    start = opened.origin
    if start.run is not None:
        return about_run(start.run)
    told = {"model": start.name, "source": start.source, "weights": opened.weights}
    return told | labels(start.labels, start.normaliser)


def _normaliser(about: dict[str, str]) -> Normaliser | None:
    if "normaliser" not in about:
        return None
    try:
        said = json.loads(about["normaliser"])
        return Normaliser(torch.tensor(said["mean"]), torch.tensor(said["std"]))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"the normaliser that the weights name is none ({error})") from error


def pixels_said(about: dict[str, str]) -> int | None:
    """Of a side of the images that the model was opened for."""
    said = about.get("image size", "")
    return int(said) if said.isdecimal() else None
