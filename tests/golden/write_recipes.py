"""Write recipes.json: what run folders are named by, beside the network's structure.

A changed line orphans every run of that recipe. Write it anew only where a recipe was corrected or
is new.
"""

import hashlib
import json
from pathlib import Path

from residuum.training import RECIPES

FILE = Path(__file__).with_name("recipes.json")


def recipes() -> dict[str, str]:
    """Of what changes the numbers."""
    words = {name: json.dumps(r.meaning(), sort_keys=True) for name, r in RECIPES.items()}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in words.items()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(recipes(), indent=1) + "\n")
