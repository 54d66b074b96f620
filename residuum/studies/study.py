"""A paper as items. An item says what it needs, as data, and shows what came out, without torch.

needs(setting) -> [(role, probe), ...]        which measurement of which network
show(setting, values) -> Result               a table or figure with the paper's value beside ours
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..anatomy.statistics import Rate
from ..experiments.probe import Deletions, Probe, delete_each, record, unit_map
from ..results import Network, Result, Unit

if TYPE_CHECKING:
    from ..data import Dataset
    from ..experiments.trial import Trial

T = TypeVar("T")
RESIDUAL, PLAIN, VGG = "residual", "plain twin", "VGG"  # roles that networks have in these papers


@dataclass(frozen=True)
class Scale:
    """How large a study is: the networks' depth and training, and how much is measured."""

    name: str
    depth: int
    epochs: int | None  # None: the recipe's own
    small_epochs: int | None  # on images below 16 pixels
    examples: int | None  # of the test part; None: all of them
    draws_examples: int | None  # the same, for figures with many random draws
    gradient_examples: int  # training images for gradients
    samples: int  # single paths of every length
    repeats: int  # random subsets or orders of every size
    particles: int = 8  # of splitting, for every length
    replicates: int = 2  # of splitting


@dataclass(frozen=True)
class Member:
    """A network of a study, as far as it is known before it is trained."""

    role: str
    preset: str
    depth: int
    units: int


@dataclass(frozen=True)
class Setting:
    """All that items may know besides what is measured."""

    scale: Scale
    seed: int
    data: str  # as figures call it
    classes: int
    test: int  # images in the test part
    members: tuple[Member, ...]

    def member(self, role: str) -> Member:
        return next(m for m in self.members if m.role == role)

    @property
    def chance(self) -> float:
        """The error of guessing."""
        return 1 - 1 / self.classes


Need = tuple[str, Probe[Any]]  # the role of a network, and a measurement of it


@dataclass(frozen=True)
class Values:
    """What was measured, by role and probe."""

    found: Mapping[Need, Any]

    def of(self, role: str, probe: Probe[T]) -> T:
        return self.found[role, probe]


@dataclass(frozen=True)
class Item:
    """One table or figure. `show` is pure: the same values give the same result."""

    name: str
    needs: Callable[[Setting], Sequence[Need]]
    show: Callable[[Setting, Values], Result]


@dataclass(frozen=True)
class Paper:
    """A paper. `trials` gives its networks on these data, by role; items may be of other papers."""

    name: str
    title: str
    trials: "Callable[[Scale, Dataset, int | None, int, int | None], Mapping[str, Trial]]"
    items: tuple[Item, ...]

    def needs(self, setting: Setting) -> list[Need]:
        """Of the map of units and all items; what several need is there several times."""
        mapped = (record(), unit_map(), each_unit(setting))
        needs = [(member.role, probe) for member in setting.members for probe in mapped]
        return needs + [need for item in self.items for need in item.needs(setting)]

    def show(self, setting: Setting, values: Values) -> tuple[Result, ...]:
        return tuple(item.show(setting, values) for item in self.items)


def each_unit(setting: Setting) -> Probe[Deletions]:
    """Every single deletion: for the map of units, and for figures about it."""
    return delete_each(setting.scale.examples)


def network_map(setting: Setting, member: Member, values: Values) -> Network:
    """The member's units, with what each deletion does. Percent."""
    outline = values.of(member.role, unit_map())
    lesions = values.of(member.role, each_unit(setting))
    errors = {d.deleted[0]: _percent(d.error) for d in lesions.each}
    units = []
    for number, unit in enumerate(outline.units):
        shape = " to ".join("x".join(map(str, s)) for s in (unit.shape_in, unit.shape_out))
        units.append(Unit(number, shape, unit.parameters, unit.kind, *errors[number]))
    error, low, high = _percent(lesions.intact)
    return Network(
        *(member.preset, member.role, outline.parameters, member.depth),
        *(error, (low, high), lesions.intact.n, tuple(units)),
    )


def _percent(rate: Rate) -> tuple[float, float, float]:
    low, high = rate.interval
    return 100 * rate.value, 100 * low, 100 * high
