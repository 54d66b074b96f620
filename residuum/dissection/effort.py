"""How much a dissection measures. Needs no torch."""

from dataclasses import dataclass

from ..errors import UsageError

AT_MOST = 16  # units that the search takes, unless told otherwise


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    `examples`: of the test part. `search_examples`: of the others, by which units are scored and
    chosen. None: all. `gradient_examples`: of the test part, for gradients by path length.
    `removals`: the most units that the search takes; None: half of them, at most 16. `draws`:
    random sets of each size that scores are tried on.

    UsageError: fewer than two examples or draws, of which there is no interval; no removal.
    """

    examples: int | None = 500
    search_examples: int | None = 250
    gradient_examples: int = 32
    removals: int | None = None
    draws: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("examples", "search_examples", "gradient_examples", "draws"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise UsageError(f"{name}: {value}: an interval needs two or more")
        if self.removals is not None and self.removals < 1:
            raise UsageError(f"removals: {self.removals}: at least 1")

    def steps(self, removable: int) -> int:
        """How many of so many units the search takes."""
        asked = min(removable // 2, AT_MOST) if self.removals is None else self.removals
        return max(1, min(asked, removable))
