"""A trained network on the table: the network, its pictures, its name, and how it was trained."""

from dataclasses import dataclass

import torch

from .. import progress
from ..anatomy import Examples
from ..anatomy.deletions import spread_out
from ..anatomy.reorder import shapes
from ..anatomy.statistics import Rate
from ..data import Dataset
from ..data.augment import Pixels, statistics
from ..errors import DataError
from ..presets import find
from ..results import Network, Unit
from ..training import Run
from ..units import ResidualNetwork
from ..views.own import leaves
from .trial import rebuild


@dataclass(frozen=True)
class Subject:
    """`test` to measure errors on, `train` for gradients: normalised as in training, not augmented."""

    run: Run
    network: ResidualNetwork
    test: Examples
    train: Examples
    role: str

    @property
    def name(self) -> str:
        assert self.run.network is not None  # rebuild has seen to it
        return self.run.network.preset

    @property
    def units(self) -> int:
        return sum(1 for _ in leaves(self.network))


def open_subject(run: Run, data: Dataset, role: str = "", test: int | None = None, train: int = 0) -> Subject:
    """The finished run's network with its data. DataError: other data than it was trained on."""
    require_data(run, data)
    mean, std = statistics(data.train, run.recipe.normalisation)
    parts = []
    for images, n in ((data.test, test), (data.train, train)):
        pixels = Pixels(images, mean, std, 0, "cpu")
        chosen = spread_out(len(pixels), len(pixels) if n is None else n)
        parts.append(Examples(*pixels.batch(chosen)))
    return Subject(run, rebuild(run), parts[0], parts[1], role)


def require_data(run: Run, data: Dataset) -> None:
    """DataError: other classes or another size than the run was trained on. Other pictures are said aloud."""
    trained, given = run.data, data.describe()
    for what in ("classes", "size"):
        if getattr(trained, what) != getattr(given, what):
            both = (getattr(given, what), getattr(trained, what))
            ours, theirs = (f"{len(v)} {what} {list(v[:5])}" for v in both)
            raise DataError(f"{run.folder}: trained on {theirs}, but {data.name} has {ours}. Give the same data")
    if trained.digest != given.digest:
        progress.say(f"warning: these are not the pictures that {run.folder} was trained on (another digest)")


@torch.no_grad()
def chart(subject: Subject, error: Rate, deletions=()) -> Network:
    """The map of its units; with `deletions`, what each deletion does. Percent."""
    outlines, units = shapes(subject.network, subject.test.inputs), []
    by_number = {d.deleted[0]: d for d in deletions}
    for number, (unit, (before, after)) in enumerate(zip(leaves(subject.network), outlines, strict=True)):
        gone = by_number.get(number)
        low, high = (100 * v for v in gone.error.interval) if gone else (None, None)
        units.append(
            Unit(
                number,
                f"{'x'.join(map(str, before))} to {'x'.join(map(str, after))}",
                sum(p.numel() for p in unit.parameters()),
                "plain" if unit.plain else "identity" if before == after else "changes the shape",
                100 * gone.error.value if gone else None,
                low,
                high,
            )
        )
    low, high = error.interval
    parameters = sum(p.numel() for p in subject.network.parameters())
    depth = find(subject.name).depth
    return Network(
        subject.name, subject.role, parameters, depth, 100 * error.value, (100 * low, 100 * high), error.n, tuple(units)
    )
