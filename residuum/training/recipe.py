"""How a network is trained, as data: optimiser, schedule, decay, augmentation. Loads no torch."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from msgspec import structs

from ..data.augmentation import Augmentation, Crop, Normalisation
from ..errors import UsageError
from ..reader import Count, NotNegative, Seed, Share, Whole, check, plain, require
from .limits import Limits
from .optimisers import SGD, LayerFactor, Optimiser
from .schedules import Schedule, Steps, Warmup, stretched
from .schemes import Hints, NamedScheme

Clock = Literal["epochs", "iterations"]


@dataclass(frozen=True)
class Recipe:
    """Everything about training but the network, the data and the machine.

    `layers`: other rates or decays for some parameters, factors that multiply where several fit.
    `restarts`: ticks at which the optimiser forgets, its momentum too (WRN: at each drop).
    `validation`: images held out of the training part, equally many of each class; their error is
    in the metrics, and done.json names the epoch where it was lowest. `partial_batches`: what
    becomes of an epoch's last batch when it is short. `sampling`: an epoch sees every image once,
    or draws each from all ("replacement").

    UsageError, from the constructor: an unknown word (with the nearest), a wrong type, or a number
    that cannot be.
    """

    name: str
    length: Count  # in ticks of `clock`; so are a step schedule's milestones
    clock: Clock = "epochs"
    source: str = ""
    learning_rate: NotNegative = 0.1
    schedule: Schedule = Steps()  # noqa: RUF009 - frozen
    warmup: Warmup | None = None
    batch_size: Count = 128
    optimiser: Optimiser = SGD()  # noqa: RUF009 - frozen
    weight_decay: NotNegative = 1e-4
    decay: Literal["all", "weights"] = "all"  # "weights": of convolutions and linear layers only
    label_smoothing: Share = 0.0
    augmentation: Augmentation | None = Augmentation()  # noqa: RUF009 - frozen
    normalisation: Normalisation = "channel"
    seed: Seed = 0
    crop: Crop | None = None  # of larger images, in place of augmentation
    layers: tuple[LayerFactor, ...] = ()
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    restarts: tuple[Whole, ...] = ()  # in ticks
    validation: Whole = 0
    partial_batches: Literal["kept", "dropped"] = "kept"
    sampling: Literal["permutation", "replacement"] = "permutation"
    scheme: NamedScheme | None = None  # what it adds to the plain loop
    precise_statistics: Count | None = None  # images, at the end: see training.precise_bn

    def __post_init__(self) -> None:
        check(self, f"recipe {self.name}", UsageError)
        if self.crop is not None and self.augmentation is not None:
            raise UsageError(f"recipe {self.name}: give a crop or an augmentation, not both")
        if self.crop is not None and self.normalisation not in ("channel", "scale"):
            kinds = f"'channel' or 'scale', not {self.normalisation!r}"
            raise UsageError(f"recipe {self.name}: with a crop the normalisation must be {kinds}")

    def iterations(self, ticks: int, steps_per_epoch: int) -> int:
        """How many steps so many ticks of the clock are."""
        return ticks * steps_per_epoch if self.clock == "epochs" else ticks

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """A function of the step (counted from 0) alone: a resumed run cannot be off by one."""
        if self.warmup and step < self.warmup.iterations:
            return self.warmup.rate_at(step, self.learning_rate)
        tick = self.iterations(1, steps_per_epoch)
        return self.learning_rate * self.schedule.factor_at(step, tick, self.length)

    def restarts_at(self, step: int, steps_per_epoch: int) -> bool:
        """Whether the optimiser forgets before this step."""
        return any(step == self.iterations(tick, steps_per_epoch) for tick in self.restarts)

    def shortened(self, epochs: int) -> "Recipe":
        """The same recipe in fewer or more epochs, its milestones at the same shares of the way."""
        require(epochs, Count, "epochs", UsageError)
        schedule, name = self.schedule.stretched(self.length, epochs), f"{self.name}@{epochs}epochs"
        restarts = stretched(self.restarts, self.length, epochs)
        scheme = self.scheme and self.scheme.stretched(self.length, epochs)
        changed = {"schedule": schedule, "restarts": restarts, "scheme": scheme, "clock": "epochs"}
        return replace(self, name=name, length=epochs, **changed)

    def resolved(self) -> "Recipe":
        """With what its scheme names looked up. Raises what the scheme's own `resolved` raises."""
        return self if self.scheme is None else replace(self, scheme=self.scheme.resolved())

    def taught_by(self, teacher: str) -> "Recipe":
        """With that run's folder as the teacher. UsageError: its scheme has none."""
        if not isinstance(self.scheme, Hints):
            raise UsageError(f"recipe {self.name} learns from no teacher (scheme hints)")
        return replace(self, scheme=structs.replace(self.scheme, teacher=teacher, weights=""))

    def meaning(self) -> dict[str, Any]:
        """What changes the numbers: no name, no source, and no field that holds its default; of a
        teacher no folder, but its weights' digest."""
        said = plain(self, defaults=False)
        said.get("scheme", {}).pop("teacher", None)
        return {k: v for k, v in said.items() if k not in ("name", "source")}
