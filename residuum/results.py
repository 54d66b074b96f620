"""What a study leaves behind: plain data that is saved, loaded, drawn and reported without torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from .errors import UsageError
from .storage import read_json, write_json

SCHEMA = 1
Verdict = Literal["reproduced", "not reproduced", "not decidable at this scale", "exact", "measured"]
Number = float | int | None


@dataclass(frozen=True)
class Series:
    """A curve: y over x, an interval for each point where there is one, and what a pointer resting on it reads."""

    name: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    labels: tuple[str, ...] = ()
    style: Literal["line", "dashed", "points", "bars", "level"] = "line"


@dataclass(frozen=True)
class Span:
    """A range of x worth marking: an effective range, say."""

    first: float
    last: float
    name: str


@dataclass(frozen=True)
class Figure:
    """Axes and curves. Errors are in percent, other units stand in the labels."""

    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_y: bool = False
    reverse_x: bool = False
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under named columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, its value there and here, and what follows. `rule` says when it counts as reproduced."""

    statement: str
    paper: str
    ours: str
    verdict: Verdict
    rule: str = ""


@dataclass(frozen=True)
class Result:
    """One table or figure of a paper, measured: `item` is its name there ("figure 3")."""

    item: str
    title: str
    finding: str
    claim: Claim
    figure: Figure | None = None
    table: Table | None = None
    n: str = ""
    notes: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        return self.item.lower().replace(" ", "-").replace("(", "").replace(")", "")


@dataclass(frozen=True)
class Unit:
    """One unit on the map of a network: where it stands, its shapes, and what deleting it does."""

    number: int
    shape: str
    parameters: int
    kind: str
    error: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Network:
    """A trained network in a study: its numbers and the map of its units. Errors in percent."""

    name: str
    role: str
    parameters: int
    depth: int
    test_error: float
    interval: tuple[float, float]
    n: int
    units: tuple[Unit, ...] = ()


@dataclass(frozen=True)
class Study:
    """Everything that a report shows."""

    name: str
    title: str
    data: str
    scale: str
    findings: tuple[str, ...]
    networks: tuple[Network, ...]
    results: tuple[Result, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        write_json(path, {"schema": SCHEMA} | asdict(self))

    @staticmethod
    def load(path: Path) -> "Study":
        """UsageError: not a study, or one of a newer version."""
        value = read_json(path, UsageError)
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise UsageError(f"{path}: not a study of this version (schema {SCHEMA}). `residuum study` makes one")
        value.pop("schema")
        try:
            return _build(Study, value)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise UsageError(f"{path}: not a study, or a damaged one ({error})") from error


_PARTS: dict[tuple[type, str], type] = {
    (Study, "networks"): Network,
    (Study, "results"): Result,
    (Network, "units"): Unit,
    (Result, "claim"): Claim,
    (Result, "figure"): Figure,
    (Result, "table"): Table,
    (Figure, "series"): Series,
    (Figure, "spans"): Span,
}


def _build(kind: Any, value: Mapping[str, Any]) -> Any:
    known = {f.name for f in fields(kind)}
    if unknown := set(value) - known:
        raise ValueError(f"unknown entry {sorted(unknown)[0]!r} in a {kind.__name__.lower()}")
    return kind(**{name: _convert(_PARTS.get((kind, name)), part) for name, part in value.items()})


def _convert(kind: type | None, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_convert(kind, v) for v in value)
    return _build(kind, value) if kind is not None and value is not None else value
