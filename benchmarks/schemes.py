"""Training schemes on the digits: each trains a small network for real, and learns.

    python benchmarks/schemes.py --output results/schemes.json
    python benchmarks/schemes.py --only lsuv swapout

One row a scheme: network, recipe, epochs, test error on 898 images with Wilson's 95 % interval.
The recipe is "digits" unless a row changes it. A new row is a line of `ROWS`. Rows of the
output file that are not asked for stay. The last line is one JSON object; exits 1 where an error is
10 % or more.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from residuum import progress
from residuum.anatomy.statistics import Rate
from residuum.data import Dataset, load
from residuum.data.augment import Pixels
from residuum.data.normalise import fit
from residuum.machine import Machine, processor
from residuum.networks.fractalnet import DropPath, fractalnet
from residuum.networks.resnet import cifar_resnet
from residuum.networks.stages import Place, residual
from residuum.networks.stochastic import linear, survive, uniform
from residuum.parts.arrangements import ORIGINAL, PREACT, RELU_BEFORE_ADD
from residuum.parts.init import HE_FAN_IN, HE_FAN_OUT
from residuum.parts.wrappers import Companion, Noisy, Weighted
from residuum.presets import preset
from residuum.training import About, Recipe, find_recipe, train
from residuum.training.boosting import boost
from residuum.training.description import versions
from residuum.training.limits import Limits
from residuum.training.optimisers import Adam
from residuum.training.schedules import Steps
from residuum.training.schemes import ActiveSubset, Companions, Hints, Lsuv
from residuum.training.testing import noisy_probabilities
from residuum.units import ResidualNetwork, ResidualUnit

SEED, WORST = 0, 0.1
Changes = dict[str, Any]
Network = Callable[[], ResidualNetwork]


@dataclass(frozen=True)
class Row:
    """A scheme, on a preset or on a network that a function builds."""

    scheme: str
    network: str | Network
    changes: Changes = field(default_factory=dict)  # of the recipe
    epochs: int = 12
    samples: int | None = None  # noisy passes at test
    note: str = ""

    def build(self) -> ResidualNetwork:
        if isinstance(self.network, str):
            return preset(self.network, 10, SEED)
        return HE_FAN_OUT(self.network(), SEED)  # type: ignore[return-value]

    @property
    def name(self) -> str:
        if isinstance(self.network, str):
            return self.network
        return getattr(self.network, "__name__", "") or self.note

    def recipe(self) -> Recipe:
        return replace(find_recipe("digits").shortened(self.epochs), seed=SEED, **self.changes)


def changed(depth: int, change: Callable[[ResidualUnit, Place], None], arrangement=ORIGINAL):
    """A CIFAR ResNet whose units are changed one by one."""
    maker = residual(arrangement=arrangement)

    def make(place: Place) -> ResidualUnit:
        unit = maker(place)
        change(unit, place)
        return unit

    return cifar_resnet(depth, 10, replace(maker, make=make))


def swapout14() -> ResidualNetwork:
    """Both roads noisy, kept from 1 in the first unit to 0.5 in the last."""

    def noisy(unit: ResidualUnit, place: Place) -> None:
        keep = 1 - 0.5 * place.number / (place.total - 1)
        unit.branch, unit.shortcut = Noisy(unit.branch, keep), Noisy(unit.shortcut, keep)

    return changed(14, noisy, PREACT)


def weighted14() -> ResidualNetwork:
    """Branches that end in a ReLU, each times a learned number in [-1, 1]."""

    def weigh(unit: ResidualUnit, place: Place) -> None:
        unit.branch = Weighted(unit.branch)

    return changed(14, weigh, RELU_BEFORE_ADD)


def supervised14() -> ResidualNetwork:
    """A companion behind the first unit of each stage."""

    def accompany(unit: ResidualUnit, place: Place) -> None:
        if place.index == 0:
            pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            unit.branch = Companion(unit.branch, pooled.append(nn.Linear(place.c_out, 10)))

    return changed(14, accompany)


def per_sample20() -> ResidualNetwork:
    """Stochastic depth an example, inverted: divided by the survival in training."""
    return cifar_resnet(20, 10, survive(residual(), linear(0.8), "sample", "training"))


def four_of_nine() -> ResidualNetwork:
    """The branch times 4/9 at test."""
    return cifar_resnet(20, 10, survive(residual(), uniform(4 / 9)))


def columns() -> ResidualNetwork:
    """Three columns of 1, 2 and 4 layers, two blocks; half a batch has joins of its own, half of it
    one column."""
    return fractalnet(10, 3, (16, 32), (0.0, 0.0), drop_path=DropPath())


ROWS = (
    Row("stochastic depth, a batch", "resnet20-stochastic"),
    Row("stochastic depth, an example, inverted", per_sample20),
    Row("exactly 4 of 9 units", four_of_nine, {"scheme": ActiveSubset(4)}, epochs=30),
    Row("projected weights", weighted14),
    Row("swapout, deterministic", swapout14, epochs=30),
    Row("swapout, 30 samples", swapout14, epochs=30, samples=30),
    Row("lsuv", "resnet14", {"scheme": Lsuv()}),
    Row("lsuv, as the PyTorch port", "resnet14", {"scheme": Lsuv(0.1, 10, "deviation")}),
    Row("companion losses, squared hinge", supervised14, {"scheme": Companions(6)}),
    Row("companion losses, softmax", supervised14, {"scheme": Companions(6, "softmax")}),
    Row("drop-path, local and global", columns, {"learning_rate": 0.05}, epochs=40),
    Row("precise batch normalisation", "resnet14", {"precise_statistics": 899}),
)
HINTS = Hints(3, "units.3", "units.1", decay=(0, 9))  # teacher resnet14, student resnet8
BOOST = Recipe(
    "boost", 120, "iterations", learning_rate=3e-3, schedule=Steps(()), batch_size=64,
    optimiser=Adam(), weight_decay=0.0, augmentation=find_recipe("digits").augmentation, seed=SEED,
    limits=Limits(gradient=0.1),
)  # fmt: skip


def told(row_name: str, network: str, recipe: Recipe, error: Rate, start: float) -> Changes:
    return {
        "scheme": row_name,
        "network": network,
        "recipe": recipe.name,
        "settings": recipe.meaning().get("scheme", {}),
        "epochs": recipe.length if recipe.clock == "epochs" else None,
        "error": round(error.value, 4),
        "interval": [round(bound, 4) for bound in error.interval],
        "n": error.n,
        "seed": recipe.seed,
        "cpu seconds": round(time.process_time() - start, 1),
        "versions": versions(),
        **processor(),
    }


def error_of(network: nn.Module, data: Dataset, recipe: Recipe, samples: int | None) -> Rate:
    pixels = Pixels(data.test, fit(data.train, recipe.normalisation), "cpu")
    images, labels = pixels.batch(torch.arange(len(pixels)))
    with torch.no_grad():
        found = network.eval()(images) if samples is None else None
    if samples is not None:
        found = noisy_probabilities(network, images, samples, SEED)
    return Rate(int((found.argmax(1) != labels).sum()), len(labels))


def simple(row: Row, data: Dataset, folder: Path, machine: Machine) -> Changes:
    start, network, recipe = time.process_time(), row.build(), row.recipe()
    train(network, data, recipe, folder, machine, About(title=row.scheme))
    return told(row.scheme, row.name, recipe, error_of(network, data, recipe, row.samples), start)


def hints(data: Dataset, folder: Path, machine: Machine) -> Changes:
    """The teacher's training counts among the seconds."""
    start, teacher = time.process_time(), preset("resnet14", 10, SEED + 1)
    train(teacher, data, Row("", "").recipe(), folder / "teacher", machine, About(title="teacher"))
    scheme = Hints(**{n: getattr(HINTS, n) for n in HINTS.__struct_fields__ if n != "teacher"},
                   teacher=str(folder / "teacher"))  # fmt: skip
    recipe = Row("", "", {"scheme": scheme, "learning_rate": 0.02}).recipe()
    network, about = preset("resnet8", 10, SEED), About(teacher=teacher, title="hints")
    train(network, data, recipe, folder / "student", machine, about)
    return told("hints and distillation", "resnet8 taught by resnet14", recipe,
                error_of(network, data, recipe, None), start)  # fmt: skip


