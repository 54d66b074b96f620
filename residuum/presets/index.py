"""What is known of every listed preset, read from a generated file: quick, since without torch.

`python -m residuum.presets.write_index` writes index.json anew; a test keeps it true.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from .published import Published

PATH = Path(__file__).with_name("index.json")


@dataclass(frozen=True)
class Listed:
    """One preset in plain data.

    `flops`: 2 x MACs of one image of `size` pixels.
    `units`: the innermost ones.
    `expression`: what path counts follow from, as `views.notation` writes it.
    `recipe`: the name of the recipe that belongs to it; empty where none is here.
    `structure`: the digest of what is built; empty where it was not worked out.
    """

    name: str
    family: str
    depth: int
    parameters: int
    flops: int
    units: int
    size: int
    classes: int
    expression: Any
    initialisation: str
    recipe: str
    source: str
    published: tuple[Published, ...]
    note: str
    structure: str = ""


@cache
def listed() -> dict[str, Listed]:
    """Every listed preset by name, in the catalogue's order."""
    rows = msgspec.json.decode(PATH.read_bytes(), type=list[Listed])
    return {row.name: row for row in rows}
