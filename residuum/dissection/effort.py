"""How much a dissection measures, beside how many examples there are. Needs no torch."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from ..reader import Count, Seed

AT_MOST = 16  # units that the search takes, unless told otherwise
Several = Annotated[int, Meta(ge=2)]  # of one there is no interval


@dataclass(frozen=True)
class Effort:
    """How much is measured. The text below a field is its help on the command line."""

    search_examples: Several = 256
    """Training examples by which units are scored and chosen."""
    gradient_examples: Several = 32
    """Test examples for gradients by path length."""
    removals: Count | None = None
    """The most units that the search removes; by default half of them, at most 16."""
    draws: Several = 30
    """Random sets of each size that scores are tried on."""
    seed: Seed = 0
    """Of the random sets, and of random signs."""

    def steps(self, removable: int) -> int:
        """How many of so many units the search takes."""
        asked = min(removable // 2, AT_MOST) if self.removals is None else self.removals
        return max(1, min(asked, removable))
