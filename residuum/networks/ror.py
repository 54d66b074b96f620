"""Residual networks of residual networks (Zhang et al. 2016): shortcuts round rows of units.

A level is a nest, a unit whose branch is a row. Level 1 goes round the whole network, level 2 round
each stage, every further one round the halves of those before; the last is each unit's own
shortcut. So `cifar_resnet(110, 10, rows=levels(3))` is RoR-3-110: the base network, unit for unit,
and four level shortcuts.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from math import prod

from ..errors import UsageError, several
from ..parts.shortcuts import Shortcut, projection
from ..units import ResidualUnit, Row
from .stages import Place, Rows, UnitMaker

bare_projection = partial(projection, normalise=False)


def nest(
    units: Sequence[ResidualUnit], around: Sequence[Place], shortcut: Shortcut
) -> ResidualUnit:
    """The units, which stand at the places, as the branch of one unit with this shortcut.

    What follows the last unit's sum then follows the nest's: RoR's units lose their ReLU at the end
    of a level, where the outer sum comes first (Zhang et al. 2016, fig. 2).
    """
    *inner, last = units
    bare = ResidualUnit(last.branch, last.shortcut, None, last.before, last.merge)
    stride = prod(place.stride for place in around)
    road = shortcut(around[0].c_in, around[-1].c_out, stride)
    return ResidualUnit(Row([*inner, bare]), road, last.after)


def levels(number: int, shortcut: Shortcut = bare_projection) -> Rows:
    """RoR-`number`: 1 is the network as it is, 2 adds the shortcut round all, 3 those of stages.

    `shortcut`: of every level but the last. 1x1 convolutions without normalisation, as figures 2
    and 3 draw them.
    UsageError, on use: fewer than 1 level; stages with too few units to be halved.
    """

    def rows(maker: UnitMaker, standing: Sequence[Place]) -> list[ResidualUnit]:
        if number < 1:
            raise UsageError(f"a residual network has at least 1 level of shortcuts, not {number}")
        return nested(maker, standing, 1)

    def nested(maker: UnitMaker, standing: Sequence[Place], level: int) -> list[ResidualUnit]:
        if level == number:
            return [maker(place) for place in standing]
        return [
            nest(nested(maker, group, level + 1), group, shortcut)
            for group in _groups(standing, level)
        ]

    return rows


def _groups(standing: Sequence[Place], level: int) -> Iterator[Sequence[Place]]:
    """What the shortcuts of this level go round, of the places inside one of the level before."""
    if level == 1:
        yield standing
    elif level == 2:
        yield from (list(stage) for _, stage in groupby(standing, lambda place: place.stage))
    elif len(standing) < 2:
        told = f"stage {standing[0].stage} has {several(standing[0].in_stage, 'unit')}"
        raise UsageError(
            f"level {level} halves each stage {several(level - 2, 'time')}, but {told}"
        )
    else:
        middle = (len(standing) + 1) // 2
        yield standing[:middle]
        yield standing[middle:]
