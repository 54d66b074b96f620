"""Write index.json anew: `python -m residuum.presets.write_index`. Changes are reviewed."""

import importlib
import json
from dataclasses import asdict, replace
from typing import Any

import torch

from ..storage import write_text
from .catalogue import CATALOGUE, describe, preset
from .index import PATH, Listed


def rows() -> list[dict[str, Any]]:
    """The index as JSON values, worked out from the catalogue."""
    return [_written(replace(describe(name), structure=_structure(name))) for name in CATALOGUE]


def text(rows: list[dict[str, Any]]) -> str:
    """One line a preset, so that a difference reads well."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def _structure(name: str) -> str:
    try:
        structure = importlib.import_module("..networks.structure", __package__)
    except ModuleNotFoundError:
        return ""
    with torch.device("meta"):
        return structure.digest(preset(name))


def _written(row: Listed) -> dict[str, Any]:
    """Without what a reader knows by default, tuples as lists."""
    values = asdict(row)
    values["published"] = [{k: v for k, v in p.items() if v != ""} for p in values["published"]]
    return {k: v for k, v in values.items() if k != "structure" or v}


if __name__ == "__main__":
    write_text(PATH, text(rows()))
