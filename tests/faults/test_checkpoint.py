"""Rows C: what is stored, damaged, foreign, or belonging to something else."""

import io
import json
import os
import pickle
import random
import shutil
import struct
import tarfile
import zipfile
from dataclasses import replace

import pytest
import torch
from conftest import reseal
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from test_storage import save_three, tensors

from benchmarks.kill_resume import small_data
from residuum import progress, storage
from residuum.errors import CheckpointError, ResiduumError, UsageError
from residuum.experiments.trial import Trial
from residuum.networks.weights import load_weights
from residuum.presets import preset
from residuum.storage import read_tensors, write_tensors
from residuum.subjects.trained import rebuild
from residuum.training import Machine, Run, find_recipe
from residuum.training.checkpoint import Checkpoints
from residuum.training.distributed import Team
from residuum.training.loop import Trainer
from residuum.training.optimisers import Adam

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)
RECIPE = replace(find_recipe("digits").shortened(1), batch_size=100)
TRIAL = Trial("preresnet8", RECIPE)


@pytest.fixture(scope="module")
def data():
    return small_data()


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    return TRIAL.train(data, tmp_path_factory.mktemp("run"), CPU).folder


@pytest.fixture
def folder(finished, tmp_path):
    """A finished run of one's own to damage."""
    return shutil.copytree(finished, tmp_path / "run")


# ---- bytes ----


@pytest.mark.row("C1")
def test_every_flipped_bit_is_noticed_and_located(tmp_path):
    entry = write_tensors(tmp_path, "x.safetensors", tensors())
    path = tmp_path / "x.safetensors"
    whole = path.read_bytes()
    parts, _ = storage.tensors._parse(whole, "x")
    start = {name: whole.find(bytes(part)) for name, part in parts.items() if len(part) > 4}
    for position in range(len(whole)):
        bit = 1 << random.Random(position).randrange(8)
        path.write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
        with pytest.raises(CheckpointError) as caught:
            read_tensors(path, entry)
        owner = [n for n, s in start.items() if s <= position < s + len(parts[n])]
        if owner:
            assert f"tensor {owner[0]}" in str(caught.value)


@pytest.mark.row("C1")
@pytest.mark.parametrize("name", ["run.json", "done.json", "checkpoints/manifest.json"])
def test_a_flipped_bit_of_a_description_gives_the_same_or_one_message(folder, name):
    """At 100 places; the last state is found by the name of its file where need be."""
    file, wanted = folder / name, everything(folder)
    whole, source = file.read_bytes(), random.Random(0)
    for position in source.sample(range(len(whole)), 100):
        bit = 1 << source.randrange(8)
        file.write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
        try:
            assert everything(folder) == wanted
        except CheckpointError:
            continue


@pytest.mark.row("C1")
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, monkeypatch):
    store, said = save_three(tmp_path), []
    monkeypatch.setattr(progress, "say", said.append)
    newest = max(tmp_path.glob("step-*"))
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    assert store.latest().tensors["w"].tolist() == [2.0] * 4
    assert "trying the checkpoint before it" in said[0]
    for file in tmp_path.glob("step-*"):
        file.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="tensor w"):
        store.latest()


@pytest.mark.row("C1", "C2")
def test_a_finished_run_is_whole_or_not_finished(data, folder):
    """`train` does not say that it is finished before it has looked at the weights."""
    TRIAL.train(data, folder, CPU)
    file = folder / "weights.safetensors"
    whole = file.read_bytes()
    for content in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-9], b""):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match="weights"):
            TRIAL.train(data, folder, CPU)


@pytest.mark.row("C2")
def test_every_truncation_is_noticed(tmp_path):
    entry = write_tensors(tmp_path, "x.safetensors", tensors())
    path = tmp_path / "x.safetensors"
    whole = path.read_bytes()
    for content in (*(whole[:n] for n in range(len(whole))), whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            read_tensors(path, entry)


@pytest.mark.row("C2", "C12")
@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"schema": 3}', b'{"schema": 3, "checkpoints": [], "sha256": ""}'],
)
def test_a_damaged_manifest_is_survived(tmp_path, damage):
    store = save_three(tmp_path)
    store.manifest.write_bytes(damage)
    assert store.latest().state.step == 3


