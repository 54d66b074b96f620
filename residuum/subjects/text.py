"""A text file as sequences of tokens."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DataError, UsageError, one_line
from ..storage import memory_bytes, read_bytes, sha256
from .asked import Source, place
from .images import is_text, named
from .origins import Origin

LENGTH, BYTES = 128, 256


@dataclass(frozen=True)
class Text:
    """`train`, `test`: tokens (N, length); the last tenth is the test part. `tokens`: in words,
    what a token is."""

    name: str
    train: Tensor
    test: Tensor
    tokens: str
    digest: str


def text(source: Source, origin: Origin, model: nn.Module, length: int | None) -> Text:
    """The file, cut into sequences one behind the other; what is left over at the end is not used.

    Tokens are those of the tokenizer in the model's folder, without special ones, else bytes.

    UsageError: no file was said, a tokenizer that cannot be used, bytes for a model of fewer than
    256 tokens. DataError: images; no text; fewer than two sequences.
    """
    path = _file(source, origin.name)
    data = read_bytes(path, DataError, most=memory_bytes())
    if not data:
        raise DataError(f"{path}: is empty. Give a text of at least two sequences")
    tokens, words = _tokens(data, path, origin, model)
    length = sequence_length(origin, model, length)
    if length < 2:
        raise UsageError(f"length: the next token is judged, so 2 tokens at least, not {length}")
    rows = len(tokens) // length
    if rows < 2:
        many = f"{len(tokens)} tokens are fewer than two sequences of {length}"
        raise DataError(f"{path}: {many}. Give a longer text or a smaller --length")
    sequences = tokens[: rows * length].view(rows, length)
    test = max(1, rows // 10)
    name = source.data_name or path.name
    return Text(name, sequences[:-test], sequences[-test:], words, sha256(data))


def _file(source: Source, name: str) -> Path:
    if source.data is None:
        raise UsageError(f"{name} reads tokens: say with --data which text file")
    for option, value in (("image_size", source.image_size), ("download", source.download)):
        if value:
            raise UsageError(f"{option} is of images, and {name} reads tokens. Leave it out")
    path = place(source.data)
    if named(source) or path.is_dir():
        raise DataError(f"{source.data} holds images, and {name} reads tokens: give a text file")
    if not path.exists():
        raise DataError(f"{source.data}: no such text file")
    if not is_text(path):
        raise DataError(f"{source.data} is no text (UTF-8), and {name} reads tokens")
    return path


def _tokens(data: bytes, path: Path, origin: Origin, model: nn.Module) -> tuple[Tensor, str]:
    entries = vocabulary(model)
    if origin.tokenizer is None:
        if entries < BYTES:
            few = f"its {entries} tokens are fewer than the 256 bytes"
            raise UsageError(f"{origin.name} comes without a tokenizer, and {few}")
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).long(), "bytes"
    try:
        words = data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from error
    library: Any = import_module("transformers")
    try:
        made = library.AutoTokenizer.from_pretrained(
            origin.tokenizer, local_files_only=True, trust_remote_code=False
        )
        tokens = made(words, add_special_tokens=False, verbose=False)["input_ids"]
    except Exception as error:
        said = one_line(error)
        raise UsageError(f"{origin.name}: its tokenizer cannot be used ({said})") from error
    found = torch.tensor(tokens, dtype=torch.long)
    if found.numel() and int(found.max()) >= entries:
        beyond = f"token {int(found.max())}, but the model knows {entries}"
        raise DataError(f"{origin.name}: its tokenizer gives {beyond}")
    return found, f"of {type(made).__name__}"


def vocabulary(model: nn.Module) -> int:
    """Entries of the table of tokens. UsageError: the model has none."""
    if hasattr(model, "get_input_embeddings"):
        table = model.get_input_embeddings()  # type: ignore[operator]
        return getattr(table, "num_embeddings", None) or len(table.weight)
    tables = [m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)]
    entries = getattr(getattr(model, "config", None), "vocab_size", None)
    if not tables and isinstance(entries, int):
        return entries
    if not tables:
        raise UsageError(f"{type(model).__name__} has no nn.Embedding, so it reads no tokens")
    return max(tables)


def sequence_length(
    origin: Origin, model: nn.Module, asked: int | None, usual: int = LENGTH
) -> int:
    """Of the sequences that the model is given: as asked, else its only one, else the usual, or as
    many tokens as it takes. UsageError: more tokens than it takes, or another number."""
    most = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    most = most if isinstance(most, int) and most > 0 else None
    if asked is None:
        return origin.length or min(usual, most or usual)
    if asked != (origin.length or asked):
        only = f"is a graph of operations for sequences of {origin.length} tokens alone"
        raise UsageError(f"length: {origin.name} {only}, not {asked}")
    if most is not None and asked > most:
        raise UsageError(f"length: {origin.name} is made for {most} tokens at most, not {asked}")
    return asked
