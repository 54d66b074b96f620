"""JSON and TOML into typed values, checked against the annotations of dataclasses.

What does not fit is one message with its place, `run.json: $.recipe.length: expected int, got str`,
and the nearest valid word where a word is unknown. msgspec converts; it ignores unknown keys, so
they are looked for here.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from .errors import ResiduumError, UsageError, nearest
from .storage import json_digest, read_bytes, read_json

T = TypeVar("T")
Wrong = type[ResiduumError]
MOST_TOML_BYTES = 1_000_000
_BOUNDS = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}
_NOTHING = (dataclasses.MISSING, msgspec.NODEFAULT)

# numbers that mean something: what a field so annotated holds is checked wherever it comes from
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Whole = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Pixels = Annotated[int, Meta(ge=1, le=2**16)]  # along one side of an image
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_LARGEST = 3.4e38  # finite in float32
Positive = Annotated[float, Meta(gt=0, le=_LARGEST)]
NotNegative = Annotated[float, Meta(ge=0, le=_LARGEST)]
_PATH = Annotated[str, Meta(min_length=1)]
Share = Annotated[float, Meta(ge=0, lt=1)]


def read(path: Path, kind: type[T], wrong: Wrong, schema: int | None = None, advice: str = "") -> T:
    """The value that a file holds: TOML where the name ends so, else JSON.

    `schema` is the number that a sealed file must carry (`storage.seal`), `advice` what to do where
    it carries another. Raises `wrong`: missing, not JSON or TOML, another schema, damaged, or not a
    `kind`.
    """
    value = _toml(path, wrong) if path.suffix == ".toml" else read_json(path, wrong)
    if schema is not None and isinstance(value, dict):
        found = value.get("schema")
        if found != schema or isinstance(found, bool):
            made = "no schema" if found is None else f"schema {found!r}"
            raise wrong(f"{path}: made with {made}; this version reads {schema}. {advice}".strip())
        if not _whole(value):
            raise wrong(f"{path}: damaged: not what was written (its digest). {advice}".strip())
    return build(value, kind, str(path), wrong)


def _whole(value: dict[str, Any]) -> bool:
    """Whether a sealed value is the one that was written; takes its schema and digest out."""
    said = value.pop("sha256", None)
    try:
        right = said == json_digest(value)
    except (ValueError, RecursionError):
        return False
    del value["schema"]
    return right


def build(value: object, kind: type[T], where: str, wrong: Wrong) -> T:
    """The typed value of plain ones (dicts, lists, numbers, text); `where` opens the message."""
    try:
        built = msgspec.convert(value, kind)
        _refuse_unknown(value, built, "$", where, wrong)
    except msgspec.ValidationError as error:
        raise wrong(f"{where}: {_message(str(error), kind, value)}") from error
    except (RecursionError, OverflowError) as error:
        raise wrong(f"{where}: nested too deeply, or a number too large ({error})") from error
    return built


def plain(value: object, defaults: bool = True) -> Any:
    """The JSON builtins of a dataclass: dicts, lists (tuples too), numbers, text.

    Without `defaults` a field that holds its default is left out: a new field changes nothing.
    TypeError: something that is none of these.
    """
    if _typed(value):
        left_out = {} if defaults else _defaults(type(value))
        kept = {n: v for n, v in _fields(value).items() if n not in left_out or v != left_out[n]}
        return _tag(value) | plain(kept, defaults)
    if isinstance(value, Mapping):
        return {key: plain(part, defaults) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, defaults) for part in value]
    return msgspec.to_builtins(value)


def check(value: object, where: str, wrong: Wrong) -> None:
    """Every field of a dataclass that was made in Python, against its annotation; `where` opens the
    message, unless it is empty."""
    opening = f"{where}: " if where else ""
    for name, kind in _hints(type(value)).items():
        require(getattr(value, name), kind, f"{opening}{name}", wrong)


def require(given: object, kind: Any, where: str, wrong: Wrong) -> None:
    """One value made in Python against a type. Raises `wrong`, the message opened by `where`."""
    try:
        given = str(given) if isinstance(given, PurePath) else plain(given)
    except (TypeError, RecursionError):
        raise wrong(f"{where}: cannot be a {type(given).__name__}") from None
    try:
        msgspec.convert(given, _without_path(kind))
    except msgspec.ValidationError as error:
        said = _message(str(error), kind, given).removeprefix("$").removeprefix(": ")
        raise wrong(f"{where}{'' if said[0] in '.[' else ': '}{said}") from None


def expect(given: object, kind: type, where: str) -> None:
    """UsageError where the value is not of the class."""
    if not isinstance(given, kind):
        got = given.__name__ if isinstance(given, type) else type(given).__name__
        raise UsageError(f"{where}: expected a {kind.__name__}, got {got}")


def _without_path(kind: Any) -> Any:
    """A path is given as text too; no text is no path."""
    options = get_args(kind)
    if Path not in options:
        return kind
    return Union[tuple(_PATH if o in (Path, str) else o for o in options)]  # noqa: UP007


def _typed(thing: object) -> bool:
    """A dataclass or a struct of msgspec, or a value of one."""
    return dataclasses.is_dataclass(thing) or hasattr(thing, "__struct_fields__")


def _declared(kind: Any) -> tuple[Any, ...]:
    """The fields; both libraries describe them alike."""
    return (
        dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else msgspec.structs.fields(kind)
    )


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in _declared(kind)}


@cache
def _defaults(kind: type) -> dict[str, Any]:
    found = {field.name: field.default for field in _declared(kind)}
    for field in _declared(kind):
        if field.default_factory not in _NOTHING:
            found[field.name] = field.default_factory()
    return {name: value for name, value in found.items() if value not in _NOTHING}


def _toml(path: Path, wrong: Wrong) -> Any:
    data = read_bytes(path, wrong, MOST_TOML_BYTES)
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise wrong(f"{path}: not valid TOML ({error})") from error


def _refuse_unknown(given: object, built: object, place: str, where: str, wrong: Wrong) -> None:
    """Walk both side by side; only dataclasses have words that can be unknown."""
    if isinstance(given, Mapping):
        known: Any = _tag(built) | _fields(built) if _typed(built) else built
        for key, part in given.items():
            if key not in known:
                raise wrong(f"{where}: {place}: unknown word {key!r}.{nearest(str(key), known)}")
            _refuse_unknown(part, known[key], f"{place}.{key}", where, wrong)
    elif isinstance(given, list | tuple) and isinstance(built, list | tuple):
        for i, (part, other) in enumerate(zip(given, built, strict=True)):
            _refuse_unknown(part, other, f"{place}[{i}]", where, wrong)


def _fields(value: object) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _hints(type(value))}


def _tag(value: object) -> dict[str, Any]:
    """The word that tells the kinds of a union apart: `kind`, as it stands in files."""
    config = getattr(value, "__struct_config__", None)
    return {} if config is None or config.tag is None else {config.tag_field: config.tag}


def _message(text: str, kind: Any, given: object) -> str:
    """msgspec's text with its place in front, and the nearest valid word behind."""
    said, _, place = text.partition(" - at `$")
    place = place.removesuffix("`")
    steps = re.findall(r"(?<=\.)\w+|\[\d*", place)
    said = re.sub(r"^Expected `(.*?)`, got `(.*?)`$", r"expected \1, got \2", said)
    said = re.sub(r"^Expected `(.*?)` of length (.*)$", r"expected \1 of length \2", said)
    said = re.sub(r"^Object missing required field `(.*?)`$", r"missing \1", said)
    bound = re.fullmatch(r"Expected `\w+` (>=|>|<=|<) (\S+)", said)
    if bound:
        least = f"{_BOUNDS[bound[1]]} {bound[2].removesuffix('.0')}"
        said = f"must be {least}, not {_at(given, steps)!r}"
    shape = re.fullmatch(r"Expected `str` matching regex '(.*)'", said)
    if shape:
        said = f"must be like {shape[1]}, not {_at(given, steps)!r}"
    word = re.fullmatch(r"Invalid (?:enum )?value '(.*)'", said)
    if word:
        valid = set(_words_at(kind, [step[0] if step[0] == "[" else step for step in steps]))
        said = f"unknown word {word[1]!r}.{nearest(word[1], valid) if valid else ''}"
    return f"${place}: {said}"


def _at(given: Any, steps: list[str]) -> Any:
    """What stands at a place of plain values; the whole where it cannot be followed."""
    for step in steps:
        try:
            given = given[int(step[1:]) if step[0] == "[" else step]
        except (KeyError, IndexError, TypeError, ValueError):
            break
    return given


def _words_at(kind: Any, steps: list[str]) -> list[str]:
    """The words that may stand at a place: those of a `Literal`, or the tags of a union."""
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if not steps:
        return [word for o in options if get_origin(o) is Literal for word in get_args(o)]
    step, *rest = steps
    found: list[str] = []
    for option in options:
        if step == "[":
            inner = [a for a in get_args(option) if a is not ...]
            found += _words_at(inner[-1], rest) if inner else []
        elif _typed(option):
            found += [tag for field, tag in _tag(option).items() if field == step and not rest]
            found += _words_at(_hints(option).get(step), rest)
    return found