@pytest.mark.row("C17")
def test_a_manifest_that_is_gone_is_told_and_survived(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(progress, "say", said.append)
    store = save_three(tmp_path)
    store.manifest.unlink()
    assert store.newest_step() == store.latest().state.step == 3
    assert "manifest.json" in said[0]
    assert "going by the names of the files" in said[0]


SHORT = {"checkpoints": [{"file": "step-00000003-0.safetensors", "sha256": "0"}]}
OUTSIDE = {"checkpoints": [{"file": "../x.safetensors", "sha256": "0" * 64}]}


@pytest.mark.row("C1", "C16")
@pytest.mark.parametrize("fields", [SHORT, OUTSIDE])
def test_a_manifest_names_whole_digests_and_files_of_its_folder(tmp_path, fields, monkeypatch):
    said = []
    monkeypatch.setattr(progress, "say", said.append)
    store = save_three(tmp_path)
    reseal(store.manifest, **fields)
    assert store.latest().state.step == 3  # found by the names of the files
    assert "must be like" in said[0]


@pytest.mark.row("C1", "C16")
@pytest.mark.parametrize("entry", [{"file": "../weights.safetensors"}, {"sha256": "0"}])
def test_done_names_a_whole_digest_and_a_file_of_its_folder(folder, entry):
    known = json.loads((folder / "done.json").read_text())["weights"]
    reseal(folder / "done.json", weights=known | entry)
    with pytest.raises(CheckpointError, match=r"done\.json: \$\.weights\.\w+: must be like"):
        Run.open(folder).weights()


# ---- foreign files ----


class Payload:
    """Unpickled, it leaves a marker."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def containers(marker) -> dict[str, bytes]:
    """What other programs call a checkpoint, each with code inside."""
    found = {f"pickle{p}": pickle.dumps(Payload(marker), p) for p in range(6)}
    found["nested"] = pickle.dumps({"state_dict": [Payload(marker)]})
    stream = io.BytesIO()
    torch.save(Payload(marker), stream)
    found["torch"] = stream.getvalue()
    torch.save(Payload(marker), stream := io.BytesIO(), _use_new_zipfile_serialization=False)
    found["legacy"] = stream.getvalue()
    for kind, compression in (("mar", zipfile.ZIP_STORED), ("bomb", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(stream := io.BytesIO(), "w", compression) as archive:
            archive.writestr("archive/data.pkl", found["pickle2"])
            archive.writestr("archive/DATA.pkl", b"\0" * 10_000_000)
            archive.writestr("/etc/absolute", "x")
        found[kind] = stream.getvalue()
    found["wrong CRC"] = found["mar"].replace(b"\0" * 100, b"\1" * 100, 1)
    with tarfile.open(fileobj=(stream := io.BytesIO()), mode="w") as archive:
        member = tarfile.TarInfo("pickle")
        member.size = len(found["pickle2"])
        archive.addfile(member, io.BytesIO(found["pickle2"]))
    return found | {"tar": stream.getvalue()}


@pytest.mark.row("C3", "C4", "C5")
def test_foreign_containers_are_refused_and_nothing_in_them_runs(folder, tmp_path):
    """Also where the manifest's digest is theirs: only safetensors is ever opened."""
    marker = tmp_path / "marker"
    known = json.loads((folder / "done.json").read_text())["weights"]
    for name, content in containers(marker).items():
        (folder / "weights.safetensors").write_bytes(content)
        reseal(folder / "done.json", weights=known | {"sha256": storage.sha256(content)})
        with pytest.raises(CheckpointError, match="safetensors"):
            Run.open(folder).weights()
        assert not marker.exists(), name
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").mkdir()  # a distributed checkpoint is a folder
    (folder / "weights.safetensors" / ".metadata").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(CheckpointError, match="not a regular file"):
        Run.open(folder).weights()
    assert not marker.exists()


def safetensors(header, body: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def spec(start: int, end: int, dtype: str = "F32", shape=(2,)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


LIES = {
    "huge header": safetensors({}, length=2**63),
    "long header": safetensors({"a": spec(0, 8)}, length=10_000),
    "overlap": safetensors({"a": spec(0, 8), "b": spec(4, 12), "c": spec(12, 16, shape=(1,))}),
    "gap": safetensors({"a": spec(0, 8), "b": spec(12, 16, shape=(1,))}),
    "unused end": safetensors({"a": spec(0, 8)}),
    "outside": safetensors({"a": spec(0, 800, shape=(200,))}),
    "backwards": safetensors({"a": spec(8, 0)}),
    "unknown type": safetensors({"a": spec(0, 16, "X9")}),
    "negative shape": safetensors({"a": spec(0, 16, shape=(-4,))}),
    "overflowing shape": safetensors({"a": spec(0, 16, shape=(2**62, 2**62))}),
    "another size": safetensors({"a": spec(0, 16, shape=(3,))}),
    "key twice": safetensors(b'{"a":%b,"a":%b}' % ((json.dumps(spec(0, 16)).encode(),) * 2)),
    "text for a number": safetensors({"a": spec("0", "16")}),  # type: ignore[arg-type]
    "list for a header": safetensors([]),
    "zip behind": save({"a": torch.zeros(4)}) + b"PK\x05\x06" + b"\0" * 18,
    "deep": safetensors(b"[" * 100_000),
}


@pytest.mark.row("C6", "C5")
@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie_are_refused(tmp_path, lie):
    (tmp_path / "x.safetensors").write_bytes(LIES[lie])
    with pytest.raises(CheckpointError, match="safetensors file"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.row("C6")
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_way(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        read_tensors(path)


@pytest.mark.row("C16")
def test_only_regular_files_of_some_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(2**42)
    for name in ("pipe", "link", "loop", "sparse", "missing", "."):
        for reader in (read_tensors, storage.read_bytes, storage.read_json):
            with pytest.raises(CheckpointError):
                reader(tmp_path / name)
    (tmp_path / "run.json").symlink_to("pipe")
    with pytest.raises(CheckpointError, match="not a regular file"):
        Run.open(tmp_path)


@pytest.mark.row("C17")
def test_what_is_checked_is_what_is_used(tmp_path, monkeypatch):
    """The file is replaced while its digest is taken."""
    entry = write_tensors(tmp_path, "x.safetensors", {"w": torch.ones(4)})
    write_tensors(tmp_path, "y.safetensors", {"w": torch.zeros(4)})
    real = storage.tensors.sha256

    def and_replace(content):
        if (tmp_path / "y.safetensors").exists():
            os.replace(tmp_path / "y.safetensors", tmp_path / "x.safetensors")
        return real(content)

    monkeypatch.setattr(storage.tensors, "sha256", and_replace)
    assert read_tensors(tmp_path / "x.safetensors", entry).tensors["w"].tolist() == [1.0] * 4
    with pytest.raises(CheckpointError, match="tensor w"):
        read_tensors(tmp_path / "x.safetensors", entry)


# ---- whole files that do not fit ----


def loaded(weights, classes: int = 10, name: str = "preresnet8"):
    network = preset(name, classes, seed=1)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    try:
        load_weights(network, weights, "x")
    except CheckpointError:
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, before[key])  # nothing was copied
        raise
    return network


@pytest.mark.row("C7", "C9", "C10")
def test_weights_that_do_not_fit_are_refused_whole(finished):
    weights = Run.open(finished).weights()
    first = weights["stem.0.weight"]
    variance = next(name for name in weights if name.endswith("running_var"))
    with pytest.raises(CheckpointError, match="10 classes, not 7"):
        loaded(weights, classes=7)
    with pytest.raises(CheckpointError, match=r"lacks .* and \d+ more"):
        loaded(weights, name="preresnet14")
    for change, message in (
        ({"more": first}, "has besides more"),
        ({"stem.0.weight": first[:2]}, r"stem\.0\.weight is \(2, 3, 3, 3\), the network's \(16"),
        ({"stem.0.weight": first * torch.nan}, "not finite"),
        ({variance: -torch.ones_like(weights[variance])}, "negative variances"),
        ({name: torch.zeros_like(tensor) for name, tensor in weights.items()}, "are zero"),
        ({"stem.0.weight": first.to(torch.complex64)}, "complex64, the network's"),
        ({"stem.0.weight": first.mul(9).to(torch.int8)}, "int8, the network's"),
    ):
        with pytest.raises(CheckpointError, match=message):
            loaded(weights | change)


@pytest.mark.row("C8")
def test_prefixes_of_wrappers_do_not_count(finished):
    weights = Run.open(finished).weights()
    network = loaded({f"module._orig_mod.{k}": v for k, v in weights.items()})
    assert all(torch.equal(tensor, weights[k]) for k, tensor in network.state_dict().items())


@pytest.mark.row("C11")
def test_every_kind_of_tensor_goes_there_and_back(tmp_path):
    base = torch.randn(6)
    kinds = tensors() | {"bfloat16": torch.randn(3).bfloat16(), "a": base[:3], "b": base}
    entry = write_tensors(tmp_path, "x.safetensors", kinds)
    found = read_tensors(tmp_path / "x.safetensors", entry).tensors
    assert found.keys() == kinds.keys()
    for name, tensor in kinds.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert write_tensors(tmp_path, "y.safetensors", found).sha256 == entry.sha256


def everything(folder) -> tuple:
    run = Run.open(folder)
    return run.description, run.outcome, run.metrics


@pytest.mark.row("C12")
@pytest.mark.parametrize("schema", [1, 2, 4, "3", None, 3.5, True])
def test_another_schema_is_refused_and_says_what_to_do(folder, schema):
    for name in ("run.json", "done.json", "checkpoints/manifest.json"):
        whole = (folder / name).read_text()
        reseal(folder / name, schema=schema)
        with pytest.raises(CheckpointError, match=r"this version reads 3\. Train it again"):
            everything(folder)
        (folder / name).write_text(whole)


@pytest.mark.row("C13")
def test_another_machine_resumes_and_is_told(data, folder, monkeypatch):
    """Threads, versions and processes; the weights of a finished run do not change."""
    said = []
    described = json.loads((folder / "run.json").read_text())
    machine = described["machine"] | {"threads": 3}
    reseal(folder / "run.json", machine=machine, versions=described["versions"] | {"torch": "0.1"})
    monkeypatch.setattr(progress, "say", said.append)
    TRIAL.train(data, folder, CPU)
    (line,) = [line for line in said if "bit-exactness is not promised" in line]
    assert "threads 3 -> 1" in line
    assert "torch 0.1 -> " in line


@pytest.mark.row("C14")
def test_the_memory_of_another_optimiser_is_refused(data):
    trainers = [
        Trainer(TRIAL.build(10), data, recipe, CPU, Team())
        for recipe in (RECIPE, replace(RECIPE, optimiser=Adam()), replace(RECIPE, decay="weights"))
    ]
    for trainer in trainers:
        trainer.advance()
    states = [trainer.checkpoint() for trainer in trainers]
    for other in (1, 2):
        with pytest.raises(
            CheckpointError, match=r"memory of Adam is not that of SGD|2 groups were saved, not 1"
        ):
            trainers[0].restore(states[other], "x")


@pytest.mark.row("C15")
def test_another_configuration_is_refused_with_the_difference(data, folder):
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    for recipe, message in (
        (replace(RECIPE, weight_decay=0.1), r"recipe\.weight_decay was 0\.0005, is 0\.1"),
        (replace(RECIPE, seed=3), r"recipe\.seed was the default, is 3"),
        (replace(RECIPE, optimiser=Adam()), r"optimiser"),
    ):
        with pytest.raises(UsageError, match=message):
            replace(TRIAL, recipe=recipe).train(data, folder, CPU)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


@pytest.mark.row("C15")
@pytest.mark.parametrize(
    "words",
    [
        {"preset": "resnet20"},
        {"preset": "preresnet9"},
        {"preset": "os.system"},
        {"classes": 7},
        {"options": {"seed": 3}},
        {"options": {"shortcut": "Q"}},
        {"options": {"shortcut": 3}},
        {"options": {"size": 8}},
    ],
)
def test_a_run_that_names_another_network_is_refused(folder, words):
    known = json.loads((folder / "run.json").read_text())["network"]
    reseal(folder / "run.json", network=known | words)
    with pytest.raises(ResiduumError):
        rebuild(Run.open(folder))


def test_one_flipped_bit_of_a_recipe_is_no_other_recipe(folder):
    """Once evaluated without a word, at another error."""
    file = folder / "run.json"
    file.write_text(file.read_text().replace('"channel"', '"channe|"'))
    with pytest.raises(CheckpointError, match="digest"):
        Run.open(folder)
    reseal(file)
    with pytest.raises(CheckpointError, match="Did you mean 'channel'"):
        Run.open(folder)
    assert Checkpoints(folder / "checkpoints").newest_step() > 0
