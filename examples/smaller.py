"""Models of other libraries, trained on real data, without a third of their units.

    python examples/smaller.py resnet --data cifar10.tar.xz --output runs/smaller
    python examples/smaller.py vit --data cifar10.tar.xz --output runs/smaller
    python examples/smaller.py decoder --output runs/smaller
    python examples/smaller.py resnet --small --output runs/small  # seconds, on digits

A ResNet and a vision transformer of timm learn to tell images apart, a decoder of transformers
reads a text that comes with Python. Training examples choose which units go: the cheapest deletion,
one at a time; beside it the smallest block influence, and chance. What is left learns from the
intact model's answers, becomes ONNX, and is measured on test examples. MODEL.json holds the
numbers. Started again, a training goes on.
"""

import argparse
import copy
import json
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from smaller_models import MACHINE, SEED, decoder, reading, resnet, seeing, vit

from residuum import anatomy, surgery
from residuum.machine import processor
from residuum.reader import plain
from residuum.results import Table
from residuum.storage import make_folder, write_text
from residuum.subjects import Subject
from residuum.training.description import versions

DRAWS = 5


@dataclass(frozen=True)
class Scale:
    """How many training examples choose and heal, how many test examples measure, how often passes
    are timed, and whose choices are healed."""

    chosen: int = 500
    healed: int = 4096
    test: int = 2000
    rounds: int = 20
    choices: tuple[str, ...] = ("deletion", "influence", "random 0")


FULL, SMALL = Scale(), Scale(32, 256, 200, 3, ("deletion",))
HEALING = surgery.Healing(epochs=3, learning_rate=3e-4, seed=SEED)


def chosen(subject: Subject, n: int) -> tuple[list[surgery.Candidate], dict[str, Any]]:
    """The search's steps on n training examples, and thirds of the units: by deletion, by block
    influence, at random."""
    view, examples = subject.view, subject.train.spread(n)
    units = len(view.units)
    steps = surgery.greedy(view, examples, surgery.Target(units=units // 3))
    scores = anatomy.cheap_scores(anatomy.redundancy(view, examples.inputs))
    least = np.argsort(scores["influence"], kind="stable")[: units // 3]
    sets = {"deletion": steps[-1].removed, "influence": tuple(least.tolist())}
    for draw in range(DRAWS):
        drawn = np.random.default_rng([SEED, draw]).choice(units, units // 3, replace=False)
        sets[f"random {draw}"] = tuple(drawn.tolist())
    return steps, sets


def smaller(subject: Subject, scale: Scale, folder: Path) -> dict[str, Any]:
    """All numbers, as JSON has them; the model healed after deletions is written as ONNX."""
    view, test, train = subject.view, subject.test, subject.train
    steps, sets = chosen(subject, scale.chosen)
    told: dict[str, Any] = {"units": [unit.name for unit in view.units], "chosen on": scale.chosen}
    told["intact, on training examples"] = surgery.lost(view, train.spread(scale.chosen), [()])
    told["search"] = steps
    told["search, on test examples"] = surgery.lost(view, test, [s.removed for s in steps])
    told["not healed"] = dict(zip(sets, surgery.lost(view, test, sets.values()), strict=True))
    told |= {"healing": HEALING, "healed on": len(train), "healed": {}}
    for name in ("nothing", *scale.choices):
        units = sets.get(name, ())
        # beside it what the same steps do for a model that has lost nothing
        small = surgery.removed(view, units) if units else copy.deepcopy(view.model)
        losses = surgery.heal(small, view.model, train, HEALING)
        counts = len(view.units), len(view.units) - len(units)
        found = surgery.compare_sizes(
            view.model, small, counts, test, test.inputs[:64], scale.rounds
        )
        told["healed"][name] = {"loss by epoch": losses, "sizes": found}
        if name == "deletion":
            told["table"] = beside(found, told["not healed"][name])
            file = folder / f"{subject.name}.onnx"
            file.unlink(missing_ok=True)
            told["onnx"] = replace(surgery.write_onnx(small, file, test.inputs[:2]), file=file.name)
    return told


def beside(found: Any, unhealed: surgery.Candidate) -> Table:
    """Before, removed and healed in columns; sizes and times of the last two are the same."""
    loss = f"{unhealed.loss.value:.4f} [{unhealed.loss.low:.4f}, {unhealed.loss.high:.4f}]"
    removed = {"loss": loss, "error": str(unhealed.error)}
    rows = [(what, a, removed.get(what, b), b) for what, a, b in found.table.rows]
    return Table(("", "before", "removed", "healed"), tuple(rows))


def main() -> None:
    made = {make.__name__: make for make in (resnet, vit, decoder)}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=made)
    parser.add_argument("--data", help="class folders or an archive of them; else digits")
    parser.add_argument("--data-name", help="what the data are called")
    parser.add_argument("--steps", type=int, help="of training; else 4000, of the decoder 2000")
    parser.add_argument("--small", action="store_true", help="seconds, on images of 8x8 pixels")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    scale = SMALL if options.small else FULL
    MACHINE.prepare()
    make = made[options.model]
    learn = reading if make is decoder else seeing
    subject = learn(make, options, scale.healed, scale.test)
    libraries = {name: metadata.version(name) for name in ("timm", "transformers", "onnxruntime")}
    told: dict[str, Any] = {"model": subject.name, "seed": SEED, "threads": 1}
    told |= {"versions": versions() | libraries, **processor(), **subject.provenance}
    told |= smaller(subject, scale, make_folder(options.output))
    for row in told["table"].rows:
        print("{:>27}  {:>28}  {:>28}  {:>28}".format(*row))
    written = json.dumps(plain(told), indent=1, ensure_ascii=False)
    write_text(options.output, f"{subject.name}.json", written + "\n")


if __name__ == "__main__":
    main()
