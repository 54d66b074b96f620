"""How two runs differ: in what changes the numbers, in where they ran, in words only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import CheckpointError
from ..reader import plain
from ..storage import read_bytes
from .requests import verb

if TYPE_CHECKING:
    from ..training.description import Description

Weight = Literal["meaning", "machine", "words"]
MOST_LINES = 20  # of structure


@dataclass(frozen=True)
class Difference:
    """One place at which two descriptions differ; None where one says nothing there.

    `weight`: "meaning" changes the numbers, "machine" at most the last bits, "words" nothing.
    """

    what: str
    first: Any
    second: Any
    weight: Weight


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    `same_meaning`: whether they are the same run, whoever asks.
    `structure`: lines in which their networks differ, "-" of the first, "+" of the second.
    """

    first: str
    second: str
    same_meaning: bool
    differences: tuple[Difference, ...]
    structure: tuple[str, ...]


@verb
def diff(first: str | Path, second: str | Path) -> Comparison:
    """Show how two runs differ: recipe, network, data, precision, machine and versions.

    CheckpointError: no run there, or a damaged one.

    Parameters
    ----------
    first
        A run's folder.
    second
        Another's.
    """
    from ..training.description import Description

    folders = Path(first), Path(second)
    ours, theirs = map(Description.load, folders)
    same = ours.identity.digest == theirs.identity.digest
    structure = () if ours.structure == theirs.structure else _structure(*folders)
    return Comparison(str(first), str(second), same, _differences(ours, theirs), structure)


def _differences(ours: "Description", theirs: "Description") -> tuple[Difference, ...]:
    """Heaviest first, each kind in the order of run.json."""
    one, other = dict(_flat(plain(ours))), dict(_flat(plain(theirs)))
    both = ((place, one.get(place), other.get(place)) for place in one | other)
    found = [Difference(place, a, b, _weight(place)) for place, a, b in both if a != b]
    return tuple(sorted(found, key=lambda difference: get_args(Weight).index(difference.weight)))


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """("recipe.schedule.kind", "steps"), ...; lists stay whole."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _flat(part, f"{place}.{name}" if place else name)
    else:
        yield place, value


def _weight(place: str) -> Weight:
    match place.split("."):
        case ["machine" | "versions", *_]:
            return "machine"
        case ["recipe", "name" | "source"] | ["recipe", "scheme", "teacher"]:
            return "words"
        case ["network" | "recipe" | "precision" | "scheme" | "structure", *_] | ["data", "digest"]:
            return "meaning"
    return "words"


def _structure(first: Path, second: Path) -> tuple[str, ...]:
    from ..networks.fingerprint import differences

    try:
        files = [read_bytes(folder / "structure.txt") for folder in (first, second)]
    except CheckpointError as error:
        return (f"({error})",)
    ours, theirs = (file.decode(errors="replace").splitlines() for file in files)
    return tuple(line.strip() for line in differences(ours, theirs, MOST_LINES).splitlines())
