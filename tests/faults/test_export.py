"""Rows E: models written for others."""

import errno
import json
import os
import re
import sys
from itertools import count
from types import ModuleType

import pytest
import safetensors.torch
import torch
from conftest import fingerprint, image_batch, lively, reseal, same_fingerprint
from foreign import CASES, ready
from test_cli import call
from torch import nn

import residuum
from residuum import progress, surgery
from residuum.errors import CheckpointError, ExportError, ResourceError, UsageError
from residuum.storage import read_tensors, write_tensors
from residuum.surgery import conditions, files
from residuum.surgery.stored import Word
from residuum.training import Blueprint
from residuum.views.export import module_of
from residuum.views.view import DELETE

from .forked import started

pytestmark = pytest.mark.filterwarnings("ignore")
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Two(nn.Module):
    """Two convolutions round a shortcut, small enough to be exported in a moment."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))

    def forward(self, x):
        return x + self.second(self.first(x).relu())


class Twirling(nn.Module):
    def forward(self, x):
        return torch.ops.residuum_tests.twirl(x)


class Asking(nn.Module):
    """Its way depends on the values."""

    def forward(self, x):
        return 2 * x if x.sum() > 0 else x


class Wishing(nn.Module):
    """Takes two examples and no other number."""

    def forward(self, x):
        return x.view(2, 192).sum(1)


@pytest.fixture(scope="module")
def twirl():
    """An operation that only these tests have."""
    library = torch.library.Library("residuum_tests", "DEF")
    library.define("twirl(Tensor x) -> Tensor")
    library.impl("twirl", lambda x: x.flip(-1).clone(), "CompositeExplicitAutograd")
    yield
    library._destroy()


def left(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.row("E1")
def test_what_cannot_be_exported_is_named_and_leaves_nothing(tmp_path, twirl):
    for write, name in ((surgery.write_onnx, "a.onnx"), (surgery.write_program, "a.pt2")):
        with pytest.raises(ExportError, match=r"residuum_tests[.:]+twirl"):
            write(Twirling(), tmp_path / name, X)
        with pytest.raises(ExportError, match="does not run on 1 examples at once"):
            write(Wishing(), tmp_path / name, X)
        with pytest.raises(ExportError, match=r"cannot follow Asking .*data-dependent"):
            write(Asking(), tmp_path / name, X)
    assert left(tmp_path) == []


def told(capsys, word: str, as_: str, file) -> str:
    """What the command says of an export that does not come about, with code 9 and one line."""
    code, out, err = call(capsys, "export", word, "--as", as_, "--output", file, "--quiet")
    assert (code, out, err.count("\n"), "Traceback" in err) == (9, "", 1, False), err
    return err


@pytest.fixture
def words(monkeypatch):
    """`models_here:two` and others as words of the command line."""
    module = ModuleType("models_here")
    module.twirling, module.two = Twirling, Two
    monkeypatch.setitem(sys.modules, "models_here", module)


@pytest.mark.row("E1")
def test_the_command_names_the_operation_and_leaves_nothing(tmp_path, twirl, words, capsys):
    for as_ in ("onnx", "pt2"):
        said = told(capsys, "models_here:twirling", as_, tmp_path / "deep" / f"a.{as_}")
        assert re.search(r"residuum_tests[.:]+twirl", said)
    assert left(tmp_path) == []


@pytest.mark.row("E2")
def test_a_layer_that_answers_otherwise_is_named_and_the_file_rejected(
    tmp_path, monkeypatch, words, capsys
):
    import onnx

    right = files._onnx

    def perturbed(*arguments):
        proto = right(*arguments)
        (weight,) = [t for t in proto.graph.initializer if t.name.endswith("second.weight")]
        values = onnx.numpy_helper.to_array(weight).copy()
        values[0] *= 1.01
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return proto

    monkeypatch.setattr(files, "_onnx", perturbed)
    (tmp_path / "a.onnx.rejected").write_text("an earlier one")
    with pytest.raises(ExportError, match=r"output 0 by .*, the worst that of second \(") as caught:
        surgery.write_onnx(Two(), tmp_path / "a.onnx", X)
    rejected = tmp_path / "a.onnx.rejected"
    assert caught.value.rejected == str(rejected)
    assert f"kept as {rejected}" in str(caught.value)
    assert left(tmp_path) == ["a.onnx.rejected"]
    onnx.checker.check_model(onnx.load(rejected))
    said = told(capsys, "models_here:two", "onnx", tmp_path / "b.onnx")
    assert "the worst that of second (" in said
    assert f"kept as {tmp_path / 'b.onnx.rejected'}" in said
    (tmp_path / "c.onnx.rejected").mkdir()  # where nothing can be kept
    with pytest.raises(ExportError, match=r"second \(.* Nothing was written"):
        surgery.write_onnx(Two(), tmp_path / "c.onnx", X)
    assert left(tmp_path) == ["a.onnx.rejected", "b.onnx.rejected", "c.onnx.rejected"]


@pytest.mark.row("E2")
def test_a_program_and_a_folder_that_answer_otherwise_are_rejected(
    tmp_path, monkeypatch, words, capsys
):
    def off(right, after):
        return lambda *given, **named: after(right(*given, **named))

    def doubled(model):
        with torch.no_grad():
            next(model.parameters()).mul_(2)
        return model

    with monkeypatch.context() as patch:
        patch.setattr(files, "module_of", off(module_of, doubled))
        assert "output 0 by" in told(capsys, "models_here:two", "pt2", tmp_path / "a.pt2")
    torch.export.load(tmp_path / "a.pt2.rejected")
    llama, inputs = CASES["llama"].build(), {"input_ids": torch.arange(10).view(2, 5)}
    right = type(llama).from_pretrained
    monkeypatch.setattr(type(llama), "from_pretrained", off(right, doubled))
    for _ in range(2):  # an earlier one is replaced
        with pytest.raises(ExportError, match="output 0 by"):
            surgery.write_folder(llama, tmp_path / "a", **inputs)
    assert left(tmp_path) == ["a.pt2.rejected", "a.rejected"]
    assert {"about.json", "config.json"} <= set(left(tmp_path / "a.rejected"))


@pytest.mark.row("E3")
def test_a_model_in_training_mode_is_written_as_in_evaluation(tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(progress, "say", said.append)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9)).train()
    before = fingerprint(model)
    assert surgery.write_program(model, tmp_path / "a.pt2", X).difference == 0
    assert said == ["Sequential is in training mode; what is written computes as in evaluation"]
    assert same_fingerprint(before, fingerprint(model))
    loaded = module_of(torch.export.load(tmp_path / "a.pt2"))
    with torch.no_grad():
        assert torch.equal(loaded(X), model.eval()(X))


OPERATIONS = ("open", "write", "fsync", "chmod", "replace", "rename", "mkdir")


@pytest.mark.row("E4")
def test_killed_at_every_operation_on_files(tmp_path):
    """A file, or a folder, is there whole or not at all."""
    network = lively(residuum.preset("preresnet8", seed=0))
    small, blueprint = surgery.removed(network, [1]), Blueprint("preresnet8", 10)

    def write(place) -> None:
        files._written(place / "a.pt2", b"x" * 1000, lambda: 0.0)
        surgery.save(small, place / "folder", blueprint, [1])

    def die_at(number: int, place) -> None:
        calls = count()
        for name in OPERATIONS:
            real = getattr(os, name)

            def counted(*a, real=real, **k):
                if next(calls) == number:
                    os._exit(9)
                return real(*a, **k)

            setattr(os, name, counted)
        write(place)

    whole = 0
    for number in range(60):
        (place := tmp_path / str(number)).mkdir()
        ended = started(tmp_path, lambda n=number, p=place: die_at(n, p)).end()
        if (place / "a.pt2").exists():
            assert (place / "a.pt2").read_bytes() == b"x" * 1000
        if (place / "folder").exists():
            surgery.load(place / "folder")
            whole += 1
        if ended.code == 0:
            break
        assert ended.code == 9, ended.err
    assert number > 10
    assert whole >= 2  # also one that was killed behind the renaming


@pytest.mark.row("E4")
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    network = lively(residuum.preset("preresnet8", seed=0))
    with pytest.raises(ResourceError, match="no room to write"):
        surgery.write_program(Two(), tmp_path / "a.pt2", X)
    small = surgery.removed(network, [1])
    with pytest.raises(ResourceError, match="no room to write"):
        surgery.save(small, tmp_path / "b", Blueprint("preresnet8", 10), [1])
    assert left(tmp_path) == []


@pytest.mark.row("E5")
def test_one_file_and_no_way_out_of_the_folder(tmp_path, monkeypatch):
    import onnx

    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a.onnx").symlink_to("precious")
    (tmp_path / "b.onnx").symlink_to("nowhere")
    for name in ("a.onnx", "b.onnx"):
        with pytest.raises(UsageError, match="is there already"):
            surgery.write_onnx(Two(), tmp_path / name, X)
    (tmp_path / "c").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="a file or a link"):
        surgery.write_folder(CASES["llama"].build(), tmp_path / "c")
    surgery.write_onnx(Two(), tmp_path / "d.onnx", X)
    held = onnx.load(tmp_path / "d.onnx", load_external_data=False).graph.initializer
    assert not any(tensor.external_data for tensor in held)
    monkeypatch.setattr(conditions, "MOST_BYTES", 600)
    with pytest.raises(ResourceError, match=r"do not fit in one ONNX file \(2 GB\)"):
        surgery.write_onnx(Two(), tmp_path / "e.onnx", X)
    assert left(tmp_path) == ["a.onnx", "b.onnx", "c", "d.onnx", "precious"]
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.row("E5")
@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "a/b", ".hidden", ""])
def test_a_description_names_files_of_its_own_folder(tmp_path, name):
    network = lively(residuum.preset("preresnet8", seed=0))
    kept = surgery.save(
        surgery.removed(network, [1]), tmp_path / "a", Blueprint("preresnet8", 10), [1]
    )
    entry = {"file": name, "sha256": kept.weights.sha256, "tensors": {}}
    reseal(tmp_path / "a" / "removed.json", weights=entry)
    with pytest.raises(CheckpointError, match="must be like"):
        surgery.load(tmp_path / "a")


@pytest.mark.row("E6")
def test_weights_are_saved_over_the_file_they_were_read_from(tmp_path):
    wanted = {"a": torch.arange(1e4), "b": torch.ones(3)}
    entry = write_tensors(tmp_path, "x.safetensors", wanted)
    for read in (
        lambda path: read_tensors(path).tensors,
        lambda path: safetensors.torch.load_file(path),  # mapped, not read
    ):
        found = read(tmp_path / "x.safetensors")
        assert write_tensors(tmp_path, "x.safetensors", found) == entry
        again = read_tensors(tmp_path / "x.safetensors", entry).tensors
        assert all(torch.equal(again[name], tensor) for name, tensor in wanted.items())
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


class Tied(nn.Module):
    """One matrix in two layers, another that is stored by columns."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.leave.weight = self.enter.weight
        self.units = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        turned = torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).t()
        self.units[0].weight = nn.Parameter(turned)

    def forward(self, x):
        x = self.enter(x)
        for unit in self.units:
            x = x + unit(x).tanh()
        return self.leave(x)


