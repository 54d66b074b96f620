"""READ THIS FIRST. The residual unit, a row of units, and a network that is stem -> units -> head.

Every network here is a row (sometimes a nest) of the same unit, and every experiment is a question
asked of that row. Shapes: N images, C channels, H x W pixels, K classes.
"""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from .errors import UsageError
from .parts.merges import Merge, Road, Sum
from .parts.shortcuts import Severed, Zeros


class ResidualUnit(nn.Module):
    """x' = f(m(h(z), F(z); z)), z = a(x).

    F is `branch`, h `shortcut`, m `merge`, f `after`, a `before`.

    (N, C, H, W) -> (N, C', H', W'). With m the sum: He et al. 2016, eq. 1-2; with m a gate:
    Srivastava et al. 2015, eq. 3; with m a concatenation: Huang et al. 2017. A part left out is the
    identity, the merge the sum. `before` is what both roads read: in a pre-activation network the
    activation ahead of the first unit and of every projection.

    A *plain* layer is the unit whose shortcut is `Severed`: the road is there and carries nothing
    (He et al. 2016, table 1, constant scaling 0/1). A *nested* unit has a `Row` for its branch
    (Zhang et al. 2016, RoR). Where its shortcut is a `Row` too, both roads have units of their own
    (the columns of Larsson et al. 2017); the merge is then one that does not read z.
    """

    def __init__(
        self,
        branch: nn.Module,
        shortcut: nn.Module | None = None,
        after: nn.Module | None = None,
        before: nn.Module | None = None,
        merge: Merge | None = None,
    ):
        super().__init__()
        if merge is not None and not isinstance(merge, Merge):
            raise UsageError(
                "merge must be a residuum.parts.merges.Merge, not "
                f"{type(merge).__name__}. Subclass it and "
                "state forward(around, through, z)"
            )
        if isinstance(shortcut, Row) and not (
            isinstance(branch, Row) and merge is not None and not merge.needs_input
        ):
            raise UsageError(
                "a shortcut that is a Row goes with a branch that is one, and with a merge that "
                "does not read z (needs_input = False), such as residuum.parts.merges.Mean"
            )
        self.before = nn.Identity() if before is None else before
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.merge = Sum() if merge is None else merge
        self.after = nn.Identity() if after is None else after

    def forward(self, x: Tensor) -> Tensor:
        around, z = self.enter(x)
        return self.leave(around, self.branch(z), z)

    # The two lines of the formula stand apart so that a nest can be entered, crossed leaf by leaf,
    # and left.

    def enter(self, x: Tensor) -> tuple[Road, Tensor]:
        """h(z) and z = a(x)."""
        z = self.before(x)
        return self.shortcut(z), z

    def leave(self, around: Road, through: Road, z: Tensor | None) -> Tensor:
        """f(m(h, F; z))."""
        return self.after(self.merge(around, through, z))

    def bypass(self, z: Tensor, strict: bool = False) -> Tensor:
        """What the merge leaves when the branch is deleted (Veit et al. 2016, sec. 4.1).

        h(z) for a sum and for a gate (T = 0), [h(z), 0] for a concatenation, h(z)/2 for a mean; in
        a plain unit the road that is cut opens. `strict` keeps the merge as it is, m(h, 0; z): (1 -
        T) h for a gate.
        """
        if strict and self.plain:
            raise UsageError(
                "a plain unit has no strict deletion: nothing would be left of the signal"
            )
        road = self.shortcut.road if isinstance(self.shortcut, Severed) else self.shortcut
        around = road(z)
        if around is None:
            raise UsageError(
                "a shortcut that carries nothing is a residuum.parts.shortcuts.Severed, which says "
                "what flows once the branch is deleted"
            )
        left = self.merge.bypass(around, z, strict)
        if left is None:
            left, _ = self.merge.halves(around, self.branch(z), z)
        assert left is not None  # the road carries something
        return left

    @property
    def plain(self) -> bool:
        """True where nothing flows round the branch."""
        return isinstance(self.shortcut, Severed)

    @property
    def opens(self) -> bool:
        """True of a plain unit that leaves a way once its branch is deleted."""
        return isinstance(self.shortcut, Severed) and not isinstance(self.shortcut.road, Zeros)


class Row(nn.Sequential):
    """Units in series, in signal order. As the branch of a unit it makes a nest."""

    def __init__(self, units: Iterable[ResidualUnit] = ()):
        super().__init__(*units)

    def __iter__(self) -> Iterator[ResidualUnit]:
        return super().__iter__()  # type: ignore[return-value]


class ResidualNetwork(nn.Module):
    """stem -> units -> head, (N, 3, H, W) -> (N, K)."""

    def __init__(self, stem: nn.Module, units: Iterable[ResidualUnit], head: nn.Module):
        super().__init__()
        self.stem, self.units, self.head = stem, Row(units), head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.units(self.stem(images)))
