"""FractalNet: columns of 1, 2, 4, ... layers side by side, joined by means (Larsson et al. 2017).

f_1(z) = layer(z),  f_C(z) = mean of layer(z) and f_(C-1)(f_(C-1)(z)), where every join is the mean
of all columns that end there. A join of C columns is written as a nest: its shortcut, a row of one
layer, counts 1/C, its branch, the mean of the others, (C-1)/C. So P_C = P_(C-1)^2 + t: 1, 2, 5, 26,
677 paths a block.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..parts.merges import Mean, Probability, Road
from ..parts.shortcuts import Severed, Zeros
from ..parts.wrappers import Drawn, Per
from ..reader import Count, require
from ..units import ResidualNetwork, ResidualUnit, Row

FractalLayer = Callable[[int, int, float], nn.Module]  # (c_in, width, dropout rate) -> one layer


def layer(c_in: int, width: int, dropout: float) -> nn.Module:
    """3x3 convolution with a bias, dropout, BN without scale and shift, ReLU (the code)."""
    return nn.Sequential(
        nn.Conv2d(c_in, width, 3, padding=1),
        *([nn.Dropout(dropout)] if dropout else []),
        nn.BatchNorm2d(width, affine=False),
        nn.ReLU(),
    )


class Join(Mean):
    """The mean of `roads` columns: its shortcut's and those that end with its branch.

    `drawn`: how many columns are alive on either side, (N or 1, 1, 1, 1) each, of one forward pass;
    None for all. The mean is then over those alive (drop-path). UsageError: no column.
    """

    drawn: tuple[Tensor, Tensor] | None = None

    def __init__(self, roads: int):
        require(roads, Count, "a join: roads", UsageError)
        super().__init__(1 / roads)
        self.roads = roads

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        if self.drawn is None or around is None or through is None:
            return super().forward(around, through, z)
        a, b = self.drawn
        return (a * around + b * through) / (a + b).clamp_min(1)


def fractal(
    columns: int, make: Callable[[int], nn.Module], c_in: int, width: int, pooled: bool = False
) -> ResidualUnit:
    """f_C, its layers made by `make(c_in)`: a leaf, or a nest of two rows.

    `pooled`: a 2x2 max-pool behind the last layer of every column, ahead of the join (the code).
    A layer is a plain unit; deleted, it leaves zeros, since no way leads round it in its column.
    """
    if columns == 1:
        pool = nn.MaxPool2d(2, ceil_mode=True) if pooled else None
        return ResidualUnit(make(c_in), Severed(Zeros(width)), pool)
    deeper = Row(
        [fractal(columns - 1, make, c_in, width), fractal(columns - 1, make, width, width, pooled)]
    )
    beside = Row([fractal(1, make, c_in, width, pooled)])
    return ResidualUnit(deeper, beside, merge=Join(columns))


def joins(unit: ResidualUnit) -> Iterator[list[Join]]:
    """The joins inside a unit, in signal order: each as its nests, outermost first."""
    chain: list[Join] = []
    while isinstance(unit.branch, Row):
        chain.append(unit.merge)  # type: ignore[arg-type]
        *ahead, last = unit.branch
        for inner in ahead:
            yield from joins(inner)
        unit = last
    if chain:
        yield chain


class DropPath(Drawn):
    """Which columns every join takes the mean of, in training (Larsson et al. 2017, sec. 3.1).

    Local: each input of a join is dropped with probability `drop`, and where all are, one drawn at
    random stays. Global: one column of the whole network is alive alone.
    `single`: the share of examples (or of steps) whose draw is global.
    `per` "sample": the first examples of a batch, that share of them, have a column of their own,
    the others joins of their own; "batch": one draw for all examples of a step.
    The paper mixes half and half; that the halves are of a batch is this project's interpretation.
    No signal goes through this part: the network asks it for what is alive.
    """

    drawn: int | None  # type: ignore[assignment] - a seed, per batch

    def __init__(self, drop: float = 0.15, single: float = 0.5, per: Per = "sample"):
        super().__init__()
        require(drop, Probability, "drop-path: drop", UsageError)
        require(single, Probability, "drop-path: single", UsageError)
        require(per, Per, "drop-path: per", UsageError)
        self.drop, self.single, self.per = drop, single, per

    def draw(self, generator: torch.Generator) -> None:
        if self.per == "batch":
            self.drawn = int(torch.randint(2**62, (), generator=generator))

    def alive(self, examples: int, columns: int, roads: Sequence[int]) -> list[Tensor]:
        """For each join of so many roads, which are alive, (N or 1, roads); the deepest is last."""
        source = None
        if self.per == "batch":
            examples = 1
            source = None if self.drawn is None else torch.Generator().manual_seed(self.drawn)
            alone = torch.rand(1, generator=source) < self.single
        else:
            alone = torch.arange(examples) < round(self.single * examples)
        column = torch.randint(columns, (examples,), generator=source)
        found = []
        for n in roads:
            local = torch.rand(examples, n, generator=source) >= self.drop
            stays = torch.randint(n, (examples,), generator=source)
            local |= _one(stays, n) & ~local.any(1, keepdim=True)
            found.append(torch.where(alone[:, None], _one(column - (columns - n), n), local))
        return found

    def extra_repr(self) -> str:
        return f"drop={self.drop}, single={self.single}, per={self.per}"


def _one(index: Tensor, n: int) -> Tensor:
    """(N,) -> (N, n), true at the index; nowhere where it lies outside."""
    return index[:, None] == torch.arange(n)


class FractalNetwork(ResidualNetwork):
    """Blocks of fractals; `forward(images, column=j)` is what column j alone makes of them.

    Column 0 is the shallowest. `drop_path`: None trains all columns together.
    """

    def __init__(
        self, units: Sequence[ResidualUnit], head: nn.Module, columns: int,
        drop_path: DropPath | None = None,
    ):  # fmt: skip
        super().__init__(nn.Identity(), units, head)
        self.columns, self.drop_path = columns, drop_path

    def forward(self, images: Tensor, column: int | None = None) -> Tensor:
        """UsageError: a column that is not there."""
        chains = [chain for unit in self.units for chain in joins(unit)]
        roads = [len(chain) + 1 for chain in chains]
        if column is not None:
            if column not in range(self.columns):
                last = self.columns - 1
                raise UsageError(f"no column {column}: this network has columns 0 to {last}")
            alive = [_one(torch.tensor([column - (self.columns - n)]), n) for n in roads]
        elif self.training and self.drop_path is not None:
            alive = self.drop_path.alive(len(images), self.columns, roads)
        else:
            return super().forward(images)
        try:
            for chain, mask in zip(chains, alive, strict=True):
                counts = mask.to(images)[:, :, None, None, None]
                for at, join in enumerate(chain):
                    join.drawn = counts[:, at], counts[:, at + 1 :].sum(1)
            return super().forward(images)
        finally:
            for join in (join for chain in chains for join in chain):
                join.drawn = None


WIDTHS = (64, 128, 256, 512, 512)
DROPOUT = (0, 0.1, 0.2, 0.3, 0.4)


def fractalnet(
    classes: int,
    columns: int = 3,
    widths: Sequence[int] = WIDTHS,
    dropout: Sequence[float] = DROPOUT,
    make: FractalLayer = layer,
    drop_path: DropPath | None = None,
) -> FractalNetwork:
    """One block a width, the image halved behind each, then one linear layer.

    (N, 3, 32, 32) -> (N, K); a map of one pixel is halved no further. Its deepest path has
    len(widths) * 2^(columns - 1) convolutions.
    `dropout`: rates, block by block. UsageError: no column, or rates that are not one a block.
    """
    if columns < 1 or len(widths) != len(dropout):
        given = f"{columns} columns, {len(widths)} widths and {len(dropout)} rates"
        raise UsageError(f"a FractalNet has at least one column and a rate a width, not {given}")
    units, c_in = [], 3
    for width, rate in zip(widths, dropout, strict=True):

        def convolved(c: int, width: int = width, rate: float = rate) -> nn.Module:
            return make(c, width, rate)

        units.append(fractal(columns, convolved, c_in, width, pooled=True))
        c_in = width
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, classes))
    return FractalNetwork(units, head, columns, drop_path)