@pytest.mark.row("E7")
def test_tied_and_strided_weights_go_there_and_back(tmp_path):
    """Each name has bytes of its own in a file; what is built again ties them again, and a graph
    holds them once."""
    torch.manual_seed(0)
    x, model = torch.linspace(-1, 1, 8).view(2, 4), Tied()
    assert not model.units[0].weight.is_contiguous()
    view = residuum.unravel(model, x)
    small = surgery.removed(view, [1])
    surgery.save_model(small, tmp_path / "a", view, [1], Word("tests:Tied"), Tied)
    again = surgery.load(tmp_path / "a", Tied())
    with torch.no_grad():
        assert torch.equal(again(x), small(x))
    assert len(list(again.parameters())) == 3  # the tied one once
    write_tensors(tmp_path, "whole.safetensors", model.state_dict())
    found = read_tensors(tmp_path / "whole.safetensors").tensors
    assert found["enter.weight"].data_ptr() != found["leave.weight"].data_ptr()
    whole = Tied()
    whole.load_state_dict(found)
    assert whole.enter.weight is whole.leave.weight
    with torch.no_grad():
        assert torch.equal(whole(x), model(x))
    assert surgery.write_program(model, tmp_path / "a.pt2", x).difference == 0
    assert surgery.write_onnx(model, tmp_path / "a.onnx", x).difference < 1e-6


