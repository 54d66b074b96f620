"""A student and its teacher at work: what `Hints` says, with networks."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UsageError
from ...task import CLASSIFICATION, Task
from ...units import ResidualNetwork
from ...views.edits import at_rest
from .hints import Hints, named_part
from .scheme import Batch, Scheme


class Taught(Scheme):
    """The scheme of `hints`, learning from `teacher`, which stays as it is."""

    def __init__(self, hints: Hints, teacher: nn.Module):
        self.hints, self.teacher = hints, teacher.eval()
        self.student = self.upto_hint = self.regressor = nn.Identity()  # without hints

    @property
    def task(self) -> Task:
        return CLASSIFICATION

    def extend(self, network: nn.Module, batch: Callable[[], Batch]) -> nn.Module | None:
        """The regressor, from torch's own initial weights."""
        images, _ = batch()
        self.teacher.to(images.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not self.hints.hint_length:
            return None
        self.student = upto(network, self.hints.guided, "student")
        self.upto_hint = upto(self.teacher, self.hints.hint, "teacher")
        with at_rest(self.student), torch.no_grad():
            ours, theirs = self.student(images).shape[1:], self.upto_hint(images).shape[1:]
        self.regressor = regressor(ours, theirs, self.hints)
        return self.regressor

    def restarts(self, time: float) -> bool:
        return self.hints.restarts(time)

    def loss(self, network: nn.Module, batch: Batch, time: float) -> tuple[Tensor, Tensor | None]:
        images, targets = batch
        if time < self.hints.hint_length:
            with torch.no_grad():
                hint = self.upto_hint(images)
            difference = hint - self.regressor(self.student(images))
            return difference.float().square().flatten(1).mean(1) / 2, None
        with torch.no_grad():
            theirs = self.teacher(images).float()
        ours = network(images).float()
        warm = self.hints.temperature
        soft = F.cross_entropy(ours / warm, (theirs / warm).softmax(1), reduction="none")
        total = self.task.loss(ours, targets) + self.hints.weight_at(time) * soft
        return total, self.task.right(ours, targets)


def upto(network: nn.Module, name: str, whose: str) -> nn.Sequential:
    """The network's stem and its units up to the one named."""
    if not isinstance(network, ResidualNetwork):
        raise UsageError(f"hints: the {whose} must be a ResidualNetwork (stem, units, head)")
    names = ["stem", *(f"units.{number}" for number in range(len(network.units)))]
    return nn.Sequential(network.stem, *list(network.units)[: named_part(name, names, whose)])


def regressor(ours: torch.Size, theirs: torch.Size, hints: Hints) -> nn.Module:
    """A convolution from (C, H, W) of the student to that of the teacher, whose image is no larger.

    UsageError with both shapes.
    """
    shapes = f"{hints.guided} gives {tuple(ours)} and the teacher's {hints.hint} {tuple(theirs)}"
    if len(ours) != 3 or len(theirs) != 3:
        raise UsageError(f"hints: the student's {shapes}: both must be images of channels")
    kernel = ours[1] - theirs[1] + 1, ours[2] - theirs[2] + 1
    if min(kernel) < 1:
        advice = "take a student's layer of at least the size of the teacher's"
        raise UsageError(f"hints: the student's {shapes}; {advice}")
    convolution = nn.Conv2d(ours[0], theirs[0], kernel)
    return nn.Sequential(convolution, nn.ReLU()) if hints.regressor == "relu" else convolution
