"""Write structures.json: what run folders are named by.

A changed line orphans every run of that network or recipe. Write it anew only where a
formula was mended, or a preset is new.
"""

import hashlib
import json
from pathlib import Path

import torch

from residuum.networks.structure import digest
from residuum.presets import preset
from residuum.training import RECIPES

NAMES = ("resnet20", "resnet110", "resnet164", "preresnet20", "preresnet56", "preresnet110")
NAMES += ("plain20", "preplain56", "vgg15", "resnet18", "resnet50", "preresnet200", "resnet110-relu_preact")
FILE = Path(__file__).with_name("structures.json")


def structures() -> dict[str, str]:
    with torch.device("meta"):
        return {name: digest(preset(name)) for name in NAMES}


def recipes() -> dict[str, str]:
    """Of what changes the numbers."""
    words = {name: json.dumps(r.meaning(), sort_keys=True) for name, r in RECIPES.items()}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in words.items()}


if __name__ == "__main__":
    golden = {"structures": structures(), "recipes": recipes()}
    FILE.write_text(json.dumps(golden, indent=1) + "\n")
