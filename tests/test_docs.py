"""The code in docs/networks.md runs, and builds the network of the preset that it names."""

import re
from pathlib import Path

import pytest
import torch

from residuum.networks.fingerprint import describe
from residuum.presets import preset

PAGE = (Path(__file__).parents[1] / "docs" / "networks.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
LINES = 15


def named(block: str) -> str:
    """The preset in the block's last comment."""
    return re.findall(r"# (\S+)$", block, re.MULTILINE)[-1]


def test_there_are_blocks():
    assert len(BLOCKS) == PAGE.count("```python") >= 30


@pytest.mark.parametrize("block", BLOCKS, ids=map(named, BLOCKS))
def test_a_block_builds_the_preset_that_it_names(block):
    assert len(block.splitlines()) <= LINES
    found = {}
    with torch.device("meta"):
        exec(block, found)  # noqa: S102 - a page of ours
        expected = preset(named(block))
    # part for part; the first line says how weights start, which is not what is shown
    assert describe(found["network"])[1:] == describe(expected)[1:]
