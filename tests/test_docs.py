"""The code in docs/networks.md runs, and builds what it says that it builds."""

import re
from pathlib import Path

import pytest
import torch

from residuum.presets.index import listed

PAGE = (Path(__file__).parents[1] / "docs" / "networks.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
LINES = 15


def named(block: str) -> str:
    """The preset in the block's last comment."""
    return re.findall(r"# (\S+)$", block, re.MULTILINE)[-1]


def test_there_are_blocks():
    assert len(BLOCKS) == PAGE.count("```python") >= 10


@pytest.mark.parametrize("block", BLOCKS, ids=map(named, BLOCKS))
def test_a_block_builds_the_preset_that_it_names(block):
    assert len(block.splitlines()) <= LINES
    found = {}
    with torch.device("meta"):
        exec(block, found)  # noqa: S102 - a page of ours
    count = sum(p.numel() for p in found["network"].parameters())
    assert count == listed()[named(block)].parameters