@pytest.mark.row("E8")
def test_nothing_is_written_with_a_lesion_or_a_hook_in_place(tmp_path):
    network = lively(residuum.preset("preresnet8", seed=0))
    own, (foreign, inputs) = residuum.unravel(network), ready("vit")
    blueprint = Blueprint("preresnet8", 10)

    def refused(model, x) -> None:
        for write in (
            lambda: surgery.write_onnx(model, tmp_path / "a.onnx", x),
            lambda: surgery.write_program(model, tmp_path / "a.pt2", x),
            lambda: surgery.write_folder(model, tmp_path / "a", x),
        ):
            with pytest.raises(UsageError, match="is active"):
                write()

    with own.edited({0: DELETE}):
        refused(network, X)
        with pytest.raises(UsageError, match=r"is active|another network"):
            surgery.save(network, tmp_path / "a", blueprint, [0])
    view = residuum.unravel(foreign, inputs)
    with view.edited({0: DELETE}):
        refused(foreign, inputs)
    handle = network.stem.register_forward_hook(lambda module, given, output: 2 * output)
    refused(network, X)
    handle.remove()
    assert left(tmp_path) == []
    normed = torch.nn.utils.weight_norm(nn.Linear(4, 4))  # a hook that is part of the model
    conditions.itself(normed.eval())


@pytest.mark.row("E9")
def test_files_say_what_they_were_made_of(tmp_path):
    import onnx

    about = {"classes": '["ant", "bee"]', "normalisation": '{"mean": [0.5]}', "source": "digits"}
    model = Two()
    wanted = about | {"weights_sha256": conditions.weights_digest(model)}
    surgery.write_onnx(model, tmp_path / "a.onnx", X, about=about)
    held = onnx.load(tmp_path / "a.onnx").metadata_props
    assert {each.key: each.value for each in held} == wanted
    surgery.write_program(model, tmp_path / "a.pt2", X, about=about)
    torch.export.load(tmp_path / "a.pt2", extra_files=(extra := {"about.json": ""}))
    assert json.loads(extra["about.json"]) == wanted
    network = lively(residuum.preset("preresnet8", seed=0))
    small = surgery.removed(network, [1])
    surgery.save(small, tmp_path / "b", Blueprint("preresnet8", 10), [1], about)
    assert surgery.about(tmp_path / "b") == about | {
        "weights_sha256": conditions.weights_digest(small)
    }
    with torch.no_grad():
        assert torch.equal(
            surgery.load(tmp_path / "b")(image_batch(3)),
            small.to(memory_format=torch.channels_last)(image_batch(3)),
        )
