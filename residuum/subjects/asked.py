"""What is asked of a model and its data, as values: which weights, which examples. Needs no torch.

The text below a field is its help on the command line.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..reader import Count, Pixels, Seed

if TYPE_CHECKING:
    from ..data import Dataset


@dataclass(frozen=True)
class Source:
    """Where the images come from."""

    data: str | None = None
    """digits (the default), class folders or an archive of them, cifar10:DIR, cifar100:DIR,
    svhn:DIR. For models that read tokens: a text file."""
    data_name: str | None = None
    """What figures call the data (class folders, a text file)."""
    image_size: Pixels | None = None
    """Resize and crop to this many pixels (class folders)."""
    download: bool = False
    """Fetch a published archive that is missing."""
    no_cache: bool = False
    """Decode class folders anew, and keep nothing of them (see residuum cache)."""

    def load(self) -> "Dataset":
        """Raises what `residuum.data.load` raises."""
        from ..data import load

        source = "digits" if self.data is None else self.data
        cache = not self.no_cache
        return load(source, self.data_name, self.download, self.image_size, cache)


@dataclass(frozen=True)
class Opening:
    """With which weights a model is opened, and how much of a text it is given at once."""

    weights: str | Path | None = None
    """A safetensors file, or a folder that holds exactly one. Without: the weights that come with
    the model, else initial ones."""
    classes: Count | None = None
    """How many classes it tells apart; else as the weights say, or the data."""
    initial_seed: Seed | None = None
    """Of initial weights; 0 by default."""
    length: Count | None = None
    """Tokens of a sequence; by default 128, or as many as the model takes."""


@dataclass(frozen=True)
class Measuring(Opening):
    """Also on how many examples it is measured."""

    examples: Count | None = None
    """How many examples of each part, at equal distances. By default all that are tested on, and
    at most 1,000 of those that units are scored on."""


def is_run(word: str | Path) -> bool:
    """Whether it is the folder of a run."""
    return exists(Path(word) / "run.json")


def is_pruned(word: str | Path) -> bool:
    """Whether it is a folder of `residuum prune`, also one that nothing builds again."""
    return any(exists(Path(word) / name) for name in ("removed.json", "prune.json"))


def exists(path: Path) -> bool:
    """Whether something lies there; nothing does under a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def place(text: str | Path) -> Path:
    """The path, ~ expanded. UsageError: no such user, a name that no file can have."""
    try:
        path = Path(text).expanduser()
        path.stat()
    except FileNotFoundError:
        return path
    except (OSError, ValueError, RuntimeError) as error:
        wrong = getattr(error, "strerror", None) or error
        raise UsageError(f"{str(text)[:200]!r}: cannot be read ({wrong})") from error
    return path
