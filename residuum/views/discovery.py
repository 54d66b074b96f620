"""The residual units of a model that nobody prepared: `discover`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from torch import nn

from ..errors import several
from .concatenations import Concatenation, concatenations
from .not_followed import not_followed
from .operations import Trace
from .series import CROSSED, crossed, expressed
from .sums import Place
from .trace import bare, trace
from .unit import Reader, Unit
from .view import Series

if TYPE_CHECKING:
    from .verify import Verification


class Units(Sequence[Unit]):
    """The units of a model in signal order.

    `long_skips`: sums round two units or more (FPN, nests of units), not counted as units.
    `concatenations`: where tensors are joined to what was made of them (dense, U-Net). `expression`
    and `notes`: how units stand to each other, and what could not be said. `not_followed`: what may
    be a unit and is none, of these notes. `inputs`, `keywords`: what the model was run on.
    """

    def __init__(self, trace: Trace, inputs: tuple[Any, ...], keywords: Mapping[str, Any]):
        self.model, self.fake = trace.model, trace.fake
        self.inputs, self.keywords = inputs, dict(keywords)
        self._reader = Reader(trace)
        found = self._reader.found
        entries = self._entries = [u for u in found if u.parent is None and not u.long]
        numbers = {u.total: number for number, u in enumerate(entries)}
        names = self._reader.names(entries)
        self._units = tuple(
            self._reader.unit(u, number, names[number]) for number, u in enumerate(entries)
        )
        long = [u for u in found if u.long]
        titles = self._reader.names(long)
        self.long_skips = tuple(
            self._reader.unit(u, -1, title) for u, title in zip(long, titles, strict=True)
        )
        self.concatenations: tuple[Concatenation, ...] = concatenations(self._reader.detector)
        crossing = [CROSSED] if crossed(found) else []
        self.not_followed = (*not_followed(self._reader.detector), *crossing)
        self.notes: list[str] = list(self.not_followed)
        self.expression: Series = expressed(entries, long, numbers, self.notes)

    @overload
    def __getitem__(self, index: int) -> Unit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Unit, ...]: ...
    def __getitem__(self, index: int | slice) -> Unit | tuple[Unit, ...]:
        return self._units[index]

    def __len__(self) -> int:
        return len(self._units)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._units)

    def __repr__(self) -> str:
        kinds = Counter(unit.shortcut for unit in self)
        dense = sum(c.dense for c in self.concatenations)
        said = [f"{count} {kind}" for kind, count in kinds.items()]
        said += [several(len(self.long_skips), "long skip")] if self.long_skips else []
        said += [several(dense, "dense concatenation")] if dense else []
        inside = f": {', '.join(said)}" if said else ""
        return f"<{several(len(self), 'unit')} of {type(self.model).__name__}{inside}>"

    def ahead(self, number: int) -> Place:
        """The sum whose place the unit's own takes where it is passed again (views/repeat.py)."""
        from .repeat import ahead

        return ahead(self, self._reader, self._entries, number)

    @property
    def used(self) -> frozenset[str]:
        """The parameters that some output depends on."""
        return self._reader.used & self._reader.sizes.keys()

    def removable(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """The parameters that no output depends on once all of these units are deleted: what the
        units share goes with the last of them."""
        return self._reader.removable([self._entries[number] for number in numbers])

    def verify(self) -> Verification:
        """Numerical proof of what was found, on the inputs that it was found with."""
        from .verify import verify

        return verify(self)


def discover(model: nn.Module, *inputs: Any, **keywords: Any) -> Units:
    """The residual units of any PyTorch model, in signal order, from one forward pass on example
    inputs.

    When to use: to learn what a model is made of; `unravel` gives the view that lesions, paths and
    gradients need. Inputs and keywords are the model's own; batches of two tell more than batches
    of one. The pass is on fake tensors where the model allows it, so that weights are not needed:
    a model built under `torch.device("meta")` will do. Several branches that are added to one
    shortcut are one unit of several terms; long skips, nested units and concatenations are
    attributes. Nothing of the model is changed.

    UsageError: a model that does not run on these inputs; TorchScript.
    """
    model = bare(model)
    return Units(trace(model, inputs, keywords), inputs, keywords)
