"""A model without units, put into the folder of `residuum prune` so that it is built again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from .. import surgery
from ..errors import CheckpointError, ExportError, UsageError
from ..presets import find
from ..storage import make_folder, new_folder, remove_folder, sha256, write_bytes
from ..surgery.files import quietly
from ..surgery.stored import Word
from ..task import logits
from ..training import Blueprint
from ..units import ResidualNetwork
from ..views.edits import device_of
from ..views.foreign import ForeignView
from ..views.inputs import call, take
from .asked import is_pruned, place
from .hugging_face import description, transformers_folder
from .origins import Origin, origin
from .pruned import INTACT, PROGRAM, pixels_said
from .subject import Subject
from .weights import drawn


def whole(model: str | Path) -> Origin:
    """What the word names. UsageError: a folder of `prune`, whose units have other numbers."""
    if is_pruned(str(model)):
        raise UsageError(f"{model}: was pruned. Prune the whole model, until fewer units are left")
    return origin(model)


def alike(model: nn.Module) -> None:
    """One of our own networks in the memory format that it is read in, so that times and bits can
    be compared."""
    if isinstance(model, ResidualNetwork):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def keep(
    small: nn.Module, subject: Subject, start: Origin, units: tuple[int, ...], folder: Path
) -> tuple[str, str, nn.Module]:
    """In the best way that there is: "preset", "folder" (transformers), "word" or "program" (.pt2);
    why so, and the model as it is read from there.

    ExportError: in none of them.
    """
    about = {**subject.provenance, "removed": json.dumps(units)}
    size = pixels_said(about)
    if isinstance(small, ResidualNetwork):
        surgery.save(small, folder, _blueprint(start, subject, size), units, about)
        return "preset", "", surgery.load(folder).to(device_of(subject.model))
    inputs = take(subject.test.inputs, slice(2))
    named = isinstance(inputs, Mapping)
    given, words = (() if named else (inputs,)), (dict(inputs) if named else {})
    note = ""
    if hasattr(small, "save_pretrained"):
        try:
            surgery.write_folder(small, folder, *given, about=about, **words)
            with quietly():
                again = type(small).from_pretrained(folder)  # type: ignore[attr-defined]
            return "folder", "", again.eval().to(device_of(subject.model))
        except ExportError as error:
            note = f"not for transformers: {_forgotten(error, folder)}"
    try:
        return "word", note, _keep_word(small, subject, start, units, folder)
    except CheckpointError as error:
        try:
            surgery.write_program(small, folder / PROGRAM, *given, about=about, **words)
        except ExportError as other:
            raise ExportError(f"{error}; nor as {PROGRAM}: {_forgotten(other, folder)}") from other
        return "program", f"only as {PROGRAM}: {error}", small


def _forgotten(error: ExportError, folder: Path) -> str:
    """What it says, without the file that was rejected: our folder goes with all that is in it."""
    if error.rejected is not None:
        remove_folder(Path(error.rejected))
    said = error if error.rejected is None else error.__cause__
    return str(said).replace(f"{folder}: ", "").replace(f"{folder}/", "")


def _keep_word(
    small: nn.Module, subject: Subject, start: Origin, units: tuple[int, ...], folder: Path
) -> nn.Module:
    """What describes a model of transformers comes along, so that nothing else is needed."""
    about = {**subject.provenance, "removed": json.dumps(units)}
    ran = start.run.network if start.run is not None else None
    kind, _, where = start.name.partition(":")
    name = f"hf:{INTACT}" if kind == "hf" else start.name if ran is None else ran.preset
    files = description(place(where)) if kind == "hf" else {}
    digests = {name: sha256(content) for name, content in files.items()}
    word = Word(name, _classes(subject), pixels_said(about), digests)
    assert isinstance(subject.view, ForeignView)
    with new_folder(folder) as between:
        make = _maker(start, word)
        surgery.save_model(small, between, subject.view, units, word, make, about)
        if kind == "hf":
            intact = make_folder(between / INTACT)
            for each, content in files.items():
                write_bytes(intact, each, content)
            make = _maker(transformers_folder(str(between / INTACT)), word)
        return surgery.load(between, make()).to(device_of(subject.model))


def _blueprint(start: Origin, subject: Subject, size: int | None) -> Blueprint:
    if start.run is not None and start.run.network is not None:
        return start.run.network
    classes = _classes(subject)
    assert classes is not None  # our own networks read images
    sized = size is not None and "size" in find(start.name).options
    return Blueprint(start.name, classes, {"size": size} if sized else {})


def _classes(subject: Subject) -> int | None:
    """How many the model tells apart; None of a model of text."""
    if subject.example != "image":
        return None
    with torch.no_grad():
        return logits(call(subject.model, take(subject.test.inputs, slice(1)))).shape[1]


def _maker(start: Origin, word: Word) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        with drawn(0):
            return start.make(word.classes, word.size)

    return make
