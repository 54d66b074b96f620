"""Hints and distillation (Romero et al. 2015, FitNets): a student learns from a finished run."""

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from ...errors import UsageError, nearest
from ...reader import NotNegative, Positive, Whole
from .named import Named

if TYPE_CHECKING:
    from torch import nn

    from ..recipe import Recipe
    from .taught import Taught

Sha256 = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]


class Hints(Named, frozen=True, tag="hints"):
    """First the student up to a layer learns what the teacher's layer gives, then all of it learns
    the labels and the teacher's answers.

    For `hint_length` ticks of the recipe's clock 1/2 |u(x) - r(v(x))|^2 is minimised (eq. 3, here
    in the mean over its elements): u the teacher up to `hint`, v the student up to `guided`, r a
    convolution without padding that brings v's shape to u's. Then H(y, P_s) + w H(P_t^t, P_s^t)
    (eq. 2, 4), t the `temperature`, w falling in a line from `weight` to `last_weight` between two
    ticks of that stage, `decay`. The optimiser starts anew with the second stage. Without
    `hint_length` all is distillation (Hinton et al. 2015, without their factor t^2). The defaults
    are those of the authors' code, in epochs.

    `hint`, `guided`: "stem" or "units.3", with the pooling behind that unit.
    `regressor`: what stands behind r's convolution: the paper has the teacher's non-linearity.
    `teacher`: the folder of a finished run on the same data, normalised alike. What counts for a
    run's identity is `weights`, the sha256 of its weights, filled in when training begins.
    """

    hint_length: Whole = 0
    hint: str = ""
    guided: str = ""
    teacher: str = ""
    weights: Sha256 = ""
    temperature: Positive = 3.0
    weight: NotNegative = 4.0
    last_weight: NotNegative = 1.0
    decay: tuple[Whole, Whole] = (5, 400)
    regressor: Literal["linear", "relu"] = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hint_length and not (self.hint and self.guided):
            said = 'name the teacher\'s layer and the student\'s, hint="units.1", guided="units.10"'
            raise UsageError(f"hints: hint_length is {self.hint_length}: {said}")
        if self.decay[0] > self.decay[1]:
            raise UsageError(f"hints: decay ends ahead of its beginning: {list(self.decay)}")

    def weight_at(self, time: float) -> float:
        """w, so many ticks after the start of training."""
        start, end = self.decay
        passed = time - self.hint_length - start
        share = min(1.0, max(0.0, passed / (end - start) if end > start else float(passed >= 0)))
        return self.weight + share * (self.last_weight - self.weight)

    def restarts(self, time: float) -> bool:
        return 0 < time == self.hint_length

    def stretched(self, old: int, new: int) -> "Hints":
        first, *rest = (round(ticks * new / old) for ticks in (self.hint_length, *self.decay))
        first = max(first, min(self.hint_length, 1))
        return replace(self, hint_length=first, decay=tuple(rest))

    def resolved(self) -> "Hints":
        """With the digest of the teacher's weights.

        UsageError: no teacher is given. CheckpointError: no finished run there, or its weights are
        others than were recorded.
        """
        from ...errors import CheckpointError
        from ..run import Run

        if not self.teacher:
            advice = "give a finished run: --teacher RUN, or `teacher` in the recipe's scheme"
            raise UsageError(f"this recipe learns from a teacher; {advice}")
        found = Run.open(self.teacher).outcome.weights.sha256
        if self.weights not in ("", found):
            raise CheckpointError(f"{self.teacher}: other weights than this recipe was made for")
        return replace(self, weights=found)

    def extend(self, network: "nn.Module", batch: object) -> None:
        raise UsageError("hints: residuum.training.train binds them to their teacher first")


def bind(recipe: "Recipe", digest: str, teacher: "nn.Module | None") -> "Taught":
    """The recipe's `Hints` with the teacher's network, which takes the weights of its run.

    `digest`: of the data. UsageError: no network for the teacher, or it saw other images or other
    normalisation than the student will.
    """
    from ...networks.weights import load_weights
    from ..run import Run
    from .taught import Taught

    hints = recipe.scheme
    assert isinstance(hints, Hints)
    run = Run.open(hints.teacher)
    if teacher is None:
        advice = "build its network and give it: train(..., about=About(teacher=network))"
        raise UsageError(f"{hints.teacher}: the recipe's teacher; {advice}")
    if run.data.digest != digest:
        raise UsageError(f"{hints.teacher}: the teacher was trained on {run.data.name}, other data")
    if run.recipe.normalisation != recipe.normalisation:
        ours, theirs = recipe.normalisation, run.recipe.normalisation
        raise UsageError(f"{hints.teacher}: normalised by {theirs!r}, the student by {ours!r}")
    load_weights(teacher, run.weights(), hints.teacher)
    return Taught(hints, teacher)


def named_part(name: str, names: list[str], whose: str) -> int:
    """The place of a part among the names, UsageError with the nearest where there is none."""
    if name not in names:
        raise UsageError(f"hints: the {whose} has no part {name!r}.{nearest(name, names)}")
    return names.index(name)
