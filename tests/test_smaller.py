"""examples/smaller.py at its small scale: models of other libraries learn, and become smaller."""

import json
import sys
from pathlib import Path

import onnxruntime
import pytest

from residuum.results import Table

FOLDER = Path(__file__).parents[1] / "examples"
CHANCE = {"resnet": 2.303, "vit": 2.303, "decoder": 5.545}  # nats: of 10 classes, of 256 bytes


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import smaller

    return smaller


@pytest.mark.parametrize("name", CHANCE)
def test_learns_and_becomes_smaller(program, tmp_path, monkeypatch, name):
    monkeypatch.setattr(sys, "argv", ["smaller.py", name, "--small", "--output", str(tmp_path)])
    program.main()
    told = json.loads((tmp_path / f"{name}.json").read_text())
    assert len(told["units"]) == 6
    # it has learnt, on examples that trained nothing
    sizes = told["healed"]["deletion"]["sizes"]
    before, after = sizes["before"], sizes["after"]
    assert before["loss"]["high"] < 0.9 * CHANCE[name]
    # the sets that are compared are thirds, the search's own among them
    searched, cheap, *draws = told["not healed"].values()
    assert searched["removed"] == told["search"][-1]["removed"]
    assert len(draws) == 5
    assert {len(set(each["removed"])) for each in (searched, cheap, *draws)} == {2}
    # gone for good: fewer parameters and operations, the same number of both whoever chose
    assert after["parameters"] == searched["parameters"] < before["parameters"]
    assert after["flops"] < before["flops"]
    assert (before["units"], after["units"]) == (6, 4)
    # healing on training examples helps on test examples too
    assert after["loss"]["value"] < searched["loss"]["value"]
    columns, rows = told["table"]["columns"], told["table"]["rows"]
    assert Table(tuple(columns), tuple(map(tuple, rows)))
    assert list(told["healed"]) == ["nothing", "deletion", "influence", "random 0"]
    assert told["healed"]["nothing"]["sizes"]["after"]["parameters"] == before["parameters"]
    written = tmp_path / f"{name}.onnx"
    assert told["onnx"]["batches"] == [1, 2, 5]
    assert onnxruntime.InferenceSession(written.read_bytes()).get_inputs()
