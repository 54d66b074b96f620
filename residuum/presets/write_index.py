"""Write index.json anew: `python -m residuum.presets.write_index`. Changes are reviewed."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from ..networks.fingerprint import digest
from ..storage import write_text
from ..units import ResidualNetwork
from .catalogue import CATALOGUE, describe, preset
from .index import PATH


def on_meta(name: str) -> ResidualNetwork:
    """The network without weights in memory."""
    with torch.device("meta"):
        return preset(name)


def rows(build: Callable[[str], ResidualNetwork] = on_meta) -> list[dict[str, Any]]:
    """The index as JSON values, worked out from the catalogue."""
    return [_written(name, build(name)) for name in CATALOGUE]


def text(rows: list[dict[str, Any]]) -> str:
    """One line a preset, so that a difference reads well."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def _written(name: str, network: ResidualNetwork) -> dict[str, Any]:
    """Without what a reader knows by default."""
    values = asdict(replace(describe(name), structure=digest(network)))
    values["published"] = [{k: v for k, v in p.items() if v != ""} for p in values["published"]]
    return values


if __name__ == "__main__":
    write_text(PATH.parent, PATH.name, text(rows()))
