"""Smaller models in files for others, read again and run before they are kept."""

import pytest
import torch
from conftest import image_batch, lively, reseal
from test_removal import viewed
from torch import nn

import residuum
from residuum import surgery
from residuum.errors import CheckpointError, ExportError, NumericError, UsageError
from residuum.surgery import files
from residuum.surgery.checking import difference
from residuum.training import Blueprint
from residuum.views.export import module_of

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Fixed(nn.Module):
    """Takes two examples and no other number."""

    def forward(self, x):
        return x.view(2, -1).sum(1)


class Gives(nn.Module):
    """Its inputs times a number, or nothing."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return None if self.number is None else x * self.number


def test_our_own_network_is_built_again(tmp_path):
    network = lively(residuum.preset("preresnet20", seed=3))
    small = surgery.removed(network, [1, 3])
    kept = surgery.save(small, tmp_path / "a", Blueprint("preresnet20", 10), [3, 1])
    assert kept.removed == (1, 3)
    again = surgery.load(tmp_path / "a")
    x = image_batch(3)
    with torch.no_grad():  # of the same memory format
        assert torch.equal(again(x), small.to(memory_format=torch.channels_last)(x))
    with pytest.raises(UsageError, match="is not empty"):
        surgery.save(small, tmp_path / "a", Blueprint("preresnet20", 10), [1, 3])
    with pytest.raises(UsageError, match=r"preresnet20 without units \[1, 2\] is another network"):
        surgery.save(small, tmp_path / "b", Blueprint("preresnet20", 10), [1, 2])
    reseal(tmp_path / "a" / "removed.json", removed=[1, 2, 3])
    with pytest.raises(CheckpointError, match="another network in this version"):
        surgery.load(tmp_path / "a")


def test_a_network_may_be_kept_without_any_unit(tmp_path):
    network = lively(residuum.preset("preresnet8", seed=3))
    small = surgery.removed(network, range(3))
    surgery.save(small, tmp_path / "a", Blueprint("preresnet8", 10), range(3))
    small.to(memory_format=torch.channels_last)  # as it is read
    with torch.no_grad():
        assert torch.equal(surgery.load(tmp_path / "a")(image_batch(2)), small(image_batch(2)))


def test_a_program_and_an_onnx_file(tmp_path):
    small = surgery.removed(lively(residuum.preset("resnet20", seed=0)), [3, 5])
    written = surgery.write_program(small, tmp_path / "a.pt2", IMAGES[:1])
    assert written.difference == 0
    loaded = module_of(torch.export.load(tmp_path / "a.pt2"))
    with torch.no_grad():
        assert torch.equal(loaded(image_batch(7, 32)), small(image_batch(7, 32)))
    written = surgery.write_onnx(small, tmp_path / "a.onnx", IMAGES)
    assert written.difference < 1e-5
    assert written.batches == (1, 2, 5)
    import onnx

    held = onnx.load(tmp_path / "a.onnx").graph.initializer
    assert sum(t.name.endswith("weight") for t in held) <= sum(1 for _ in small.parameters())


def test_a_graph_of_text(tmp_path):
    view, _ = viewed("bert")
    small = surgery.removed(view, [1, 2])
    keywords = view.units.keywords
    assert surgery.write_onnx(small, tmp_path / "a.onnx", **keywords).difference < 1e-5
    assert surgery.write_program(small, tmp_path / "a.pt2", **keywords).difference == 0


def test_a_folder_that_transformers_loads(tmp_path):
    view, _ = viewed("llama")
    small = surgery.removed(view, [0, 1])
    written = surgery.write_folder(small, tmp_path / "a", **view.units.keywords)
    assert written.difference == 0
    again = type(view.model).from_pretrained(tmp_path / "a")
    assert again.config.num_hidden_layers == 1
    assert [layer.self_attn.layer_idx for layer in small.model.layers] == [0]
    with pytest.raises(UsageError, match="is not empty"):
        surgery.write_folder(small, tmp_path / "a", **view.units.keywords)
    with pytest.raises(UsageError, match="no model of transformers"):
        surgery.write_folder(Fixed(), tmp_path / "b", IMAGES)


def test_what_is_wrong_is_not_written(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"say NAME\.onnx"):
        surgery.write_onnx(Fixed(), tmp_path / "a.pt2", IMAGES)
    with pytest.raises(ExportError, match="does not run on 1 examples at once"):
        surgery.write_program(Fixed(), tmp_path / "a.pt2", IMAGES)
    with pytest.raises(UsageError, match="gives no tensor"):
        surgery.write_onnx(Gives(None), tmp_path / "a.onnx", IMAGES)
    with pytest.raises(NumericError, match=r"output 0 is nowhere finite|a constant is not finite"):
        surgery.write_program(Gives(torch.nan), tmp_path / "a.pt2", IMAGES)
    right = files.exported
    monkeypatch.setattr(files, "exported", lambda model, *given: right(Off(model), *given))
    with pytest.raises(ExportError, match=r"differ from the model's: output 0 by 0\.001 "):
        surgery.write_onnx(nn.Flatten(), tmp_path / "a.onnx", IMAGES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx.rejected"]


def test_what_is_not_finite_must_be_the_same():
    inf, nan = torch.inf, torch.nan
    ours = torch.tensor([1.0, -inf, 2.0])
    assert difference(ours, torch.tensor([1.0, -inf, 1.0])) == 0.5
    assert difference(ours, torch.tensor([1.0, inf, 2.0])) == inf
    assert difference(ours, torch.tensor([nan, -inf, 2.0])) == inf
    assert difference(torch.tensor([1, 2]), torch.tensor([1, 3])) == inf


class Off(nn.Module):
    """Not quite the model."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x) * 1.001
