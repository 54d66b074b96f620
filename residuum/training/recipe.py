"""How a network is trained, with the exact published numbers; and on what machine, which is another matter."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..data.augment import Augmentation, Normalisation
from ..errors import UsageError, nearest

Clock = Literal["epochs", "iterations"]


@dataclass(frozen=True)
class Warmup:
    """A constant small learning rate for the first iterations (He et al. 2015, sec. 4.2, 110 layers)."""

    iterations: int
    learning_rate: float


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum and a step schedule. `length` and `milestones` are counted by `clock`.

    `decay`: "all" parameters (fb.resnet.torch) or only "weights" of convolutions and linear layers (He's Caffe nets).
    `nesterov=False` is classical momentum.
    """

    name: str
    length: int
    milestones: tuple[int, ...]
    clock: Clock
    source: str
    learning_rate: float = 0.1
    factor: float = 0.1
    warmup: Warmup | None = None
    batch_size: int = 128
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay: Literal["all", "weights"] = "all"
    augmentation: Augmentation | None = Augmentation()  # noqa: RUF009 - frozen
    normalisation: Normalisation = "channel"
    seed: int = 0

    def __post_init__(self) -> None:
        positive = {"length": self.length, "batch_size": self.batch_size, "factor": self.factor}
        for field, value in positive.items():
            if not value > 0:
                raise UsageError(f"recipe {self.name}: {field} must be above 0, not {value}")
        for field, value in {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}.items():
            if not 0 <= value < float("inf"):
                raise UsageError(f"recipe {self.name}: {field} must be a finite number of at least 0, not {value}")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"recipe {self.name}: momentum must be at least 0 and below 1, not {self.momentum}")
        if list(self.milestones) != sorted(self.milestones):
            raise UsageError(f"recipe {self.name}: milestones must rise, not {self.milestones}")

    def iterations(self, count: int, steps_per_epoch: int) -> int:
        return count * steps_per_epoch if self.clock == "epochs" else count

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """A function of the step (counted from 0) alone, so that a resumed run cannot be off by one."""
        if self.warmup and step < self.warmup.iterations:
            return self.warmup.learning_rate
        passed = sum(step >= self.iterations(m, steps_per_epoch) for m in self.milestones)
        return self.learning_rate * self.factor**passed

    def shortened(self, epochs: int) -> "Recipe":
        """The same recipe in fewer or more epochs, its milestones at the same shares of the way."""
        if epochs < 1:
            raise UsageError(f"epochs must be at least 1, not {epochs}")
        shares = tuple(max(1, round(epochs * m / self.length)) for m in self.milestones)
        name = f"{self.name}@{epochs}epochs"
        return replace(self, name=name, length=epochs, milestones=shares, clock="epochs")

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"milestones": list(self.milestones)}

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Recipe":
        value = dict(value)
        warmup, augmentation = value.pop("warmup"), value.pop("augmentation")
        value["milestones"] = tuple(value["milestones"])
        return Recipe(
            **value,
            warmup=Warmup(**warmup) if warmup else None,
            augmentation=Augmentation(**augmentation) if augmentation else None,
        )


_HE_STEPS = {"length": 64_000, "milestones": (32_000, 48_000), "clock": "iterations"}

HE_CIFAR = Recipe(
    "he-cifar",
    **_HE_STEPS,
    source="He et al. 2015, sec. 4.2; per-pixel mean subtracted, weights alone decay",
    normalisation="pixel-mean",
    decay="weights",
)
HE_CIFAR_WARM = replace(
    HE_CIFAR,
    name="he-cifar-warm",
    warmup=Warmup(400, 0.01),
    source="He et al. 2015, sec. 4.2, 110 layers: rate 0.01 until the training error is below 80 %, about 400 iterations",
)
PREACT_CIFAR = replace(
    HE_CIFAR_WARM, name="preact-cifar", source="He et al. 2016, sec. 4 and appendix: warm-up in all CIFAR runs"
)
FB_CIFAR = Recipe(
    "fb-cifar",
    164,
    (81, 122),
    "epochs",
    source="fb.resnet.torch: Nesterov momentum, channel statistics, everything decays, no warm-up",
    nesterov=True,
)
DIGITS = Recipe(
    "digits",
    30,
    (18, 25),
    "epochs",
    source="this project's short recipe for 8x8 digits: shifts by a pixel, no flips (a mirrored digit is another sign)",
    batch_size=64,
    nesterov=True,
    weight_decay=5e-4,
    augmentation=Augmentation(pad=1, flip=False),
    warmup=Warmup(22, 0.01),
)

RECIPES = {r.name: r for r in (HE_CIFAR, HE_CIFAR_WARM, PREACT_CIFAR, FB_CIFAR, DIGITS)}


def find_recipe(name: str) -> Recipe:
    """UsageError with the nearest name where there is none."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}.{nearest(name, RECIPES)}")
    return RECIPES[name]


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes. `precision` other than float32 is autocast; float16 adds a gradient scaler.

    Bit-identical resuming holds for the same machine, threads, library versions and number of processes.
    """

    device: str = "auto"
    threads: int = 1  # results differ in the last bits between numbers of threads
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    save_seconds: float = 60.0  # a checkpoint at least this often, and at the end of every epoch

    def resolved(self) -> "Machine":
        """With the device that "auto" stands for here. UsageError: one that is not there, or a precision that it lacks."""
        import torch

        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = device.split(":")[0]
        if kind not in ("cpu", "cuda", "mps"):
            raise UsageError(f"unknown device {device!r}.{nearest(device, ('auto', 'cpu', 'cuda', 'mps'))}")
        if kind == "cuda" and not torch.cuda.is_available():
            raise UsageError("device cuda: torch sees no CUDA device here. Use --device cpu")
        if kind == "mps" and not torch.backends.mps.is_available():
            raise UsageError("device mps: torch sees no Apple GPU here. Use --device cpu")
        if self.precision == "float16" and kind == "cpu":
            raise UsageError("precision float16 needs a GPU. Use --precision bfloat16 or float32 on a CPU")
        if self.precision not in ("float32", "bfloat16", "float16"):
            raise UsageError(f"unknown precision {self.precision!r}. Valid: float32, bfloat16, float16.")
        if self.threads < 1:
            raise UsageError(f"threads must be at least 1, not {self.threads}")
        return replace(self, device=device)
