"""Stochastic depth: time of a training step against constant depth, in turns in one run.

    python benchmarks/stochastic_depth.py
    python benchmarks/stochastic_depth.py --depth 20 --batch 32 --steps 3 --repeats 2

Constant depth is the same network with all units there: the preset without its `Dropped`. Both
train as `residuum train` does (uncompiled), on random images of 32x32 pixels, and take turns step
by step. A step is taken `--repeats` times with the same draw and the quickest counts, so that what
else the machine does disturbs little. How many units are there differs from step to step, so what
is saved is told beside the active fraction of the very steps that were timed: `share` is the saving
over the part of the units that was left out.

Survival falls towards the head: units are left out where they are quick or slow on this machine.
`share of unit time` is the same with units weighed by the time that each takes in the constant
network, beside which stands what such weights let expect. Huang et al. 2016, table 3, save 27 % on
a GPU. The last line is one JSON object; "cpu" is CPU time, which a busy machine disturbs less.
"""

import argparse
import json
import os
import statistics
import time
from contextlib import ExitStack
from dataclasses import replace

import torch

from residuum.data.images import Dataset, Images
from residuum.machine import Machine, processor
from residuum.networks.stages import residual
from residuum.parts.shortcuts import option_a_average
from residuum.parts.wrappers import Dropped
from residuum.presets import find, preset
from residuum.training import find_recipe
from residuum.training.distributed import Team
from residuum.training.loop import Trainer
from residuum.views.in_place import in_place

PAPER = 0.27  # of 20 h 42 min on CIFAR-10, 110 layers


class Side:
    """A network in training, and what its turns took."""

    def __init__(self, network, data: Dataset, batch: int, machine: Machine):
        recipe = replace(find_recipe("he-cifar"), learning_rate=0.01, batch_size=batch)
        self.trainer = Trainer(network, data, recipe, machine, Team(device=machine.device))
        self.parts = [m for m in network.modules() if isinstance(m, Dropped)]
        self.turns: list[list[tuple[float, float]]] = []  # wall and CPU seconds of each repeat
        self.active: list[list[bool]] = []

    def take(self, step: int) -> tuple[float, float]:
        self.trainer.step = step
        wall, cpu = time.perf_counter(), time.process_time()
        self.trainer.advance()
        self.trainer.running_loss()
        return time.perf_counter() - wall, time.process_time() - cpu

    def begin(self) -> None:
        """A step that counts, whose repeats are still to come."""
        self.active.append([bool(part.drawn) for part in self.parts])
        self.turns.append([])


def unit_times(network, batch: int, device: str, repeats: int = 3) -> list[float]:
    """Seconds of each branch, forward and backward, on its own signal; of CPU time on a CPU."""
    network.train().to(device).to(memory_format=torch.channels_last)
    clock = time.process_time if device == "cpu" else time.perf_counter
    taken, signal = [], network.stem(torch.randn(batch, 3, 32, 32, device=device)).detach()
    for unit in network.units:
        given = signal.clone().requires_grad_()
        each = []
        for _ in range(repeats):
            start = clock()
            unit.branch(given).sum().backward()
            assert given.grad is not None
            given.grad.sum().item()  # waits for the device
            each.append(clock() - start)
        taken.append(min(each))
        signal = unit(signal).detach()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--depth", type=int, default=110)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=12, help="of each side")
    parser.add_argument("--repeats", type=int, default=4, help="of each step")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    machine = Machine(options.device, options.threads).resolved()
    machine.prepare()
    pixels = torch.randint(0, 256, (2 * options.batch, 32, 32, 3), dtype=torch.uint8)
    train = Images(pixels, torch.randint(0, 10, (len(pixels),)))
    data = Dataset("random", train, train.first(2), tuple(map(str, range(10))))
    row = find(f"resnet{options.depth}-stochastic")
    constant = row.start(row.network(10, residual(shortcut=option_a_average)), 0)
    weights = unit_times(constant, options.batch, machine.device)
    sides = {
        "constant": Side(constant, data, options.batch, machine),
        "stochastic": Side(preset(row.name, 10, 0), data, options.batch, machine),
    }
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        for side in sides.values():
            stack.enter_context(in_place(side.trainer.network))  # as `drive` does, round all steps
            side.take(0)  # the first step allocates
        for step in range(1, options.steps + 1):
            for repeat in range(options.repeats):
                for side in list(sides.values())[:: -1 if repeat % 2 else 1]:
                    taken = side.take(step)
                    if repeat == 0:
                        side.begin()
                    side.turns[-1].append(taken)
    print(json.dumps(report(sides, weights) | {
        **processor(), "device": machine.device, "threads": options.threads,
        "torch": torch.__version__,
        "batch": options.batch, "steps": options.steps, "repeats": options.repeats,
        "load before and after": [round(load, 1), round(os.getloadavg()[0], 1)],
    }))  # fmt: skip


def report(sides: dict[str, Side], weights: list[float]) -> dict:
    """Savings as fractions of a step; `active` counts units, of those steps and expected."""
    stochastic = sides["stochastic"]
    drawn = [sum(units) for units in stochastic.active]
    survivals = [part.survival for part in stochastic.parts]
    units, active = len(survivals), statistics.mean(drawn)
    there = [
        sum(w for w, one in zip(weights, step, strict=True) if one) for step in stochastic.active
    ]
    left_out = 1 - statistics.mean(there) / sum(weights)
    result = {
        "units": units,
        "active": round(active, 2),
        "active expected": round(sum(survivals), 2),
    }
    result["expected saving"] = round(1 - sum(survivals) / units, 4)
    kept = sum(p * w for p, w in zip(survivals, weights, strict=True))
    result["expected by unit time"] = round(1 - kept / sum(weights), 4)
    for number, clock in enumerate(("wall", "cpu")):
        means = {
            name: statistics.mean(min(taken[number] for taken in turn) for turn in side.turns)
            for name, side in sides.items()
        }
        saving = 1 - means["stochastic"] / means["constant"]
        result[clock] = {
            "seconds a step": {name: round(mean, 3) for name, mean in means.items()},
            "saving": round(saving, 4),
            "share": round(saving / (1 - active / units), 3),
            "share of unit time": round(saving / left_out, 3),
        }
    return result | {"saving of the paper": PAPER}


if __name__ == "__main__":
    main()
