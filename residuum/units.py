"""READ THIS FIRST. The residual unit, a row of units, and a network that is stem -> units -> head.

Every network here is a row (sometimes a nest) of the same unit, and every experiment is a question asked of that row.
Shapes: N images, C channels, H x W pixels, K classes.
"""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from .parts.shortcuts import Severed


class ResidualUnit(nn.Module):
    """x' = f(h(a(x)) + F(a(x))), He et al. 2016, eq. 1-2: F is `branch`, h is `shortcut`, f is `after`, a is `before`.

    (N, C, H, W) -> (N, C', H', W'). A part left out is the identity. `before` is what both roads share: in a
    pre-activation network the activation ahead of the first unit and of every projection.

    A *plain* layer is the unit whose shortcut is `Severed`: the road is there and carries nothing (He et al. 2016,
    table 1, constant scaling 0/1). A *nested* unit has a `Row` for its branch (Zhang et al. 2016, RoR).
    """

    def __init__(
        self,
        branch: nn.Module,
        shortcut: nn.Module | None = None,
        after: nn.Module | None = None,
        before: nn.Module | None = None,
    ):
        super().__init__()
        self.before = nn.Identity() if before is None else before
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.after = nn.Identity() if after is None else after

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        return self.after(self.shortcut(x) + self.branch(x))

    @property
    def plain(self) -> bool:
        """True where nothing flows round the branch."""
        return isinstance(self.shortcut, Severed)


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


def count_leaves(row: Iterable[ResidualUnit]) -> int:
    """How many innermost units there are: the n of path counts and lesions."""
    return sum(1 for _ in leaves(row))


def leaves(row: Iterable[ResidualUnit]) -> Iterator[ResidualUnit]:
    """The innermost units in signal order: those a path counts and a lesion removes. A flat row gives itself."""
    for unit in row:
        if isinstance(unit.branch, Row):
            yield from leaves(unit.branch)
        else:
            yield unit
