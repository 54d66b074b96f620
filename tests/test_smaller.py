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


@pytest.mark.slow
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
    # healing trained what is left, and it still knows what the intact model has learnt
    assert after["loss"]["value"] != searched["loss"]["value"]
    assert after["loss"]["value"] < 0.9 * CHANCE[name]
    columns, rows = told["table"]["columns"], told["table"]["rows"]
    assert Table(tuple(columns), tuple(map(tuple, rows)))
    assert list(told["healed"]) == ["nothing", "deletion"]
    assert told["healed"]["nothing"]["sizes"]["after"]["parameters"] == before["parameters"]
    written = tmp_path / f"{name}.onnx"
    assert told["onnx"]["batches"] == [1, 2, 5]
    assert onnxruntime.InferenceSession(written.read_bytes()).get_inputs()


def test_a_decoder_that_was_stopped_goes_on_as_if_it_had_not_been(program, tmp_path, monkeypatch):
    import smaller_models
    import torch

    def trained(folder):
        torch.manual_seed(0)
        model = smaller_models.decoder(True)
        settings = smaller_models.Reading(30, batch=2)
        return smaller_models.read(model, smaller_models.text(), folder, settings)

    class Killed(Exception):
        pass

    def kill(line):
        raise Killed(line)

    with monkeypatch.context() as broken:
        broken.setattr(smaller_models, "say_plain", kill)
        with pytest.raises(Killed, match="step 25 of 30"):
            trained(tmp_path / "stopped")
    assert trained(tmp_path / "stopped") == trained(tmp_path / "whole")
