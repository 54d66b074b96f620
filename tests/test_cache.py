"""The cache of decoded images: never another number, never in the way."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_data import class_folders, png

from residuum.cli import main
from residuum.data import folders, load
from residuum.data.cache import VARIABLE, image_cache
from residuum.errors import UsageError
from residuum.storage import Cache, Lock


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def root(tmp_path):
    return class_folders(tmp_path / "set")


@pytest.fixture
def decoded(monkeypatch):
    """How often images were decoded."""
    calls: list = []
    real = folders.decode_class_folders
    monkeypatch.setattr(
        folders, "decode_class_folders", lambda *given: calls.append(given) or real(*given)
    )
    return calls


def test_the_second_time_nothing_is_decoded_and_all_is_the_same(tmp_path, decoded, told):
    root = class_folders(tmp_path / "set", parts=("train", "val"))
    (root / "train" / ".hidden").mkdir()
    plain = load(root, cache=False)
    notes = told.copy()
    first, second = load(root), load(root)
    assert len(decoded) == 1
    assert told == notes * 3
    assert len(notes) == 2
    for found in (first, second):
        assert found.describe() == plain.describe()
        assert torch.equal(found.train.pixels, plain.train.pixels)
        assert torch.equal(found.test.labels, plain.test.labels)
    assert not torch.equal(load(root, image_size=3).train.pixels, plain.train.pixels)
    shutil.move(root, tmp_path / "elsewhere")  # the key is the content
    assert load(tmp_path / "elsewhere").name == "elsewhere"
    assert len(decoded) == 2


def rewrite(root):
    (root / "train" / "ant" / "00.png").write_bytes(png(99))


def rename(root):
    (root / "train" / "ant" / "00.png").rename(root / "train" / "ant" / "99.png")


def add_hidden(root):
    (root / "train" / ".hidden").mkdir()


@pytest.mark.parametrize("change", [rewrite, rename, add_hidden])
def test_whatever_changes_is_decoded(root, decoded, change):
    load(root)
    before = (root / "train" / "ant" / "00.png").stat()
    change(root)
    for file in root.rglob("*.png"):  # the time of writing is not believed
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(root).describe() == load(root, cache=False).describe()
    assert len(decoded) == 2


def test_the_decoders_versions_are_part_of_the_key(root, decoded, monkeypatch):
    from residuum.data import decode

    load(root)
    monkeypatch.setattr(decode, "RULES", decode.RULES + 1)
    load(root)
    assert len(decoded) == 2


def the_file():
    (file,) = image_cache().files()
    return image_cache().folder / file.name


def test_a_damaged_file_is_never_believed(root, decoded, told):
    """Bits turned and files cut short all over: decoded anew with a warning, then kept again."""
    right = load(root).describe()
    whole = the_file().read_bytes()
    for position in range(0, len(whole), 29):
        broken = bytearray(whole)
        broken[position] ^= 1 << position % 8
        the_file().write_bytes(bytes(broken) if position % 3 else whole[:position])
        decoded.clear()
        assert load(root).describe() == right
        warned = [line for line in told if line.startswith("warning: cached images")]
        assert len(warned) == len(decoded) <= 1
        if decoded:
            assert the_file().read_bytes() == whole
        told.clear()


def test_another_sets_file_is_not_believed(root, tmp_path, decoded, told):
    load(root)
    ours = the_file()
    right = load(root).describe()
    load(class_folders(tmp_path / "other", n=4))
    (other,) = (f for f in ours.parent.glob("*.safetensors") if f != ours)
    shutil.copy(other, ours)
    assert load(root).describe() == right
    assert "decoded anew" in told[-1]


@pytest.mark.parametrize("kind", ["fifo", "folder", "file"])
def test_what_stands_in_the_way_is_told(root, tmp_path, decoded, told, kind):
    load(root)
    file = the_file()
    file.unlink()
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        shutil.rmtree(tmp_path / "home")
        (tmp_path / "home").write_text("x")
    assert len(load(root).train) == 6
    assert any(line.startswith("warning: ") for line in told)
    assert len(decoded) == 2


def test_a_folder_in_which_nothing_can_be_written(root, told, monkeypatch):
    def full(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Cache, "write", full)
    assert len(load(root).train) == 6
    assert told[-1].startswith("warning: decoded images are not kept in")


def test_the_longest_unused_go_first(tmp_path):
    cache = Cache(tmp_path / "cache", 3_150_000)
    keys = [digit * 64 for digit in "abc"]
    tensor = {"x": torch.zeros(100_000, dtype=torch.uint8)}
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "mine.txt").write_text("x" * 10_000)
    for age, key in enumerate(keys):
        assert cache.write(key, {"x": torch.zeros(700_000, dtype=torch.uint8)}, None)
        os.utime(cache.folder / f"{key}.safetensors", (age, age))
    cache.read(keys[0])
    assert cache.write("d" * 64, {"x": torch.zeros(800_000, dtype=torch.uint8)}, None)
    assert [file.name[0] for file in cache.files()] == ["d", "a"]
    assert not Cache(cache.folder, 1000).write("e" * 64, tensor, None)
    assert cache.files() == []
    assert (cache.folder / "mine.txt").exists()


def test_a_file_that_another_process_removes_meanwhile_is_gone(tmp_path, monkeypatch):
    cache = Cache(tmp_path, 1000)
    gone = tmp_path / f"{'a' * 64}.safetensors"
    monkeypatch.setattr(Path, "iterdir", lambda self: iter([gone]))
    assert cache.files() == []
    assert cache.read("a" * 64) is None


@pytest.mark.parametrize("word", ["x", "-1", "nan", "inf", ""])
def test_the_bound_is_a_number(root, monkeypatch, word):
    monkeypatch.setenv(VARIABLE, word)
    with pytest.raises(UsageError, match=f"{VARIABLE} must be a number of gigabytes"):
        load(root)


def test_no_room_means_no_file(root, monkeypatch, decoded):
    monkeypatch.setenv(VARIABLE, "0")
    assert load(root).describe() == load(root).describe()
    assert (len(decoded), image_cache().files()) == (2, [])


def test_one_that_is_busy_is_left_alone(root, told, decoded):
    load(root)
    the_file().unlink()
    with Lock(image_cache().folder):
        load(root)
    assert image_cache().files() == []
    assert not told


def hammer(root, digest, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert load(root).describe().digest == digest
        for file in image_cache().folder.glob("*.safetensors"):
            file.unlink(missing_ok=True)


def test_two_processes_and_a_kill(root):
    digest = load(root, cache=False).describe().digest
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=hammer, args=(root, digest, 1.5)) for _ in range(3)]
    for worker in workers:
        worker.start()
    time.sleep(0.7)
    workers[0].kill()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [-9, 0, 0]
    left = image_cache().folder / f".{'a' * 64}.safetensors.x1.tmp"
    left.write_bytes(b"x")
    assert load(root).describe().digest == digest
    load(root)
    names = sorted(file.name for file in image_cache().folder.iterdir())
    assert names == [".lock", the_file().name]


def call(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return caught.value.code, *capsys.readouterr()


def test_the_command_shows_and_clears_what_is_ours(root, capsys):
    assert call(capsys, "cache")[1].endswith("images: 0 files, 0.0 MB of at most 4000 MB\n")
    assert call(capsys, "cache", "--clear")[0] == 0
    assert not image_cache().folder.exists()
    load(root)
    (image_cache().folder / "mine.safetensors").write_text("x")
    code, out, err = call(capsys, "cache", "--json")
    (file,) = json.loads(out)["files"]
    assert (code, err, file["name"]) == (0, "", the_file().name)
    assert file["name"][:12] in call(capsys, "cache")[1]
    _, out, _ = call(capsys, "cache", "--clear")
    assert "removed 1 file, 0.0 MB" in out
    names = {file.name for file in image_cache().folder.iterdir()}
    assert names == {".lock", "mine.safetensors"}
    with Lock(image_cache().folder):
        assert call(capsys, "cache", "--clear")[0] == 8


def test_only_files_of_its_own_are_removed(tmp_path):
    """What bears a name of ours and is a folder, a link or a pipe is somebody else's."""
    cache = Cache(tmp_path / "cache", 3_000_000)
    assert cache.write("a" * 64, {"x": torch.zeros(1000)}, None)
    names = [f"{digit * 64}.safetensors" for digit in "bcd"]
    (cache.folder / names[0]).mkdir()
    (cache.folder / names[1]).symlink_to(tmp_path)
    os.mkfifo(cache.folder / names[2])
    assert [file.name[0] for file in cache.clear()] == ["a"]
    assert {file.name for file in cache.folder.iterdir()} == {".lock", *names}
    assert cache.files() == []


def test_the_flag_switches_it_off(root, tmp_path, capsys):
    flags = [
        "--data",
        str(root),
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--output",
        str(tmp_path / "run"),
    ]
    call(capsys, "train", "preresnet8", *flags, "--no-cache")
    assert image_cache().files() == []
    call(capsys, "eval", str(tmp_path / "run"), "--data", str(root))
    assert len(image_cache().files()) == 1


def test_the_command_needs_no_torch():
    script = "import sys, residuum; residuum.cache(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
