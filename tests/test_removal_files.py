"""Smaller models in files for others, read again and run before they are kept."""

import pytest
import torch
from conftest import image_batch, lively, reseal
from test_removal import viewed
from torch import nn

import residuum
from residuum import surgery
from residuum.anatomy import Examples
from residuum.errors import CheckpointError, ExportError, NumericError, UsageError
from residuum.surgery import Word, files
from residuum.surgery.checking import difference
from residuum.surgery.removal import on_inputs
from residuum.training import Blueprint
from residuum.views.export import module_of

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Fixed(nn.Module):
    """Takes two examples and no other number."""

    def forward(self, x):
        return x.view(2, -1).sum(1)


class Asking(nn.Module):
    """Its way depends on the values."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x = x + self.layer(x)
        return 2 * x if x.sum() > 0 else x


class Leaving(nn.Module):
    """Counts its calls, in a buffer and in an attribute, and draws numbers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.seen.add_(1)
        x = x + self.layer(x)
        return self.head(x.mean((2, 3))) + 0 * torch.rand(1)


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


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize("wrapped", [nn.DataParallel, compiled])
def test_a_wrapped_model_is_written_as_the_model_itself(tmp_path, wrapped):
    """As `discover` takes it: DataParallel and torch.compile are no part of the model."""
    model, x = lively(residuum.preset("preresnet8", seed=0)), IMAGES
    plain, there = tmp_path / "plain", tmp_path / "wrapped"
    for place, each in ((plain, model), (there, wrapped(model))):
        surgery.write_program(each, place / "a.pt2", x)
        surgery.write_onnx(each, place / "a.onnx", x)
        surgery.save(each, place / "own", Blueprint("preresnet8", 10), [])
    loaded = module_of(torch.export.load(there / "a.pt2"))
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))
    kept = module_of(torch.export.load(plain / "a.pt2"))
    assert list(kept.state_dict()) == list(loaded.state_dict())
    assert surgery.about(there / "own") == surgery.about(plain / "own")
    view, _ = viewed("llama")
    written = surgery.write_folder(wrapped(view.model), tmp_path / "b", **view.units.keywords)
    assert written.difference == 0
    model.register_forward_hook(lambda module, given, output: 2 * output)
    with pytest.raises(UsageError, match="a hook is active"):
        surgery.write_program(wrapped(model), tmp_path / "c.pt2", x)


@pytest.mark.parametrize("wrapped", [nn.DataParallel, compiled])
def test_of_what_cannot_be_followed_removal_speaks_where_it_was_asked_for(tmp_path, wrapped):
    said = "but not removed"
    with pytest.raises(ExportError, match="cannot follow Asking") as caught:
        surgery.write_program(wrapped(Asking()), tmp_path / "a.pt2", IMAGES)
    assert said not in str(caught.value)
    view = residuum.unravel(wrapped(Asking()), IMAGES)
    with pytest.raises(UsageError, match=rf"cannot follow Asking .*{said}"):
        surgery.removed(view, [0])


def test_nothing_is_left_behind_in_a_model_that_writes_and_draws(tmp_path):
    """Buffers, attributes and random states are as they were, whatever ran the model."""
    model = Leaving().eval()
    view = residuum.unravel(model, IMAGES)
    examples = Examples(IMAGES, torch.tensor([0, 1]))

    def state():
        return model.calls, int(model.seen), torch.get_rng_state().tolist()

    before = state()
    small = surgery.removed(view, [0])
    assert state() == before
    surgery.compare_sizes(model, small, (1, 0), examples, IMAGES, rounds=2)
    assert state() == before
    surgery.write_program(model, tmp_path / "a.pt2", IMAGES)
    surgery.write_onnx(model, tmp_path / "a.onnx", IMAGES)
    surgery.save_model(small, tmp_path / "b", view, [0], Word("tests:Leaving"), Leaving)
    assert state() == before
    surgery.heal(small, model, examples)
    assert state() == before


def test_without_a_unit_to_remove_a_model_is_copied():
    view, _ = viewed("bert")
    small = surgery.removed(view, [])
    assert type(small) is type(view.model)
    shared = {id(p) for p in small.parameters()} & {id(p) for p in view.model.parameters()}
    assert not shared
    assert all(map(torch.equal, on_inputs(view, small), on_inputs(view, view.model)))


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
