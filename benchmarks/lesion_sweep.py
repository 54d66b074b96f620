"""Delete each unit of a network: the fast sweep against the naive loop, in the same run, with equal
predictions.

    python benchmarks/lesion_sweep.py --preset preresnet110 --images 256

Naive: eager PyTorch, one full forward pass of the unmodified network for each deletion; the whole
set as one batch, and for a harder comparison in batches of 64, which cost less memory traffic.
Prints one JSON object: seconds, their ratio, branch evaluations, the share of the machine's peak
that each reaches (`peak.py`, same threads), and whether predictions agree.

    python benchmarks/lesion_sweep.py --until-decided [--run FOLDER --data DATA] --images 10000

The sweep that stops early against the full one, on a trained network: seconds, their ratio, the
examples that each unit took, and whether every decision (worse than 2 points, 5 % over all units)
is the full sweep's. Without a run: preresnet20, trained here on the digits for ten epochs; on noisy
copies of all digits, since there are only 1,797.
"""

import argparse
import json
import statistics
import tempfile
import time

import torch
from peak import peak

import residuum
from residuum.anatomy import Examples, delete_each, delete_each_early, intact, sweep, without
from residuum.anatomy.betting import MARGIN
from residuum.anatomy.sweeps import cost, naive
from residuum.presets import preset, preset_cost
from residuum.subjects.trained import open_trained
from residuum.training import Run


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """Statistics as after training, so that normalisation is not the identity."""
    source = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=source)
            module.running_var.uniform_(0.5, 1.5, generator=source)
    return network.eval()


def timed(function):
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def trained(options: argparse.Namespace) -> tuple[str, torch.nn.Module, Examples]:
    """A run's network and as many of its test images as were asked for; or one made here."""
    load = residuum.data.load
    if options.run:
        subject = open_trained(Run.open(options.run), load(options.data or "digits"))
        return subject.name, subject.network, Examples(*subject.test(options.images))
    with tempfile.TemporaryDirectory() as folder:
        run = residuum.train("preresnet20", output=folder, epochs=10, threads=options.threads)
        subject = open_trained(Run.open(run.folder), load("digits"))
    images, labels = (
        torch.cat(parts) for parts in zip(subject.train(), subject.test(), strict=True)
    )
    source = torch.Generator().manual_seed(0)
    at = torch.randint(len(labels), (options.images,), generator=source)
    noise = torch.randn(options.images, *images.shape[1:], generator=source)
    return subject.name, subject.network, Examples(images[at] + 0.5 * noise, labels[at])


def until_decided(options: argparse.Namespace) -> None:
    name, network, examples = trained(options)
    delete_each(network, Examples(examples.inputs[:64], examples.targets[:64]))
    slow, fast, used, differ, full, early = [], [], [], [], [], []
    for seed in range(options.repeats):
        (_, full), seconds = timed(lambda: delete_each(network, examples))
        slow.append(seconds)
        (_, early), seconds = timed(lambda s=seed: delete_each_early(network, examples, seed=s))
        fast.append(seconds)
        pairs = list(zip(full, early, strict=True))
        used.append([b.change.n for _, b in pairs])
        differ.append(sum((a.change.value > MARGIN) != (b.decision == "worse") for a, b in pairs))
    decided = {d.deleted[0]: (d.change.n, d.decision) for d in early}
    result = {
        "preset": name, "units": len(full), "images": len(examples), "threads": options.threads,
        "seconds": {"full": statistics.median(slow), "early": statistics.median(fast)},
        "ratio": round(statistics.median(slow) / statistics.median(fast), 2),
        "pairs": [round(a / b, 2) for a, b in zip(slow, fast, strict=True)],
        "share of examples": [round(sum(n) / len(n) / len(examples), 3) for n in used],
        "changes in points": [round(100 * d.change.value, 2) for d in full],
        "examples and decisions, last order": decided,
        "decisions that differ": differ, "torch": torch.__version__,
    }  # fmt: skip
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="preresnet110")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--repeats", type=int, default=3, help="alternating pairs of runs; medians are reported"
    )
    parser.add_argument("--until-decided", action="store_true", help="against the full sweep")
    parser.add_argument("--run", help="a finished run, with --until-decided")
    parser.add_argument("--data", help="its data, as for `residuum train`")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.until_decided:
        return until_decided(options)
    network = lively(preset(options.preset, 10, seed=0))
    images = torch.randn(options.images, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    n = len(network.units)
    variants = [intact(network), *(without(network, [i]) for i in range(n))]
    sweep(network, images[:32], variants)
    whole, slow, fast = [], [], []
    for _ in range(options.repeats):
        expected, seconds = timed(lambda: naive(network, images, variants, options.images))
        whole.append(seconds)
        slow.append(timed(lambda: naive(network, images, variants, 64))[1])
        found, seconds = timed(lambda: sweep(network, images, variants))
        fast.append(seconds)
    difference = ((found - expected).norm() / expected.norm()).item()
    agree = bool(torch.equal(found.argmax(2), expected.argmax(2)))
    flops = preset_cost(options.preset, 10).flops / n * options.images
    shared, alone = cost(variants)
    top, whole_s, slow_s, fast_s = peak(), *(statistics.median(t) for t in (whole, slow, fast))
    result = {
        "preset": options.preset, "units": n, "images": options.images, "threads": options.threads,
        "seconds": {"naive": round(whole_s, 2), "naive in 64s": round(slow_s, 2),
        "sweep": round(fast_s, 2)},
        "ratio": round(whole_s / fast_s, 2), "ratio to naive in 64s": round(slow_s / fast_s, 2),
        "pairs": [round(a / b, 2) for a, b in zip(whole, fast, strict=True)],
        "branch evaluations": {"naive": alone, "sweep": shared, "ratio": round(alone / shared, 2)},
        "peak GFLOP/s": round(top / 1e9, 1),
        "share of peak": {
            "naive": round(alone * flops / whole_s / top, 3),
            "sweep": round(shared * flops / fast_s / top, 3),
        },
        "same predictions": agree, "relative difference of logits": difference,
        "torch": torch.__version__,
    }  # fmt: skip
    print(json.dumps(result))
    if not agree or difference > 1e-5:
        raise SystemExit("the fast sweep differs from the naive one")


if __name__ == "__main__":
    main()
