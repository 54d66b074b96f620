"""How long it takes to find the residual units of a model, over one forward pass of it.

    python benchmarks/discovery.py [--only resnet50 gpt2]

Each model of the table in `tests/foreign.py` with random weights, on a batch of two; discovery runs
on fake tensors, the forward pass on real ones, both the median of three behind one that is not
counted, in seconds of the processor (so that other work on the machine does not count), on one
thread. Prints one JSON object a line: units, seconds, their ratio.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from foreign import CASES, Case

import residuum


def median(action, repeats: int = 3) -> float:
    """Of several runs; the first, which fills caches, is left out."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.process_time()
        action()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:])


@torch.no_grad()
def measured(case: Case) -> dict[str, float | int | bool]:
    torch.manual_seed(0)
    model = case.build().eval()
    units = residuum.discover(model, *case.inputs, **case.keywords)
    finding = median(lambda: residuum.discover(model, *case.inputs, **case.keywords))
    forward = median(lambda: model(*case.inputs, **case.keywords))
    return {
        "units": len(units),
        "counted by hand": case.units,
        "fake": units.fake,
        "discovery_s": round(finding, 3),
        "forward_s": round(forward, 3),
        "ratio": round(finding / forward, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=sorted(CASES), default=list(CASES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only:
        print(json.dumps({"model": name, **measured(CASES[name])}), flush=True)


if __name__ == "__main__":
    main()
