"""`hf:FOLDER`: a model of transformers from a folder on disk, without code or pickles of it."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from ..data.normalise import Normaliser
from ..errors import CheckpointError, UsageError, kind_and_line
from ..surgery.files import quietly
from .asked import place
from .origins import Origin, Reads, moments

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "*.model")
DESCRIPTION = (
    *("config.json", "preprocessor_config.json", "generation_config.json"),
    *(*TOKENIZERS, "merges.txt", "special_tokens_map.json", "added_tokens.json"),
)


def transformers_folder(where: str) -> Origin:
    """The model that the folder's config.json describes: its first architecture, else the causal
    language model or image classifier of its kind.

    UsageError: transformers is not installed; no such folder, no configuration, one that asks for
    code of its own, or for no model that transformers has.
    """
    folder, word = _folder(where), f"hf:{where}"
    library = _library(word)
    config = _config(library, folder, word)
    kind = _class(library, config, word)
    reads = _reads(kind)
    stored = tuple(sorted(folder.glob("*.safetensors")))
    pickled = _pickled(folder)
    size = getattr(config, "image_size", None) if reads == "image" else None

    def make(classes: int | None, size: int | None) -> nn.Module:
        wanted = copy.deepcopy(config)
        if classes is not None and reads == "image":
            wanted.num_labels = classes
        if size is not None and getattr(config, "image_size", None) is not None:
            wanted.image_size = size
        with quietly():
            return kind._from_config(wanted)

    def load() -> nn.Module:
        return loaded(kind, config, folder, word)

    tokenizer = any(next(folder.glob(pattern), None) for pattern in TOKENIZERS)
    return Origin(
        *(word, f"transformers {version('transformers')}, {kind.__name__}", make, reads),
        *(load if stored or pickled else None, stored),
        classes=config.num_labels if reads == "image" else None,
        size=size if isinstance(size, int) or not size else size[0],
        fixed=size is not None,
        normaliser=_normaliser(folder),
        tokenizer=folder if tokenizer else None,
        labels=tuple(name for _, name in sorted(config.id2label.items())) if stored else (),
    )


def _folder(where: str) -> Path:
    """UsageError: no configuration there."""
    if not where:
        raise UsageError("hf: names no folder. Say hf:FOLDER, one that save_pretrained wrote")
    folder = place(where)
    if not (folder / "config.json").is_file():
        what = "holds no config.json" if folder.is_dir() else "is no folder"
        advice = "hf: takes a folder that save_pretrained wrote; nothing is fetched from a hub"
        raise UsageError(f"hf:{where}: {where} {what}. {advice}")
    return folder


def description(folder: Path) -> dict[str, bytes]:
    """The files that say what the model is, and how its examples are read; all but its weights."""
    files = sorted(found for pattern in DESCRIPTION for found in folder.glob(pattern))
    return {file.name: file.read_bytes() for file in files}


def loaded(kind: Any, config: Any, folder: Path, word: str) -> nn.Module:
    """The model with the folder's weights, all of them and nothing else.

    CheckpointError: no safetensors; names missing or left over; what transformers refuses.
    """
    if not any(folder.glob("*.safetensors")):
        advice = "Write it anew with save_pretrained (safetensors), or give --weights"
        raise CheckpointError(
            f"{word}: {_pickled(folder)[0]} is a pickle, which is never read. {advice}"
        )
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(f"{word}: adapters are not read; merge them into the model first")
    from_disk = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    try:
        with quietly(), _no_bars():
            model, found = kind.from_pretrained(folder, config=config, **from_disk)
    except Exception as error:
        raise CheckpointError(f"{word}: cannot be loaded ({kind_and_line(error)})") from error
    said = [
        f"{words} {', '.join(sorted(map(str, found[key]))[:10])}"
        for key, words in (("missing_keys", "lacks"), ("unexpected_keys", "has besides"))
        if found[key]
    ]
    if said:
        raise CheckpointError(f"{word}: its weights are of another model: {'; '.join(said)}")
    return model


def _pickled(folder: Path) -> list[str]:
    return [file.name for pattern in PICKLES for file in sorted(folder.glob(pattern))]


def _library(word: str) -> Any:
    try:
        return import_module("transformers")
    except ImportError as error:
        advice = "pip install 'residuum[transformers]'"
        raise UsageError(f"{word} needs transformers ({error}): {advice}") from error


def _config(library: Any, folder: Path, word: str) -> Any:
    try:
        with quietly():
            return library.AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        raise UsageError(f"{word}: config.json cannot be used ({kind_and_line(error)})") from error


def _class(library: Any, config: Any, word: str) -> Any:
    names = config.architectures or ()
    for name in names:
        found = getattr(library, name, None)
        if isinstance(found, type) and issubclass(found, library.PreTrainedModel):
            return found
    tables = (
        library.MODEL_FOR_CAUSAL_LM_MAPPING,
        library.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
        library.MODEL_MAPPING,
    )
    for table in () if names else tables:
        if type(config) in table:
            return table[type(config)]
    what = ", ".join(names) or f"{config.model_type}, without architectures"
    raise UsageError(f"{word}: transformers {library.__version__} has no model {what}")


def _reads(kind: Any) -> Reads | None:
    return {"pixel_values": "image", "input_ids": "sequence"}.get(kind.main_input_name)  # type: ignore[return-value]


def _normaliser(folder: Path) -> Normaliser | None:
    """What preprocessor_config.json says, None where there is none."""
    try:
        said = json.loads((folder / "preprocessor_config.json").read_text())
        if not said.get("do_normalize", True):
            return moments((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        return moments(tuple(said["image_mean"]), tuple(said["image_std"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@contextmanager
def _no_bars() -> Iterator[None]:
    """Its bars of progress are not ours."""
    logs: Any = import_module("transformers.utils.logging")
    shown = logs.is_progress_bar_enabled()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logs.enable_progress_bar()
