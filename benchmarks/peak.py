"""The machine's peak, that benchmarks compare with: measured here, with the threads of this run."""

import time

import torch
import torch.nn.functional as F


def peak(repeats: int = 5) -> float:
    """FLOP/s in float32: the best of a large matrix product and of large convolutions.

    Both, for they may go through different libraries, of which one may not know this CPU: a sweep
    has reached 194 % of the matrix product's rate.
    """
    size, source = 2048, torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=source) for _ in range(2))
    rates = [2 * size**3 / _least(lambda: a @ b, repeats)]
    for channels, side in ((64, 56), (128, 28), (256, 14)):
        x = torch.randn(16, channels, side, side, generator=source)
        x = x.contiguous(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3, generator=source)
        weight = weight.contiguous(memory_format=torch.channels_last)
        flops = 2 * 9 * channels**2 * 16 * side**2  # pixels at the border are counted whole
        rates.append(flops / _least(lambda x=x, w=weight: F.conv2d(x, w, padding=1), repeats))
    return max(rates)


@torch.no_grad()
def _least(function, repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
