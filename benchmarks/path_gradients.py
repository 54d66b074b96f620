"""Gradient by path length: the exact polynomial, splitting, and single paths drawn with equal
chances as Veit et al. did.

    python benchmarks/path_gradients.py --preset preresnet56 --image-size 8
    python benchmarks/path_gradients.py --run runs/demo/runs/preresnet56-... (trained on digits)

All on the same examples, in the same run. Without a run the branches of an untrained network are
scaled by log-normal factors, which makes norms of paths as heavy-tailed as training does. Tells the
time of each (of the processor, so that other work counts little); the law that the polynomial sums
to the ordinary gradient; the relative standard deviation of the sum of path norms by splitting, and
its gain: the variance of drawing with equal chances, at as many branch products in all, over the
variance of splitting. Prints one JSON object.
"""

import argparse
import json
import time
from math import comb

import torch
import torch.nn.functional as F
from lesion_sweep import lively

from residuum.anatomy import gradient_by_length, path_gradients, sampled_paths
from residuum.presets import preset


def heavy_tailed(network: torch.nn.Module) -> torch.nn.Module:
    """With branches whose gains differ: log-normal, sigma 1.2 on logarithms."""
    source = torch.Generator().manual_seed(2)
    for unit in network.units:
        last = [m for m in unit.branch.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        last.weight.data *= 0.25 * torch.exp(1.2 * torch.randn(1, generator=source))
    return network


def trained(folder: str, examples: int):
    from residuum.data.sources import digits
    from residuum.subjects.trained import open_trained
    from residuum.training import Run

    subject = open_trained(Run.open(folder), digits())
    return subject.network, *subject.train(examples)


def timed(function):
    start = time.process_time()
    value = function()
    return value, time.process_time() - start


def percent(values: torch.Tensor, lengths: list[int]) -> dict[int, float]:
    """Root mean square over examples, in percent."""
    rms = values.square().mean(1).sqrt()
    return {k: round(100 * rms[k].item(), 1) for k in lengths}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="preresnet56")
    parser.add_argument("--run", help="a run trained on digits, instead of an untrained network")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--examples", type=int, default=4)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--replicates", type=int, default=16)
    parser.add_argument("--samples", type=int, default=200, help="single paths of every length")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.run:
        network, images, labels = trained(options.run, options.examples)
    else:
        network = heavy_tailed(lively(preset(options.preset, 10, seed=0)))
        source, size = torch.Generator().manual_seed(0), options.image_size
        images = torch.randn(options.examples, 3, size, size, generator=source)
        labels = torch.arange(options.examples) % 10
    n = len(network.units)

    exact, exact_seconds = timed(lambda: gradient_by_length(network, images, labels))
    x = images.clone().requires_grad_()
    F.cross_entropy(network(x), labels, reduction="sum").backward()
    law = ((exact.sum(0) - x.grad).norm() / x.grad.norm()).item()

    particles, replicates = options.particles, options.replicates
    found, split_seconds = timed(
        lambda: path_gradients(network, images, labels, particles, replicates)
    )
    norms = torch.tensor(found.norms, dtype=torch.float64)  # (R, N, lengths)
    split = (norms.std(0) / norms.mean(0)).T
    work = sum(min(particles, comb(i, k)) for i in range(n) for k in range(i + 1))
    paths, drawn_seconds = timed(
        lambda: sampled_paths(network, images, labels, range(n + 1), options.samples)
    )
    one = paths.std(1) / paths.mean(1)  # the coefficient of variation of one path
    each = work / (n * (n + 1) / 2)  # paths of every length for as many branch products
    some = [k for k in (5, 10, 14, 20) if k < n]
    gain = (one.square().mean(1) / each / split.square().mean(1))[1:n]
    total = paths.mean(1) * torch.tensor([float(comb(n, k)) for k in range(n + 1)])[:, None]
    apart = (total / norms.mean(0).T - 1)[1:n].abs().mean()
    result = {
        "network": "trained on digits" if options.run else f"{options.preset}, heavy-tailed",
        "units": n, "pixels": images.shape[-1], "examples": len(images),
        "threads": options.threads,
        "exact": {"seconds": round(exact_seconds, 2), "law: |sum G_k - g| / |g|": law},
        "splitting": {
            "particles": particles, "branch products an example": work,
            "seconds an example": round((split_seconds - exact_seconds) / replicates
                                        / len(images), 3),
            "relative SD of one replicate by length (%)": percent(split, some),
        },
        "equal chances": {
            "coefficient of variation of one path by length (%)": percent(one, some),
            "seconds of all samples": round(drawn_seconds, 1), "samples": options.samples,
            "paths of each length for as many branch products": round(each, 1),
        },
        "mean difference of the two estimates (%)": round(100 * apart.item(), 1),
        "gain of splitting": {
            "by length": {k: round(gain[k - 1].item(), 1) for k in some},
            "median": round(gain.median().item(), 1),
        },
        "torch": torch.__version__,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
