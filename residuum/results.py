"""What a study leaves behind: plain data saved, loaded, drawn and reported without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from .errors import UsageError
from .reader import Count, Whole, plain, read, require
from .storage import write_json

SCHEMA = 2
Verdict = Literal[
    "reproduced", "not reproduced", "not decidable at this scale", "exact", "measured"
]
Number = float | int | None
Style = Literal["line", "dashed", "points", "bars", "level"]
Name = Annotated[str, Meta(pattern=r"^\w[\w ().+-]*\Z", max_length=100)]  # files are named by it


@dataclass(frozen=True)
class Series:
    """A curve: y over x, with intervals where there are any, and what a pointer on it reads."""

    name: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    labels: tuple[str, ...] = ()
    style: Style = "line"

    def __post_init__(self) -> None:
        if len(self.y) != len(self.x) or len(self.low) != len(self.high):
            raise UsageError(f"series {self.name!r}: x and y, low and high must be of one length")
        for name in ("low", "labels"):
            if len(getattr(self, name)) not in (0, len(self.x)):
                raise UsageError(f"series {self.name!r}: {len(self.x)} points, but not of {name}")


@dataclass(frozen=True)
class Span:
    """A range of x worth marking."""

    first: float | int
    last: float | int
    name: str


@dataclass(frozen=True)
class Figure:
    """Axes and curves. Errors are in percent, other units stand in the labels. `near_zero`: up to
    where a logarithmic axis is linear, so that zero and what is below it are seen."""

    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_y: bool = False
    reverse_x: bool = False
    spans: tuple[Span, ...] = ()
    near_zero: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under named columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | Number, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise UsageError(f"a table of {len(self.columns)} columns has rows of other lengths")


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, its value there and here, and what follows."""

    statement: str
    paper: str
    ours: str
    verdict: Verdict
    rule: str = ""  # when it counts as reproduced


@dataclass(frozen=True)
class Result:
    """One table or figure of a paper, measured: `item` is its name there ("figure 3")."""

    item: Name
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


Interval = tuple[float, float, float]  # a value and the ends of its interval


@dataclass(frozen=True)
class Unit:
    """One unit on the map of a network: where it stands, its shapes, and what deleting it does."""

    number: Whole
    shape: Annotated[str, Meta(pattern=" to ")]  # of the signal ahead of it to that behind it
    parameters: int
    kind: str
    error: float | None = None
    low: float | None = None
    high: float | None = None
    name: str = ""
    terms: Count = 1  # branches that are added at once
    change: Interval | None = None  # of the mean loss, where that was measured

    def __post_init__(self) -> None:
        if len({value is None for value in (self.error, self.low, self.high)}) > 1:
            raise UsageError(f"unit {self.number}: an error has an interval, both ends of it")


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

    name: Name
    title: str
    data: str
    scale: str
    findings: tuple[str, ...]
    networks: tuple[Network, ...]
    results: tuple[Result, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    classes: Count | None = None  # None in files of older versions

    @property
    def chance(self) -> float:
        """The error of guessing, in percent. Older files name the classes with the data."""
        data = self.provenance.get("data")
        named = data.get("classes") if isinstance(data, Mapping) else None
        classes = self.classes or (len(named) if isinstance(named, list | tuple) else 0)
        return 100 * (1 - 1 / (classes or 10))

    def __post_init__(self) -> None:
        require(self.name, Name, "study: name", UsageError)
        slugs = set[str]()
        for result in self.results:
            require(result.item, Name, "study: item", UsageError)
            if result.slug in slugs:
                raise UsageError(f"study {self.name}: two items are called {result.item!r}")
            slugs.add(result.slug)

    def save(self, path: Path) -> None:
        write_json(path.parent, path.name, plain(self), SCHEMA)

    @staticmethod
    def load(path: Path) -> "Study":
        """UsageError: not a study, a damaged one, or one of another version."""
        return read(path, Study, UsageError, SCHEMA, "`residuum study` makes one")


# ---- one model, taken apart ----


@dataclass(frozen=True)
class Nest:
    """Units that stand together under a way round them, or on one road of two; `name` says which.
    Two nests are apart, or one lies in the other."""

    first: Whole
    last: Whole
    name: str


@dataclass(frozen=True)
class Section:
    """One part of a dissection: a figure, a table, or `refused`, the reason why there is none.
    `item` names it in lists and files, `how`: its formula and how it is read."""

    item: Name
    title: str
    finding: str = ""
    figure: Figure | None = None
    table: Table | None = None
    n: str = ""
    how: str = ""
    notes: tuple[str, ...] = ()
    refused: str = ""

    @property
    def slug(self) -> str:
        return self.item.replace(" ", "-")


@dataclass(frozen=True)
class Dissection:
    """A model taken apart. `example`: what one is, "image" or "sequence". `loss`: its mean over n
    test examples; `loss_name`: what it is called, and its unit. `error`, in percent, of what is
    right or wrong; `perplexity` of tokens."""

    model: str
    data: str
    example: str
    parameters: int
    n: int
    loss_name: str
    loss: Interval
    error: Interval | None
    perplexity: Interval | None
    summary: tuple[str, ...]
    units: tuple[Unit, ...]
    nests: tuple[Nest, ...]
    sections: tuple[Section, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [section.slug for section in self.sections]
        if len(set(names)) < len(names):
            raise UsageError(f"{self.model}: two sections of one name among {', '.join(names)}")

    def save(self, path: Path) -> None:
        write_json(path.parent, path.name, plain(self), SCHEMA)

    @staticmethod
    def load(path: Path) -> "Dissection":
        """UsageError: not a dissection, a damaged one, or one of another version."""
        return read(path, Dissection, UsageError, SCHEMA, "`residuum dissect` makes one")
