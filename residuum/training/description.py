"""What run.json says, and what makes two runs the same one."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from .. import progress
from ..data import Dataset
from ..data.images import DataDescription
from ..errors import CheckpointError, DistributedError, UsageError
from ..machine import Machine, Precision, processor
from ..networks import fingerprint
from ..reader import plain, read
from ..storage import read_bytes, write_json, write_text
from .checkpoint import ADVICE, SCHEMA
from .recipe import Recipe


@dataclass(frozen=True)
class Blueprint:
    """How a network is built again: `preset(preset, classes, **options)`."""

    preset: str
    classes: int
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if clash := sorted({"name", "classes", "seed"} & set(self.options)):
            raise UsageError(f"a network has no option {clash[0]!r}")


@dataclass(frozen=True)
class Surroundings:
    """On what a run computes. Another one resumes it, but not bit-identically."""

    device: str
    threads: int
    processes: int
    compile: bool
    processor: str  # the CPU's model
    instructions: str = ""  # the CPU's instruction set in use; "" before it was recorded
    keeps_memory: bool = False  # between steps; changes no number
    recompute: bool = False  # in the backward pass; changes no number


@dataclass(frozen=True)
class Description:
    """Everything that a result depends on; nothing about the person or the place."""

    structure: str  # digest of networks/fingerprint.py
    recipe: Recipe
    data: DataDescription
    precision: Precision
    machine: Surroundings
    versions: Mapping[str, str]
    network: Blueprint | None = None  # None: a network of one's own
    scheme: str = ""  # of one's own, in words with its code; "" is the plain loop

    @staticmethod
    def load(folder: Path) -> "Description":
        """CheckpointError: no run there, a damaged one, or one of another schema."""
        file, advice = folder / "run.json", "`residuum train` makes one"
        if not file.exists():
            raise CheckpointError(f"{folder}: not a run folder (no run.json). {advice}")
        return read(file, Description, CheckpointError, SCHEMA, ADVICE)

    def save(self, folder: Path, network: nn.Module) -> None:
        """run.json counts and is written last; structure.txt is for reading and for messages."""
        write_text(folder, "structure.txt", "\n".join(fingerprint.describe(network)))
        write_json(folder, "run.json", plain(self), SCHEMA)

    @property
    def identity(self) -> "Identity":
        return Identity(
            self.network, self.structure, self.recipe, self.data.digest, self.precision, self.scheme
        )


@dataclass(frozen=True)
class Identity:
    """What changes a run's numbers: two runs of one identity are the same run, whoever asks.

    No prose, no machine, no versions; fields that hold their default are left out.
    """

    network: Blueprint | None
    structure: str
    recipe: Recipe
    data: str  # digest
    precision: str
    scheme: str = ""

    @property
    def meaning(self) -> dict[str, Any]:
        """As plain values, for comparing."""
        whole = plain(self, defaults=False) | {"recipe": self.recipe.meaning()}
        return {name: value for name, value in whole.items() if value is not None}

    @property
    def digest(self) -> str:
        """sha256 in hexadecimal: folders are named by its start."""
        return hashlib.sha256(json.dumps(self.meaning, sort_keys=True).encode()).hexdigest()


def describe(
    network: nn.Module, blueprint: Blueprint | None, data: Dataset, recipe: Recipe, machine: Machine
) -> Description:
    """Of a run that is about to start in one process."""
    where = Surroundings(
        device=machine.device,
        threads=machine.threads,
        processes=1,
        compile=machine.compile,
        keeps_memory=machine.keeps_memory,
        recompute=machine.recompute,
        **processor(),
    )
    described, digest = data.describe(), fingerprint.digest(network)
    return Description(digest, recipe, described, machine.precision, where, versions(), blueprint)


def require_same(folder: Path, old: Description, new: Description, network: nn.Module) -> None:
    """UsageError, with the difference, for another run in the folder. Warns of another machine."""
    changed = list(_differences(old.identity.meaning, new.identity.meaning))
    if old.structure != new.structure:
        changed.insert(0, f"another network (- there, + now):\n{changed_parts(folder, network)}\n")
    if changed:
        holds = f"holds a run of something else: {'; '.join(changed[:6])}"
        raise UsageError(f"{folder}: {holds}. Choose another --output")
    before, now = (plain(run.machine) | dict(run.versions) for run in (old, new))
    for same in ("keeps_memory", "recompute"):  # change no number
        del now[same]
    moved = [f"{what} {before.get(what)} -> {value}" for what, value in now.items()
             if before.get(what) != value]  # fmt: skip
    if moved:
        progress.say(f"warning: {folder}: bit-exactness is not promised: {'; '.join(moved)}")


def require_one_run(meanings: Sequence[str]) -> None:
    """DistributedError where the ranks, first to last, were asked for different runs."""
    first, *others = map(json.loads, meanings)
    for rank, other in enumerate(others, 1):
        if changed := list(_differences(first, other, names=("on rank 0", f"on rank {rank}"))):
            said = "; ".join(changed[:6])
            raise DistributedError(f"the ranks were asked for different runs: {said}")


def require_structure(folder: Path, recorded: str, network: nn.Module) -> None:
    """CheckpointError, with the lines: the network built now is not the one that was trained."""
    if fingerprint.digest(network) != recorded:
        raise CheckpointError(
            f"{folder}: trained with another network than is built now (- then, + now):\n"
            f"{changed_parts(folder, network)}\nTrain it again, or use the version that trained it"
        )


def changed_parts(folder: Path, network: nn.Module) -> str:
    """The first lines in which the run's network differs from this one."""
    try:
        recorded = read_bytes(folder / "structure.txt").decode(errors="replace").splitlines()
    except CheckpointError:
        return "  (its parts were not recorded)"
    return fingerprint.differences(recorded, fingerprint.describe(network))


def _differences(
    old: Any, new: Any, path: str = "", names: tuple[str, str] = ("", "")
) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            where = f"{path}.{key}" if path else key
            yield from _differences(old.get(key), new.get(key), where, names)
    # the structures of a folder's run are told in lines, not in digests
    elif old != new and (path != "structure" or any(names)):
        was, now = ("the default" if value is None else repr(value) for value in (old, new))
        yield f"{path} {names[0] or 'was'} {was}, {names[1] or 'is'} {now}"


def versions() -> dict[str, str]:
    """Of Python and of the libraries that numbers depend on."""
    python = ".".join(map(str, sys.version_info[:3]))
    libraries = ("residuum", "torch", "numpy")
    return {"python": python} | {name: metadata.version(name) for name in libraries}
