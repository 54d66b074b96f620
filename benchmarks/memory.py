"""Memory of a training step of very deep networks, with activation checkpointing and without.

    python benchmarks/memory.py                              preresnet1001 and preresnet1202
    python benchmarks/memory.py --networks preresnet164 --batch 32

Each side is a process of its own. Memory is the peak of one that gives freed memory back, over what
it held before its first step (network, gradients, images). Time is that of others, which keep it as
a training does: one step to warm up, then `--steps` measured ones; CPU time, which a busy machine
disturbs least, and wall time beside it, in alternating order. Gradients and running statistics of
the last step must be the same to the bit. The last line is one JSON object.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext

NETWORKS = ("preresnet1001", "preresnet1202")


def serve(options: argparse.Namespace) -> None:
    """One side: its numbers as a line of JSON."""
    import torch
    import torch.nn.functional as F

    from residuum.machine import Machine
    from residuum.presets import preset
    from residuum.views.in_place import in_place
    from residuum.views.recompute import recomputed

    # freed memory goes back where the peak is asked for, which is then what is needed at once
    Machine("cpu", options.threads, release_memory=options.release).prepare()
    network = preset(options.networks[0], 10, 0).to(memory_format=torch.channels_last)
    source = torch.Generator().manual_seed(0)
    images = torch.randn(options.batch, 3, 32, 32, generator=source)
    images = images.to(memory_format=torch.channels_last)
    classes = torch.randint(0, 10, (options.batch,), generator=source)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before, wall, cpu = peak_bytes(), [], []
    with in_place(network), recomputed(network) if options.recompute else nullcontext():
        for _ in range(options.steps + 1):
            start, start_cpu = time.perf_counter(), time.process_time()
            network.zero_grad(set_to_none=False)
            F.cross_entropy(network(images), classes).backward()
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    digest = hashlib.sha256()
    for tensor in [*(p.grad for p in network.parameters()), *network.buffers()]:
        digest.update(tensor.contiguous().numpy().tobytes())
    told = {"bytes": peak_bytes() - before, "wall": wall[1:], "cpu": cpu[1:]}
    print(json.dumps(told | {"digest": digest.hexdigest()}))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def side(network: str, recompute: bool, options: argparse.Namespace, release: bool = False) -> dict:
    words = ["--networks", network, "--batch", options.batch]
    words += ["--steps", 0 if release else options.steps, "--threads", options.threads, "--side"]
    words += ["--recompute"] * recompute + ["--release"] * release
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(network: str, options: argparse.Namespace) -> dict:
    sides: dict[bool, list[dict]] = {False: [], True: []}
    for turn in range(options.turns):
        for recompute in (False, True) if turn % 2 == 0 else (True, False):
            sides[recompute].append(side(network, recompute, options))
    kept, again = sides[False], sides[True]

    def ratio(clock: str) -> float:
        middle = [statistics.median(t for told in s for t in told[clock]) for s in (again, kept)]
        return round(middle[0] / middle[1], 3)

    peaks = [side(network, recompute, options, release=True) for recompute in (False, True)]
    most = [told["bytes"] for told in peaks]
    return {
        "megabytes": round(most[0] / 1e6),
        "megabytes recomputed": round(most[1] / 1e6),
        "memory": round(most[1] / most[0], 3),
        "time, CPU": ratio("cpu"),
        "time, wall": ratio("wall"),
        "same bits": len({told["digest"] for told in kept + again}) == 1
        and len({told["digest"] for told in peaks}) == 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2, help="measured, in each process")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--recompute", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--release", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return serve(options)
    import torch

    from residuum.machine import processor

    rows = {}
    for network in options.networks:
        rows[network] = compare(network, options)
        print(f"{network}: {rows[network]}", flush=True)
    about = {"batch": options.batch, "threads": options.threads, "torch": torch.__version__}
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({"networks": rows, **about, **processor(), "load after": load}))


if __name__ == "__main__":
    main()
