"""How the learning rate moves: a factor that is a function of the step alone."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ..errors import UsageError
from ..reader import Count, NotNegative, Positive, Whole, check


class Steps(msgspec.Struct, frozen=True, tag_field="kind", tag="steps"):
    """Multiplied by `factor` at every milestone; milestones are counted by the recipe's clock."""

    milestones: tuple[Whole, ...] = ()
    factor: Positive = 0.1

    def __post_init__(self) -> None:
        check(self, "steps", UsageError)
        if list(self.milestones) != sorted(self.milestones):
            raise UsageError(f"steps: milestones must rise, not {self.milestones}")

    def factor_at(self, step: int, tick: int, length: int) -> float:
        """At a step counted from 0; a tick is `tick` steps, the recipe `length` ticks."""
        return self.factor ** sum(step >= milestone * tick for milestone in self.milestones)

    def stretched(self, old: int, new: int) -> "Steps":
        """Milestones at the same shares of the way, for `new` ticks instead of `old`."""
        return Steps(stretched(self.milestones, old, new), self.factor)


class Piecewise(msgspec.Struct, frozen=True, tag_field="kind", tag="piecewise"):
    """From milestone i on the recipe's own rate times `factors[i]`: steps of different heights."""

    milestones: tuple[Whole, ...]
    factors: tuple[Positive, ...]

    def __post_init__(self) -> None:
        check(self, "piecewise", UsageError)
        if list(self.milestones) != sorted(self.milestones):
            raise UsageError(f"piecewise: milestones must rise, not {self.milestones}")
        if len(self.milestones) != len(self.factors):
            counts = f"{len(self.factors)} for {len(self.milestones)} milestones"
            raise UsageError(f"piecewise: one factor a milestone, not {counts}")

    def factor_at(self, step: int, tick: int, length: int) -> float:
        passed = sum(step >= milestone * tick for milestone in self.milestones)
        return self.factors[passed - 1] if passed else 1.0

    def stretched(self, old: int, new: int) -> "Piecewise":
        return Piecewise(stretched(self.milestones, old, new), self.factors)


class Cosine(msgspec.Struct, frozen=True, tag_field="kind", tag="cosine"):
    """Half a cosine from 1 to `floor` (Loshchilov and Hutter 2017, eq. 5, without restarts)."""

    floor: Annotated[float, Meta(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        check(self, "cosine", UsageError)

    def factor_at(self, step: int, tick: int, length: int) -> float:
        share = min(1.0, step / (tick * length))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * share)) / 2

    def stretched(self, old: int, new: int) -> "Cosine":
        return self


Schedule = Steps | Piecewise | Cosine


def stretched(milestones: tuple[int, ...], old: int, new: int) -> tuple[int, ...]:
    """At the same shares of the way, for `new` ticks instead of `old`."""
    return tuple(max(1, round(new * m / old)) for m in milestones)


@dataclass(frozen=True)
class Warmup:
    """Smaller learning rates for the first iterations.

    "constant": this rate (He et al. 2015, sec. 4.2, 110 layers); "linear": from this rate at step 0
    in a straight line to the recipe's own (Goyal et al. 2017, sec. 2.2).
    """

    iterations: Count
    learning_rate: NotNegative
    shape: Literal["constant", "linear"] = "constant"

    def __post_init__(self) -> None:
        check(self, "warm-up", UsageError)

    def rate_at(self, step: int, target: float) -> float:
        if self.shape == "constant":
            return self.learning_rate
        return self.learning_rate + (target - self.learning_rate) * step / self.iterations
