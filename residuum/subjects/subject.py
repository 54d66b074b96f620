"""What every dissection is done to: a model seen as units, and examples to measure it on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from ..anatomy.deletions import Examples
from ..anatomy.similarity import Redundancy, redundancy, tokens, whole
from ..errors import UsageError, several
from ..task import Task
from ..views import View
from ..views.foreign import ForeignView


@dataclass(frozen=True)
class Subject:
    """A model in evaluation mode, with examples.

    `name`: as it was asked for ("tv:resnet50", a run's folder); `data`: what figures call the data;
    `example`: what one example is, "image" or "sequence". `train`: examples by which units are
    scored, chosen and healed; `test`: others, on which everything that is reported is measured.
    `provenance`: where model, weights and data come from, with digests.
    """

    name: str
    view: View
    data: str
    example: str
    train: Examples
    test: Examples
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> nn.Module:
        return self.view.model

    @property
    def task(self) -> Task:
        return self.test.task

    def redundancy(self) -> list[Redundancy]:
        """The cheap scores of every unit on the training examples, token by token of a sequence."""
        vectors = tokens if self.example == "sequence" else whole
        return redundancy(self.view, self.train.inputs, vectors)


def require_two(subject: Subject) -> None:
    """UsageError: fewer than two training or test examples."""
    for name, examples in (("training", subject.train), ("test", subject.test)):
        if len(examples) < 2:
            few = f"{len(examples)} {name} {subject.example}(s)"
            raise UsageError(f"{subject.name}: {few}: an interval needs two or more")


def require_units(view: View, name: str) -> None:
    """UsageError: nothing can be deleted."""
    if view.units:
        return
    none = "no residual units are found in this model, so there are no branches to delete or count"
    instead = list[str]()
    if isinstance(view, ForeignView):
        joined = [each.tensors for each in view.units.concatenations]
        most = f"up to {several(max(joined), 'tensor')}" if joined else ""
        instead = [f"it joins {most} in {several(len(joined), 'concatenation')}"] if joined else []
        instead += view.units.not_followed
    raise UsageError("; ".join([f"{name}: {none}", *instead]))
