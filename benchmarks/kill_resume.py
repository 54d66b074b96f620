"""SIGKILL a small training run at random instants, resume it, and compare with an undisturbed one.

    python benchmarks/kill_resume.py --kills 200

The network has dropout; `--optimiser` names what trains it. A killed run is started again until it
finishes; then weights, the optimiser's memory, statistics and metrics must be identical to the
reference, bit for bit. Children are forked from a process that has already imported torch, so kills
land in training and saving rather than in start-up. Prints one JSON object; exits 1 if any finished
run differs.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from residuum import progress
from residuum.data import load
from residuum.data.images import Dataset
from residuum.presets import preset
from residuum.training import About, Machine, find_recipe, train
from residuum.training.optimisers import SGD, Adam, AdamW, RMSProp

SAVE_SECONDS = 0.01
OPTIMISERS = {
    "sgd": SGD(nesterov=True),
    "adam": Adam(),
    "adamw": AdamW(),
    "rmsprop": RMSProp(momentum=0.5),
}


def small_data() -> Dataset:
    """300 digits to train on, 60 to test on."""
    digits = load("digits")
    return Dataset("digits", digits.train.first(300), digits.test.first(60), digits.classes)


def with_dropout(seed: int) -> nn.Module:
    """preresnet8 with dropout ahead of its last layer: a wrong draw changes every weight."""
    network = preset("preresnet8", 10, seed)
    network.head.insert(len(network.head) - 1, nn.Dropout(0.3))  # type: ignore[operator,arg-type]
    return network


def small_run(data: Dataset, folder: Path, optimiser: str = "sgd") -> None:
    rate = 0.1 if optimiser == "sgd" else 0.003
    chosen = OPTIMISERS[optimiser]
    recipe = replace(
        find_recipe("digits").shortened(6), batch_size=32, optimiser=chosen, learning_rate=rate
    )
    machine = Machine(device="cpu", threads=1, save_seconds=SAVE_SECONDS)
    about = About(watch="units.0.branch.0.weight")
    train(with_dropout(recipe.seed), data, recipe, folder, machine, about)


def digest(folder: Path) -> str:
    """Of all that a run leaves: weights, last checkpoint (with the optimiser's memory), metrics."""
    total = hashlib.sha256((folder / "weights.safetensors").read_bytes())
    manifest = json.loads((folder / "checkpoints" / "manifest.json").read_text())
    total.update((folder / "checkpoints" / manifest["checkpoints"][0]["file"]).read_bytes())
    total.update((folder / "metrics.jsonl").read_bytes())
    return total.hexdigest()


def in_child(data: Dataset, folder: Path, optimiser: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            small_run(data, folder, optimiser)
            os._exit(0)
        except BaseException as error:
            print(f"child failed: {error!r}", file=sys.stderr)
            os._exit(1)
    return child


def kill_and_resume(kills: int, seed: int, root: Path, optimiser: str = "sgd") -> dict:
    """At least `kills` kills, spread over as many complete runs as that takes."""
    torch.set_num_threads(1)
    progress.quiet = True
    data, source = small_data(), random.Random(seed)
    # what torch sets up at its first step is set up before the children are forked
    small_run(data, root / "warm-up", optimiser)
    started = time.monotonic()
    if os.waitpid(in_child(data, root / "reference", optimiser), 0)[1]:
        raise SystemExit("the undisturbed run failed")
    seconds = time.monotonic() - started
    expected, done, runs, different, inside_saves = digest(root / "reference"), 0, 0, 0, 0
    while done < kills or runs == 0:
        folder = root / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        while True:
            child = in_child(data, folder, optimiser)
            deadline = time.monotonic() + source.uniform(0.0, 0.6 * seconds)
            finished = 0
            while not finished and time.monotonic() < deadline:
                finished, status = os.waitpid(child, os.WNOHANG)
                time.sleep(0.002)
            if finished:
                if status:
                    raise SystemExit(
                        f"a resumed run failed with status {status}; seed {seed}, folder {folder}"
                    )
                break
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done += 1
            inside_saves += any(folder.rglob(".*.tmp"))
        runs += 1
        different += digest(folder) != expected
    return {
        "kills": done,
        "completed runs": runs,
        "different": different,
        "kills inside a save": inside_saves,
        "optimiser": optimiser,
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--optimiser", choices=OPTIMISERS, default="sgd")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = kill_and_resume(options.kills, options.seed, Path(place), options.optimiser)
    print(json.dumps(result))
    sys.exit(1 if result["different"] else 0)