def boosting(data: Dataset, folder: Path, machine: Machine, tuned: bool) -> Changes:
    start, network = time.process_time(), HE_FAN_IN(cifar_resnet(14, 10), SEED)
    fine = replace(find_recipe("digits").shortened(6), learning_rate=0.02, warmup=None)
    done = boost(network, data, BOOST, folder, machine, fine_tuning=fine if tuned else None)
    name = "boosting, then all together for 6 epochs" if tuned else "boosting"
    row = told(name, "resnet14", BOOST, error_of(network, data, BOOST, None), start)
    edges = [round(block.edge, 3) for block in done.blocks]
    return row | {"batches a block": done.blocks[0].batches, "edges": edges}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", nargs="+", default=("",), help="rows whose names begin so")
    options = parser.parse_args()
    progress.quiet = True
    machine, data = Machine("cpu", 1, save_seconds=1e9), load("digits")
    machine.prepare()
    work = {row.scheme: partial(simple, row) for row in ROWS} | {
        "hints and distillation": hints,
        "boosting": partial(boosting, tuned=False),
        "boosting, then all together for 6 epochs": partial(boosting, tuned=True),
    }
    file, rows = options.output, {}
    if file and file.exists():
        rows = {row["scheme"]: row for row in json.loads(file.read_text())["rows"]}
    for name, do in work.items():
        if name.startswith(tuple(options.only)):
            with tempfile.TemporaryDirectory() as folder:
                rows[name] = do(data, Path(folder), machine)
            print(f"{name:<44}{100 * rows[name]['error']:6.2f} %", flush=True)
            if file:
                file.write_text(json.dumps(result(rows, work), indent=1) + "\n")
    print(json.dumps(result(rows, work)))
    sys.exit(any(row["error"] >= WORST for row in rows.values()))


def result(rows: Changes, work: Changes) -> Changes:
    """In the order of the script; a row that it no longer has is dropped."""
    return {"data": "digits", "rows": [rows[name] for name in work if name in rows]}


if __name__ == "__main__":
    main()
