"""How a network is trained, as data: optimiser, schedule, decay, augmentation. Loads no torch."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from ..data.augmentation import Augmentation, Normalisation
from ..errors import UsageError
from ..reader import check, plain
from .optimisers import SGD, Optimiser
from .schedules import Schedule, Steps, Warmup

Clock = Literal["epochs", "iterations"]


@dataclass(frozen=True)
class Recipe:
    """Everything about training but the network, the data and the machine.

    UsageError, from the constructor: an unknown word (with the nearest), a wrong type, or a number
    that cannot be.
    """

    name: str
    length: int  # in ticks of `clock`; so are a step schedule's milestones
    clock: Clock = "epochs"
    source: str = ""
    learning_rate: float = 0.1
    schedule: Schedule = Steps()  # noqa: RUF009 - frozen
    warmup: Warmup | None = None
    batch_size: int = 128
    optimiser: Optimiser = SGD()  # noqa: RUF009 - frozen
    weight_decay: float = 1e-4
    decay: Literal["all", "weights"] = "all"  # "weights": of convolutions and linear layers only
    label_smoothing: float = 0.0
    augmentation: Augmentation | None = Augmentation()  # noqa: RUF009 - frozen
    normalisation: Normalisation = "channel"
    seed: int = 0

    def __post_init__(self) -> None:
        where = f"recipe {self.name}"
        check(self, where, UsageError)
        for field in ("length", "batch_size"):
            if not getattr(self, field) > 0:
                raise UsageError(f"{where}: {field} must be above 0, not {getattr(self, field)}")
        for field in ("learning_rate", "weight_decay"):
            value = getattr(self, field)
            if not 0 <= value <= 3.4e38:
                rule = "must be at least 0 and finite in float32"
                raise UsageError(f"{where}: {field} {rule}, not {value}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"{where}: seed must be from 0 to 2**63 - 1, not {self.seed}")
        if not 0 <= self.label_smoothing < 1:
            smoothing = self.label_smoothing
            raise UsageError(f"{where}: label_smoothing must be from 0 to below 1, not {smoothing}")
        if self.augmentation and self.augmentation.pad < 0:
            raise UsageError(f"{where}: pad must be at least 0, not {self.augmentation.pad}")

    def iterations(self, ticks: int, steps_per_epoch: int) -> int:
        """How many steps so many ticks of the clock are."""
        return ticks * steps_per_epoch if self.clock == "epochs" else ticks

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """A function of the step (counted from 0) alone: a resumed run cannot be off by one."""
        if self.warmup and step < self.warmup.iterations:
            return self.warmup.rate_at(step, self.learning_rate)
        tick = self.iterations(1, steps_per_epoch)
        return self.learning_rate * self.schedule.factor_at(step, tick, self.length)

    def shortened(self, epochs: int) -> "Recipe":
        """The same recipe in fewer or more epochs, its milestones at the same shares of the way."""
        if epochs < 1:
            raise UsageError(f"epochs must be at least 1, not {epochs}")
        schedule, name = self.schedule.stretched(self.length, epochs), f"{self.name}@{epochs}epochs"
        return replace(self, name=name, length=epochs, schedule=schedule, clock="epochs")

    def meaning(self) -> dict[str, Any]:
        """What changes the numbers: no name, no source, and no field that holds its default."""
        return {k: v for k, v in plain(self, defaults=False).items() if k not in ("name", "source")}
