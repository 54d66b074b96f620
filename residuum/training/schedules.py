"""How the learning rate moves: a factor that is a function of the step alone."""

import math
from dataclasses import dataclass
from typing import Literal

import msgspec

from ..errors import UsageError


class Steps(msgspec.Struct, frozen=True, tag_field="kind", tag="steps"):
    """Multiplied by `factor` at every milestone; milestones are counted by the recipe's clock."""

    milestones: tuple[int, ...] = ()
    factor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.factor < float("inf"):
            raise UsageError(f"steps: factor must be a finite number above 0, not {self.factor}")
        if list(self.milestones) != sorted(self.milestones) or min(self.milestones, default=1) < 0:
            raise UsageError(f"steps: milestones must rise from 0 on, not {self.milestones}")

    def factor_at(self, step: int, tick: int, length: int) -> float:
        """At a step counted from 0; a tick is `tick` steps, the recipe `length` ticks."""
        return self.factor ** sum(step >= milestone * tick for milestone in self.milestones)

    def stretched(self, old: int, new: int) -> "Steps":
        """Milestones at the same shares of the way, for `new` ticks instead of `old`."""
        return Steps(tuple(max(1, round(new * m / old)) for m in self.milestones), self.factor)


class Cosine(msgspec.Struct, frozen=True, tag_field="kind", tag="cosine"):
    """Half a cosine from 1 to `floor` (Loshchilov and Hutter 2017, eq. 5, without restarts)."""

    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise UsageError(f"cosine: floor must be from 0 to 1, not {self.floor}")

    def factor_at(self, step: int, tick: int, length: int) -> float:
        share = min(1.0, step / (tick * length))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * share)) / 2

    def stretched(self, old: int, new: int) -> "Cosine":
        return self


Schedule = Steps | Cosine


@dataclass(frozen=True)
class Warmup:
    """Smaller learning rates for the first iterations.

    "constant": this rate (He et al. 2015, sec. 4.2, 110 layers); "linear": from this rate at step 0
    in a straight line to the recipe's own (Goyal et al. 2017, sec. 2.2).
    """

    iterations: int
    learning_rate: float
    shape: Literal["constant", "linear"] = "constant"

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise UsageError(f"warm-up: iterations must be at least 1, not {self.iterations}")
        if not 0 <= self.learning_rate < float("inf"):
            raise UsageError(f"warm-up: learning_rate must be finite, not {self.learning_rate}")

    def rate_at(self, step: int, target: float) -> float:
        if self.shape == "constant":
            return self.learning_rate
        return self.learning_rate + (target - self.learning_rate) * step / self.iterations
