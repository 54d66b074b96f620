"""What is tried. Commands, flags and their types are read from the command line itself, files from
the pristine folder: what is new is tried by itself."""

import json
import os
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from hypothesis import strategies as st

from residuum.cli import app

from .words import FLOATS, FOREIGN, INTEGERS, MAY_BE_ZERO, READERS, READING, TEXTS, VALID, WORDS


@dataclass(frozen=True)
class Case:
    """A command, with a file damaged or not; as JSON it is carried out again."""

    arguments: list[str]
    file: str = ""
    change: str = ""  # what is done to the file
    at: int = 0  # where, in millionths of it
    byte: int = 0
    impossible: str = ""  # an argument that must not be accepted

    @property
    def command(self) -> str:
        return self.arguments[0] if self.arguments[0] in {*VALID, *READING} else ""

    def damage(self, place: Path) -> None:
        if self.file:
            _damage(place / self.file, self)


# ---- flags ----


@cache
def flags(command: str) -> dict[str, Any]:
    """Name -> type of every flag."""
    found = {}
    for argument in app[command].assemble_argument_collection():
        for name in argument.names:
            if name.startswith("-") and not name.startswith(("--no-", "--empty-")):
                found[name] = argument.hint
    return found


def commands() -> list[str]:
    return [name for name in app if not name.startswith("-")]


def _kinds(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, UnionType):
        return tuple(k for option in typing.get_args(hint) for k in _kinds(option))
    if typing.get_origin(hint) is tuple:
        return tuple(k for part in typing.get_args(hint) if part is not ... for k in _kinds(part))
    return () if hint is NoneType else (hint,)


def values(hint: Any) -> st.SearchStrategy[str]:
    """Right and wrong words for a flag of this type."""
    kinds = _kinds(hint)
    texts = st.sampled_from(TEXTS + WORDS + FOREIGN) | st.text(
        st.characters(codec="utf-8"), max_size=8
    )
    if int in kinds:
        return st.sampled_from(INTEGERS) | st.integers(-(10**6), 10**6).map(str)
    if float in kinds:
        return st.sampled_from(FLOATS) | st.floats().map(str)
    literals = [word for kind in kinds for word in typing.get_args(kind) if isinstance(word, str)]
    return st.sampled_from([*literals, *TEXTS]) if literals else texts


@st.composite
def with_flags(draw: Callable[..., Any]) -> Case:
    """A command, mostly with what it needs, and up to two more flags."""
    command = draw(st.sampled_from(commands()))
    given, impossible = list(draw(st.sampled_from(VALID.get(command, [[]])))), ""
    if given and not draw(st.integers(0, 5)):
        given[0] = draw(st.sampled_from(TEXTS + WORDS) | st.sampled_from(FOREIGN))
    known = flags(command)
    for name in draw(st.lists(st.sampled_from(sorted(known)), max_size=2, unique=True)):
        if name in ("--help", "--version"):
            continue
        if known[name] is bool:
            given += [name] if draw(st.booleans()) else [f"{name}={draw(st.sampled_from(TEXTS))}"]
            continue
        value = draw(values(known[name]))
        given += draw(st.sampled_from([[name, value], [f"{name}={value}"]]))
        impossible = impossible or _impossible(name, value, known[name])
    if not draw(st.integers(0, 15)):
        given = draw(st.permutations(given))
    spelling = command if draw(st.integers(0, 30)) else command[:-1]
    arguments = [spelling, *(os.fsdecode(os.fsencode(a)) for a in given)]
    return Case(arguments, impossible=impossible if spelling == command else "")


def _impossible(name: str, value: str, hint: Any) -> str:
    """A whole number is asked for and this is none, or one that nothing can be that many of."""
    if int not in _kinds(hint):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    least = 0 if name in MAY_BE_ZERO else 1
    return "" if number == number // 1 and number >= least else f"{name} {value}"


# ---- files ----

CHANGES = ["flip", "flip", "flip", "flip", "set", "cut", "insert", "drop", "repeat", "value",
           "value", "value", "key", "key", "empty", "folder", "pipe", "device", "gone"]  # fmt: skip
MILLION = 10**6
HOSTILE = [None, True, -1, 0, 10**400, 1e308, "", "..", "../../x", "/etc/passwd", "\0", "\ud800",
           "x" * 5000, [], {}, [[]], 0.5, "0", "channe|"]  # fmt: skip


@st.composite
def with_files(draw: Callable[..., Any], pristine: Path) -> Case:
    """A file that a command reads, changed in one place."""
    files = sorted(
        str(path.relative_to(pristine))
        for name in READERS
        for path in ((pristine / name).rglob("*") if (pristine / name).is_dir()
                     else [pristine / name])
        if path.is_file()
    )  # fmt: skip
    file = draw(st.sampled_from(files))
    readers = next(r for name, r in READERS.items() if file.startswith(name))
    change, at = draw(st.sampled_from(CHANGES)), draw(st.integers(0, MILLION - 1))
    return Case(
        READING[draw(st.sampled_from(readers))], file, change, at, draw(st.integers(0, 255))
    )


def _damage(path: Path, case: Case) -> None:
    data = path.read_bytes()
    at = case.at * len(data) // MILLION
    after = data[at + 1 :]
    match case.change:
        case "flip":
            data = data[:at] + bytes(b ^ 1 << case.byte % 8 for b in data[at : at + 1]) + after
        case "set":
            data = data[:at] + bytes([case.byte]) + after
        case "cut":
            data = data[:at]
        case "insert":
            data = data[:at] + bytes([case.byte]) * 3 + data[at:]
        case "drop":
            data = data[:at] + data[at + 1 + case.byte :]
        case "repeat":
            data = data[:at] + data[max(0, at - case.byte) :]
        case "value" | "key":
            data = _in_json(data, case)
        case "empty":
            data = b""
        case _:
            return _in_place_of(path, case.change)
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _in_place_of(path: Path, change: str) -> None:
    before = path.stat()
    path.unlink()
    match change:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
    if change != "gone":
        times = before.st_atime_ns, before.st_mtime_ns
        os.utime(path, ns=times, follow_symlinks=False)


def _in_json(data: bytes, case: Case) -> bytes:
    """One value replaced, or one key dropped or added; other bytes where it is no JSON."""
    try:
        whole = json.loads(data)
    except ValueError:
        return data[: len(data) // 2] + bytes([case.byte])
    places = list(_places(whole))
    if not places:
        return b"null"
    holder, key = places[case.at * len(places) // MILLION]
    if case.change == "value":
        holder[key] = HOSTILE[case.byte % len(HOSTILE)]
    elif case.byte % 2:
        del holder[key]
    elif isinstance(holder, dict):
        holder["stranger"] = holder[key]
    else:
        holder.append(holder[key])
    return json.dumps(whole).encode()


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
