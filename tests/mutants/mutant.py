"""A broken line, and who must notice."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """`old` stands in the package's `file` exactly once, so that a list cannot rot in silence; with
    `new` in its place one of `tests` must fail."""

    file: str
    old: str
    new: str
    tests: str
