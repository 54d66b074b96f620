"""Where the gradient comes from: path counts, and the gradient that really arrives through paths of
every length."""

import torch

import residuum
from residuum.anatomy import count_paths, gradient_by_length

torch.set_num_threads(1)
network = residuum.preset("preresnet20", classes=10, seed=0)
paths = count_paths(network)
print(f"{paths.units} units, {paths.total} paths, mean length {float(paths.mean)}")

images, labels = (
    torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
    torch.arange(8),
)
gradient = gradient_by_length(
    network, images, labels
)  # (n+1, N, 3, H, W); its sum is the ordinary gradient
for length, norm in enumerate(gradient.flatten(2).norm(dim=2).mean(1)):
    print(f"length {length}: {paths.counts[length]:4d} paths, |gradient| {norm:.4f}")
