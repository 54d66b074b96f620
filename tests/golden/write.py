"""Write presets.json: parameters, FLOPs, depth and units of every preset, first losses of the small
ones."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from residuum.presets import CATALOGUE, preset, preset_cost

SMALL = (
    "resnet20", "preresnet20", "plain20", "preplain20", "preresnet56", "vgg15", "resnet18",
    "resnet110-exclusive-gate-b6", "ror3-110", "wrn16-4", "rir18",
    "densenet40-12", "fitnet1",
)  # fmt: skip


def first_loss(name: str) -> float:
    """Of the network of seed 0, in training mode and double precision, on 4 fixed images."""
    torch.set_num_threads(1)
    network = preset(name, 10, seed=0).double()
    x = torch.randn(4, 3, 32, 32, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.cross_entropy(network(x), torch.arange(4)).item()


if __name__ == "__main__":
    golden = {}
    for name in CATALOGUE:
        golden[name] = asdict(preset_cost(name))
        if name in SMALL:
            golden[name]["first_loss"] = first_loss(name)
    Path(__file__).with_name("presets.json").write_text(json.dumps(golden, indent=1) + "\n")
