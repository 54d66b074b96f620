"""Training: our loop against a plain PyTorch loop, in alternating pairs in one run.

    pip install -e ".[benchmarks]"
    python benchmarks/training.py                  everything
    python benchmarks/training.py --quick          resnet20, few steps, not compiled
    python benchmarks/training.py --networks preresnet110 --threads 1 --precisions bfloat16

Plain is what anybody writes: eager float32, a DataLoader over torchvision transforms (crop, flip,
normalise), pytorchcv's network, SGD; nothing said to the allocator. One thing differs: its two
shortcuts that change the shape are projections (option B), ours are padded (option A), which is
0.6 % of resnet20's multiplications. Every ratio is to this loop with the same number of threads.
"plain, memory kept" is the same loop with the allocator told what ours tells it: its ratio is what
the allocator does for anybody, and ours over it is the rest.

Each side is a process of its own, which waits for its turn: they take turns of `--steps` steps, so
that what else the machine does falls on all alike. Medians over turns. The last line is one JSON
object; "ratios" of wall time, "cpu ratios" of CPU time, which a busy machine disturbs less.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace

NETWORKS, THREADS, PRECISIONS = ("resnet20", "preresnet110"), (1, 2), ("float32", "bfloat16")
IMAGES, BATCH = 2560, 128


def images():
    import torch

    source = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, 32, 32, 3), dtype=torch.uint8, generator=source)
    return pixels, torch.randint(0, 10, (IMAGES,), generator=source)


def ours(network: str, threads: int, precision: str, compiled: bool):
    """One step of `residuum.training`, to be called again and again."""
    from residuum.data.images import Dataset, Images
    from residuum.machine import Machine
    from residuum.presets import preset
    from residuum.training import find_recipe
    from residuum.training.distributed import Team
    from residuum.training.loop import Trainer
    from residuum.views.in_place import in_place

    machine = Machine("cpu", threads, precision=precision, compile=compiled)  # type: ignore[arg-type]
    machine.prepare()
    train = Images(*images())
    data = Dataset("random", train, train.first(2), tuple(map(str, range(10))))
    recipe = replace(find_recipe("he-cifar"), learning_rate=0.01)
    trainer = Trainer(preset(network, 10, 0), data, recipe, machine, Team())

    def step() -> None:
        with in_place(trainer.network):  # as `drive` does, round all steps
            trainer.advance()
            trainer.running_loss()

    return step


def plain(network: str, threads: int, keep: bool):
    """One step of a loop as in any tutorial."""
    import torch
    from PIL import Image
    from pytorchcv.model_provider import get_model
    from torch import nn
    from torchvision import transforms

    from residuum.machine import Machine

    torch.set_num_threads(threads)
    if keep:
        Machine("cpu", threads).prepare()
    pixels, labels = images()
    normalise = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    crop, flip = transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()
    transform = transforms.Compose([crop, flip, transforms.ToTensor(), normalise])

    class Data(torch.utils.data.Dataset):
        """As torchvision.datasets.CIFAR10 gives images."""

        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, index: int):
            return transform(Image.fromarray(pixels[index].numpy())), int(labels[index])

    loader = torch.utils.data.DataLoader(Data(), batch_size=BATCH, shuffle=True)
    model, loss = get_model(f"{network}_cifar10"), nn.CrossEntropyLoss()
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    model.train()

    def step() -> None:
        x, y = next(batches)
        sgd.zero_grad()
        value = loss(model(x), y)
        value.backward()
        sgd.step()
        value.item()

    return step


def serve(options: argparse.Namespace) -> None:
    """A side: a line asks for so many steps, a line answers with seconds and CPU seconds."""
    asked = options.networks[0], options.threads[0]
    if options.side == "ours":
        step = ours(*asked, options.precisions[0], options.compiled)
    else:
        step = plain(*asked, keep=options.side == "kept")
    for line in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - start, time.process_time() - cpu, flush=True)


class Side:
    """A process that trains when it is asked to."""

    def __init__(self, side: str, network: str, threads: int, precision="float32", compiled=False):
        words = [
            "--side",
            side,
            "--networks",
            network,
            "--threads",
            threads,
            "--precisions",
            precision,
        ]
        words += ["--compiled"] if compiled else []
        self.process = subprocess.Popen(
            [sys.executable, __file__, *map(str, words)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.turns: list[tuple[float, float]] = []

    def steps(self, count: int) -> tuple[float, float]:
        """Seconds and CPU seconds a step."""
        assert self.process.stdin
        assert self.process.stdout
        print(count, file=self.process.stdin, flush=True)
        seconds, cpu = map(float, self.process.stdout.readline().split())
        return seconds / count, cpu / count

    def close(self) -> None:
        self.process.communicate()


def compare(network: str, threads: int, options: argparse.Namespace) -> dict:
    """All sides of one network and number of threads, in turns."""
    sides = {
        "plain": Side("plain", network, threads),
        "memory kept": Side("kept", network, threads),
    }
    for precision, compiled in itertools.product(options.precisions, options.compile):
        word = precision + (" compiled" if compiled else "")
        sides[word] = Side("ours", network, threads, precision, compiled)
    for side in sides.values():
        side.steps(2)  # the first steps allocate and compile
    for turn in range(options.turns):
        for side in list(sides.values())[:: -1 if turn % 2 else 1]:
            side.turns.append(side.steps(options.steps))
    for side in sides.values():
        side.close()
    found = {}
    base = sides.pop("plain").turns
    for word, side in sides.items():
        name = "plain, memory kept" if word == "memory kept" else word
        wall, cpu = (
            statistics.median(p[i] / q[i] for p, q in zip(base, side.turns, strict=True))
            for i in (0, 1)
        )
        rate = BATCH / statistics.median(seconds for seconds, _ in side.turns)
        found[name] = {"ratio": round(wall, 2), "cpu": round(cpu, 2), "images/s": round(rate)}
    rate = BATCH / statistics.median(seconds for seconds, _ in base)
    return {"plain": {"ratio": 1.0, "cpu": 1.0, "images/s": round(rate)}} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--threads", nargs="+", type=int, default=THREADS)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--steps", type=int, default=4, help="in a turn")
    parser.add_argument("--turns", type=int, default=7, help="of every side")
    parser.add_argument("--no-compile", dest="compile", action="store_const", const=(False,),
                        default=(False, True), help="leave out what is compiled")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="resnet20, few steps, not compiled")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return serve(options)
    if options.quick:
        options.networks, options.compile = ("resnet20",), (False,)
        options.steps, options.turns = 2, 3
    load, rows = os.getloadavg()[0], {}
    for network, threads in itertools.product(options.networks, options.threads):
        for word, row in compare(network, threads, options).items():
            name = f"{network} {word} {threads} thread{'s' if threads > 1 else ''}"
            rows[name] = row
            print(
                f"{name:<48}{row['ratio']:>6.2f}{row['cpu']:>6.2f}{row['images/s']:>7}", flush=True
            )
    report(rows, load)


def report(rows: dict, load: float) -> None:
    import torch

    from residuum.machine import processor

    print(json.dumps({
        "ratios": {name: row["ratio"] for name, row in rows.items()},
        "cpu ratios": {name: row["cpu"] for name, row in rows.items()},
        "images/s": {name: row["images/s"] for name, row in rows.items()},
        **processor(), "cores": os.cpu_count(), "torch": torch.__version__,
        "load before and after": [round(load, 1), round(os.getloadavg()[0], 1)],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
