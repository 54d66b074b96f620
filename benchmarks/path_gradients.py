"""Gradient by path length three ways: exact polynomial, signed sweep, and single paths sampled as
Veit et al. did.

    python benchmarks/path_gradients.py --preset preresnet56 --examples 4 --samples 1000

All on the same examples, in the same run. Time of each; the law that the polynomial sums to the
ordinary gradient; the standard error that each estimate of a path's root mean square norm reaches,
and how far the two estimates lie apart. Prints one JSON object.
"""

import argparse
import json

import torch
import torch.nn.functional as F
from lesion_sweep import lively, timed

from residuum.anatomy import count_paths, gradient_by_length, sampled_paths, signed_sweep
from residuum.presets import preset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="preresnet56")
    parser.add_argument("--examples", type=int, default=4)
    parser.add_argument("--samples", type=int, default=1000, help="single paths of every length")
    parser.add_argument("--draws", type=int, default=32, help="signed draws an example")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = lively(preset(options.preset, 10, seed=0))
    n = len(network.units)
    source = torch.Generator().manual_seed(0)
    images, labels = (
        torch.randn(options.examples, 3, 32, 32, generator=source),
        torch.arange(options.examples) % 10,
    )

    exact, exact_seconds = timed(lambda: gradient_by_length(network, images, labels))
    x = images.clone().requires_grad_()
    F.cross_entropy(network(x), labels, reduction="sum").backward()
    law = ((exact.sum(0) - x.grad).norm() / x.grad.norm()).item()

    squares, signed_seconds = timed(lambda: signed_sweep(network, images, labels, options.draws))
    counts = torch.tensor([float(c) for c in count_paths(network).counts], dtype=torch.float64)
    per_draw = squares.mean(2) / counts
    signed, signed_error = per_draw.mean(0), per_draw.std(0) / options.draws**0.5

    norms, sampled_seconds = timed(
        lambda: sampled_paths(network, images, labels, range(n + 1), options.samples)
    )
    per_path = norms.double().square().mean(2)
    sampled, sampled_error = per_path.mean(1), per_path.std(1) / options.samples**0.5

    inner = slice(1, n)  # lengths 0 and n have a single path: nothing to estimate
    apart = (signed - sampled).abs()[inner] / (signed_error**2 + sampled_error**2).sqrt()[inner]
    result = {
        "preset": options.preset, "units": n, "examples": options.examples,
        "threads": options.threads,
        "exact": {"seconds": round(exact_seconds, 2), "law: |sum G_k - g| / |g|": law},
        "signed": {
            "seconds": round(signed_seconds, 2), "draws": options.draws,
            "median relative standard error of r_k^2":
                round((signed_error / signed)[inner].median().item(), 4),
        },
        "sampled": {
            "seconds": round(sampled_seconds, 2), "paths of every length": options.samples,
            "median relative standard error of r_k^2":
                round((sampled_error / sampled)[inner].median().item(), 4),
        },
        "time of sampling over one exact polynomial": round(sampled_seconds / exact_seconds, 1),
        "time of sampling over the signed sweep": round(sampled_seconds / signed_seconds, 1),
        "distance of the two estimates in standard errors": {
            "median": round(apart.median().item(), 2), "largest": round(apart.max().item(), 2),
        },
        "torch": torch.__version__,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
