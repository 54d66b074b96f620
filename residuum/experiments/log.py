"""The log of finished measurements: one line of JSON a job, appended and never changed.

A line carries a digest of its own content. A process that is killed while it writes leaves the last
line torn: that one is dropped, its job is done again. Any other damage is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import progress
from ..errors import CheckpointError, NumericError
from ..reader import build, plain
from ..storage import append_line, canonical, json_digest, make_folder, parse_json, read_lines, seal
from .probe import Probe

SCHEMA = 1


@dataclass(frozen=True)
class Finished:
    """A finished job. All but the key and the value is for people to read."""

    key: str
    run: str  # the name of the run folder
    what: str
    arguments: Mapping[str, Any]
    value: Any  # as JSON
    seconds: float


def job_key(run: str, weights: str, data: str, probe: Probe) -> str:
    """What a measurement's value depends on: trial, weights and data (sha256), the probe."""
    return json_digest([run, weights, data, probe.what, probe.version, dict(probe.arguments)])


@dataclass(frozen=True)
class Log:
    """The file `path`. Several processes may append to it and read it at once."""

    path: Path

    def read(self) -> dict[str, Finished]:
        """The finished jobs by key; none where there is no file yet.

        CheckpointError: a damaged line that is not the last, or two values of one job.
        """
        lines, torn = read_lines(self.path)
        if torn:
            progress.say(f"warning: {self.path}: the last line is cut short; its job is done again")
        found: dict[str, tuple[int, Finished]] = {}
        for number, line in enumerate(lines, 1):
            entry = _parse(line, f"{self.path}: line {number}")
            first, known = found.setdefault(entry.key, (number, entry))
            if known.value != entry.value:
                raise CheckpointError(
                    f"{self.path}: line {number} has another value than line {first} for the same "
                    f"job ({entry.what} of {entry.run}). Delete the wrong one"
                )
        return {key: entry for key, (_, entry) in found.items()}

    def add(self, entry: Finished) -> None:
        """Append it.

        NumericError: a number in the value is not finite. ResourceError: the disk is full.
        """
        try:
            line = canonical(seal(plain(entry), SCHEMA))
        except ValueError as error:
            said = f"{entry.what} of {entry.run} holds a number that is not finite"
            raise NumericError(said) from error
        make_folder(self.path.parent)
        append_line(self.path, line)


def _parse(line: bytes, where: str) -> Finished:
    advice = "Delete the line: its job is then done again"
    try:
        content = parse_json(line)
        digest = content.pop("sha256")
        damaged = digest != json_digest(content)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        damaged = True
    if damaged:
        raise CheckpointError(f"{where} is damaged. {advice}")
    schema = content.pop("schema", None)
    if schema != SCHEMA:
        said = f"made by log schema {schema}; this version reads {SCHEMA}"
        raise CheckpointError(f"{where}: {said}. {advice}")
    return build(content, Finished, where, CheckpointError)
