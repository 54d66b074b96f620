"""Where units stand and who makes them. A network's units are one maker called at every place.

    row(16, cifar_stages(20), residual(basic, option_a))

A maker is composed: what changes a unit takes a maker and gives one, `replace(maker, make=...)`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from torch import nn

from ..errors import UsageError
from ..parts.arrangements import ORIGINAL, Arrangement, activation
from ..parts.branches import Block, basic, branch
from ..parts.shortcuts import Shortcut, option_a, same_shape, severed
from ..reader import require
from ..units import ResidualUnit


class Stage(NamedTuple):
    """`units` units of one width; the first of them has the stride."""

    units: int
    width: int
    stride: int


def units_of_stage(
    depth: int, layers: int, besides: int, kind: str, known: Sequence[int] = ()
) -> int:
    """n, where three stages of n units with so many layers each, and `besides`, make the depth.

    UsageError: no whole number, or not of units; `kind` ("a wide ResNet") and `known` depths tell
    which.
    """
    require(depth, int, f"{kind}: depth", UsageError)
    n, rest = divmod(depth - besides, 3 * layers)
    if rest or n < 1:
        such = f" ({', '.join(map(str, known))})" if known else ""
        raise UsageError(f"{kind} has depth {3 * layers}n+{besides}{such}, not {depth}")
    return n


class Place(NamedTuple):
    """Where a unit stands. Everything is counted from 0.

    `number` of `total` in the network.
    `index` of `in_stage` in its stage, which is number `stage`.
    `c_in`, `c_out`: the channels that it takes and gives.
    `width`: what its block is built with (a bottleneck gives four times that).
    """

    number: int
    total: int
    stage: int
    index: int
    in_stage: int
    c_in: int
    c_out: int
    width: int
    stride: int


def places(c_in: int, stages: Sequence[Stage], block: Block = basic) -> list[Place]:
    """The places of all stages in signal order; `block` says how many channels a unit gives."""
    total, found = sum(stage.units for stage in stages), []
    for s, (units, width, stage_stride) in enumerate(stages):
        for u in range(units):
            stride = stage_stride if u == 0 else 1
            c_out = block(c_in, width, stride)[-1].c_out
            found.append(Place(len(found), total, s, u, units, c_in, c_out, width, stride))
            c_in = c_out
    return found


@dataclass(frozen=True)
class UnitMaker:
    """Makes the unit of a place: `maker(place)`.

    `block` and `arrangement` are what depth, stem and head must agree with: said once, here.
    """

    make: Callable[[Place], ResidualUnit]
    block: Block
    arrangement: Arrangement

    def __call__(self, place: Place) -> ResidualUnit:
        return self.make(place)


Opens = Literal["own", "shared", "none"]
Opening = Callable[[Place, bool], Opens]  # (place, whether the shortcut has weights)


def share_first_and_projections(place: Place, projects: bool) -> Opens:
    """The first unit and projections share: both roads read it (He et al. 2016, sec. 3, 4.1)."""
    return "shared" if place.number == 0 or projects else "own"


def share_projections(place: Place, projects: bool) -> Opens:
    """Projections share, nothing else (Zagoruyko and Komodakis 2016, the code)."""
    return "shared" if projects else "own"


def share_nothing(place: Place, projects: bool) -> Opens:
    """Every shortcut reads the raw signal (Zhang et al. 2016, fig. 3)."""
    return "own"


def share_stage_first(place: Place, projects: bool) -> Opens:
    """The first unit of every stage shares, whatever its shortcut (fb.resnet.torch, CIFAR)."""
    return "shared" if place.index == 0 else "own"


def share_after_activated_stem(place: Place, projects: bool) -> Opens:
    """The stem has activated already: the first unit has none (fb.resnet.torch, ImageNet)."""
    return "none" if place.number == 0 else share_stage_first(place, projects)


def residual(
    block: Block = basic,
    shortcut: Shortcut = option_a,
    arrangement: Arrangement = ORIGINAL,
    opening: Opening = share_first_and_projections,
) -> UnitMaker:
    """x' = f(h(a(x)) + F(a(x))), the unit of He et al. 2016.

    `block`: F, which convolutions.
    `shortcut`: h.
    `arrangement`: where normalisation and activation stand, f among them.
    `opening`: whether the first activation is the branch's own, shared by both roads or left out.
    """

    def make(place: Place) -> ResidualUnit:
        around = shortcut(place.c_in, place.c_out, place.stride)
        require_same_shape(place, around)
        projects = around is not None and any(True for _ in around.parameters())
        opens = opening(place, projects)
        layers = block(place.c_in, place.width, place.stride)
        return ResidualUnit(
            branch(layers, arrangement, opened=opens != "own"),
            around,
            after=activation(arrangement.after, place.c_out),
            before=activation(arrangement.opening, place.c_in) if opens == "shared" else None,
        )

    return UnitMaker(make, block, arrangement)


def require_same_shape(place: Place, around: nn.Module | None) -> None:
    """UsageError where the identity stands at a change of shape."""
    if around is None and not same_shape(place.c_in, place.c_out, place.stride):
        raise UsageError(
            f"unit {place.number}: the identity gives {place.c_in} channels of H x W, the branch "
            f"{place.c_out} of H/{place.stride} x W/{place.stride}: they cannot be added. "
            "Take option A or B"
        )


def plain(
    block: Block = basic,
    shortcut: Shortcut = option_a,
    arrangement: Arrangement = ORIGINAL,
    opening: Opening = share_first_and_projections,
) -> UnitMaker:
    """The same units, every shortcut severed."""
    return residual(block, severed(shortcut), arrangement, opening)


Wrap = Callable[[nn.Module, Place], nn.Module]


def wrapped(maker: UnitMaker, around: Wrap | None = None, through: Wrap | None = None) -> UnitMaker:
    """The maker's units with their roads wrapped: see parts/wrappers.py.

    `around` is given the shortcut, `through` the branch, each with the place.
    """

    def make(place: Place) -> ResidualUnit:
        unit = maker(place)
        if around:
            unit.shortcut = around(unit.shortcut, place)
        if through:
            unit.branch = through(unit.branch, place)
        return unit

    return replace(maker, make=make)


def once(maker: UnitMaker) -> UnitMaker:
    """The same unit instance for the inner places of a stage: to count, not to train.

    First and last places, of the network and of a stage, have their own: makers treat them apart.
    """
    made: dict[Place, ResidualUnit] = {}

    def which_end(index: int, count: int) -> int:
        return 2 * (index == 0) + (index == count - 1)

    def make(place: Place) -> ResidualUnit:
        number = which_end(place.number, place.total)
        alike = place._replace(number=number, index=which_end(place.index, place.in_stage))
        if alike not in made:
            made[alike] = maker(place)
        return made[alike]

    return replace(maker, make=make)


def row(c_in: int, stages: Sequence[Stage], maker: UnitMaker) -> Iterator[ResidualUnit]:
    """The units of all stages, in signal order."""
    return map(maker, places(c_in, stages, maker.block))


# from a maker and the places of all units to the units of the network: nests, say
Rows = Callable[[UnitMaker, Sequence[Place]], Iterable[ResidualUnit]]


def flat(maker: UnitMaker, standing: Sequence[Place]) -> Iterable[ResidualUnit]:
    """One unit behind the other."""
    return map(maker, standing)
