"""What goes wrong, with the exit code a command line ends with, and the nearest valid name.

A message says what was got, where, and what to do instead. Only these exceptions are a user's to
read; any other is a fault of ours and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ResiduumError(Exception):
    """A mistake in what we were given, or a condition outside, told in one message."""

    exit_code = 1


class UsageError(ResiduumError, ValueError):
    """An unknown name or an impossible number: nothing has been done yet."""

    exit_code = 2


class DataError(ResiduumError):
    """An image, an archive or a data set that is missing, broken or does not fit."""

    exit_code = 3


class CheckpointError(ResiduumError):
    """Stored weights or state that are damaged, or belong to something else."""

    exit_code = 4


class NumericError(ResiduumError):
    """A number that is not finite, or that contradicts what was claimed."""

    exit_code = 5


class ResourceError(ResiduumError):
    """Disk, memory or descriptors have run out."""

    exit_code = 6


class DistributedError(ResiduumError):
    """Processes of one run that cannot find each other or disagree."""

    exit_code = 7


class LockedError(ResiduumError):
    """Another living process works in the same folder."""

    exit_code = 8


class ExportError(ResiduumError):
    """A model that cannot be written for others, or a file that answers otherwise than the model.

    `rejected`: where such a file was kept to be looked at; never under the name that was asked for.
    """

    exit_code = 9
    rejected: str | None = None


class Interrupted(ResiduumError):
    """Stopped by a signal after the state was saved; the code is 128 + the signal."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number, self.exit_code = signal_number, 128 + signal_number

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        """So that a worker process can hand it to its parent."""
        return type(self), (str(self), self.signal_number)


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what a MemoryError or a library's RuntimeError says."""
    said = str(error).lower()
    words = ("out of memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(error, MemoryError) or any(word in said for word in words)


def nearest(name: str, valid: Iterable[str]) -> str:
    """`" Did you mean 'resnet56'?"`, or the valid names where none is near. Small and capital
    letters are alike, and the start of a name is near it.

    Made to follow a full stop.
    """
    names, typed = sorted(valid), name.lower()
    small = {each.lower(): each for each in names}
    starts = (each for each in small if typed and each.startswith(typed))
    for close in (*get_close_matches(typed, small, n=1, cutoff=0.5), *starts):
        return f" Did you mean {small[close]!r}?"
    return f" Valid: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}."


def several(number: int, what: str) -> str:
    """ "1 unit", "2 units"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def one_line(error: BaseException) -> str:
    """What somebody else's code says, for a message of ours: at most 300 characters."""
    return " ".join(str(error).split())[:300]


def kind_and_line(error: BaseException) -> str:
    """The kind of error, and what it says in one line."""
    return f"{type(error).__name__}: {one_line(error)}"


def first_line(error: BaseException) -> str:
    """The kind of error, and the first line of what it says: the others are for developers."""
    words = str(error).strip() or "no words"
    return f"{type(error).__name__}: {words.splitlines()[0][:300]}"


def held(proven: int, units: int, untried: tuple[str, ...]) -> str:
    """Of how many units what was tried holds, in one line."""
    if not units:
        return "no residual units, nothing to prove"
    ending = f"; not tried: {', '.join(untried)}" if untried else ""
    return f"{proven} of {several(units, 'unit')} {'holds' if units == 1 else 'hold'}{ending}"
