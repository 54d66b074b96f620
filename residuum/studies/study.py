"""A paper as items. An item says what it needs, as data, and shows what came out, without torch.

needs(setting) -> [(role, probe), ...]        which measurement of which network
show(setting, values) -> Result               a table or figure with the paper's value beside ours

Every network is trained from each of the setting's seeds; what is needed is measured of each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..experiments.probe import Deletions, Probe, UnitMap, delete_each, record, unit_map
from ..results import Network, Result, Unit
from .curves import Point, rate_point

if TYPE_CHECKING:
    from ..data import Dataset
    from ..experiments.trial import Trial

T = TypeVar("T")
# roles that networks have in these papers; the control has its initial weights
RESIDUAL, PLAIN, VGG, CONTROL = "residual", "plain twin", "VGG", "untrained control"


@dataclass(frozen=True)
class Scale:
    """How large a study is: the networks' depth and training, and how much is measured."""

    name: str
    depth: int
    epochs: int | None  # None: the recipe's own
    seeds: int  # trainings of every network
    examples: int | None  # of the test part; None: all of them
    draws_examples: int | None  # the same, for figures with many random draws
    subsets: int  # of units, of every size: half with the unit that matters most, half without
    orders: int  # for every number of swaps
    gradient_examples: int  # training images for gradients
    particles: int  # of every length, in multilevel splitting
    replicates: int  # of splitting
    samples: int  # single paths of every length drawn with equal chances, as the paper does


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
    seeds: tuple[int, ...]  # of training; the first one also of what is drawn when measuring
    data: str  # as figures call it
    classes: int
    test: int  # images in the test part
    members: tuple[Member, ...]

    def member(self, role: str) -> Member:
        return next(m for m in self.members if m.role == role)

    @property
    def trained(self) -> tuple[Member, ...]:
        """The members without the control."""
        return tuple(m for m in self.members if m.role != CONTROL)

    @property
    def seed(self) -> int:
        """Of random draws: the same ones for every training."""
        return self.seeds[0]

    @property
    def seed_words(self) -> str:
        """For people: "seed 0", "seeds 0, 1, 2"."""
        return f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"

    @property
    def chance(self) -> float:
        """The error of guessing."""
        return 1 - 1 / self.classes


Need = tuple[str, Probe[Any]]  # the role of a network, and a measurement of it


@dataclass(frozen=True)
class Values:
    """What was measured, by role and probe: one value for each of the setting's seeds."""

    found: Mapping[Need, tuple[Any, ...]]

    def each(self, role: str, probe: Probe[T]) -> tuple[T, ...]:
        """In the order of the seeds."""
        return self.found[role, probe]

    def of(self, role: str, probe: Probe[T]) -> T:
        """Of the first seed."""
        return self.found[role, probe][0]


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
        mapped = (unit_map(), each_unit(setting))
        needs: list[Need] = [(member.role, record()) for member in setting.members]
        needs += [(member.role, probe) for member in setting.trained for probe in mapped]
        return needs + [need for item in self.items for need in item.needs(setting)]

    def show(self, setting: Setting, values: Values) -> tuple[Result, ...]:
        return tuple(item.show(setting, values) for item in self.items)


def each_unit(setting: Setting) -> Probe[Deletions]:
    """Every single deletion: for the map of units, and for figures about it."""
    return delete_each(setting.scale.examples)


def network_map(setting: Setting, member: Member, values: Values) -> Network:
    """The units of the member's first training, with what each deletion does. Percent."""
    outline = values.of(member.role, unit_map())
    lesions = values.of(member.role, each_unit(setting))
    errors = {d.deleted[0]: rate_point(d.error) for d in lesions.each}
    error, low, high = rate_point(lesions.intact)
    role = member.role if len(setting.seeds) == 1 else f"{member.role}, seed {setting.seed}"
    return Network(
        *(member.preset, role, outline.parameters, member.depth),
        *(error, (low, high), lesions.intact.n, mapped_units(outline, errors)),
    )


def mapped_units(outline: UnitMap, errors: Mapping[int, Point]) -> tuple[Unit, ...]:
    """The units of a network, with the errors (percent, with bounds) of those that were deleted."""
    units = []
    for number, unit in enumerate(outline.units):
        shape = " to ".join("x".join(map(str, s)) for s in (unit.shape_in, unit.shape_out))
        error, low, high = errors.get(number, (None, None, None))
        units.append(Unit(number, shape, unit.parameters, unit.kind, error, low, high))
    return tuple(units)
