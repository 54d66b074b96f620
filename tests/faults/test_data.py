"""What is wrong with images: each row of the catalogue, injected; what must hold is asserted."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data import class_folders, png

import residuum
from residuum.cli import main
from residuum.data import decode, folders, load, members
from residuum.errors import DataError, UsageError

pytestmark = pytest.mark.usefixtures("no_hang")


def refused(capsys, data, *flags, code=3) -> str:
    """The one message with which `train` ends; nothing was trained."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["train", "preresnet8", "--data", str(data), "--no-cache", *map(str, flags)])
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (code, ""), err
    assert err.startswith("residuum: error: ")
    assert "Traceback" not in err
    return err


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(size=(8, 6)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


# ---- images ----


@pytest.mark.row("D1", "T12")
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_cut_short_is_named(root, capsys, kind):
    content = encoded(photo((64, 64)), kind)
    (root / "train" / "ant" / f"cut.{kind.lower()}").write_bytes(content[: len(content) // 2])
    assert f"cut.{kind.lower()}: broken image" in refused(capsys, root)


@pytest.mark.row("D1")
def test_there_is_no_option_that_skips_bad_images(root, capsys):
    assert "--bad-images" in refused(capsys, root, "--bad-images=skip", code=2)


@pytest.mark.row("D2")
@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_named(root, capsys, content):
    (root / "test" / "bee" / "x.jpg").write_bytes(content)
    assert "x.jpg: broken image" in refused(capsys, root)


def bomb(side: int) -> bytes:
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side * (side // 8 + 1)), 9)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.row("D3")
@pytest.mark.parametrize("side", [13_000, 60_000])
def test_a_bomb_is_refused_by_its_header(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(
        bomb(13_000).replace(*[struct.pack(">II", 13_000, 13_000), struct.pack(">II", side, side)])
    )
    script = (
        "import resource, sys; from residuum.data.decode import decode; from PIL import Image\n"
        "from residuum.errors import DataError; content = open(sys.argv[1], 'rb').read()\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: decode(content, 'bomb.png')\n"
        "except DataError as error: print(peak() - before, error)\n"
    )
    command = [sys.executable, "-c", script, tmp_path / "bomb.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    grown, message = done.stdout.split(" ", 1)
    assert int(grown) < 50_000, "kB"
    assert "bomb.png" in message
    assert done.stderr == ""


def fits() -> bytes:
    cards = ["SIMPLE  =                    T", "BITPIX  =                    8"]
    cards += ["NAXIS   =                    2", "NAXIS1  =                    6"]
    cards += ["NAXIS2  =                    6", "END"]
    return "".join(card.ljust(80) for card in cards).ljust(2880).encode() + bytes(2880)


FOREIGN = {
    "FITS": fits(),
    "EPS": encoded(photo(), "EPS"),
    "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 6, 6, 8, 3) + bytes(200),
    "TIFF": encoded(photo(), "TIFF"),
    "GIF": encoded(photo(), "GIF"),
}


@pytest.mark.row("D4")
@pytest.mark.parametrize("kind", FOREIGN)
def test_no_other_parser_is_reached(root, capsys, kind):
    (root / "train" / "ant" / "00.png").write_bytes(FOREIGN[kind])
    assert "00.png: broken image (of no known format)" in refused(capsys, root)


@pytest.mark.row("D5")
def test_every_mode_becomes_eight_bit_rgb():
    rgb = photo()
    colours = np.asarray(rgb)
    grey = colours[..., 0]
    palette = rgb.quantize(8)
    deep = (grey.astype(np.uint16) << 8) + 77
    modes = {
        "L": (Image.fromarray(grey), grey),
        "LA": (Image.merge("LA", (Image.fromarray(grey), Image.new("L", rgb.size, 9))), grey),
        "RGB": (rgb, colours),
        "RGBA": (Image.merge("RGBA", (*rgb.split(), Image.new("L", rgb.size, 0))), colours),
        "P": (palette, np.asarray(palette.convert("RGB"))),
        "1": (Image.fromarray(grey > 99), (grey > 99) * np.uint8(255)),
        "I;16": (Image.fromarray(deep), grey),
    }
    for mode, (image, expected) in modes.items():
        expected = expected if expected.ndim == 3 else np.stack([expected] * 3, -1)
        found = decode.decode(encoded(image, "PNG"), mode)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected, mode)
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = decode.decode(encoded(ink, "JPEG", quality=95), "CMYK").astype(int)
    assert abs(red - [255, 0, 0]).max() <= 4
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise
    found = decode.decode(encoded(rgb, "PNG", exif=turned), "turned")
    np.testing.assert_array_equal(found, np.rot90(colours, -1))
    frames = encoded(rgb, "WEBP", save_all=True, append_images=[photo((8, 6)).rotate(180)])
    with pytest.raises(DataError, match="animation"):
        decode.decode(frames, "frames.webp")


@pytest.mark.row("D6")
def test_images_of_one_pixel_train_and_can_be_enlarged(tmp_path, capsys):
    root = class_folders(tmp_path / "dots", size=1)
    output = tmp_path / "run"
    run = residuum.train("preresnet8", data=str(root), epochs=1, output=output, batch_size=4)
    assert run.data.size == (1, 1)
    assert run.outcome.last.test_n == 6
    assert load(root, image_size=5).train.pixels.shape[1:] == (5, 5, 3)


@pytest.mark.row("D7")
def test_an_empty_class_among_full_ones_is_refused(root, capsys):
    (root / "train" / "cat").mkdir()
    said = refused(capsys, root)
    assert "without images: 'train/cat'" in said
    assert "train/ 'ant' 3, 'bee' 3" in said
    archive = root.parent / "set.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, "set")
    assert "without images: 'set/train/cat'" in refused(capsys, archive)


@pytest.mark.row("D7")
def test_one_class_and_no_images_are_refused(tmp_path, capsys):
    one = class_folders(tmp_path / "one", classes=("ant",))
    assert "only one class folder, test/ 'ant' 3; train/ 'ant' 3" in refused(capsys, one)
    (tmp_path / "none" / "ant").mkdir(parents=True)
    (tmp_path / "none" / "ant" / "notes.txt").write_text("x")
    said = refused(capsys, tmp_path / "none")
    assert "no images" in said
    assert "left out: 1 files of other kinds" in said


@pytest.mark.row("D8")
def test_hidden_and_linked_folders_are_left_out_and_told_once(root, told):
    for part in ("train", "test"):
        (root / part / ".ipynb_checkpoints").mkdir()
        (root / part / ".ipynb_checkpoints" / "x.png").write_bytes(b"")
    (root / "train" / "cat").symlink_to(root / "train" / "ant")
    (root / "train" / "ant" / "notes.txt").write_text("x")
    (root / "top.png").write_bytes(png(1))
    assert load(root).classes == ("ant", "bee")
    kinds = "1 files of other kinds, 2 hidden files or folders, 1 images outside class folders"
    assert told == [f"{root}: left out: {kinds}, 1 linked folders"]


@pytest.mark.row("D9")
def test_other_classes_in_test_are_refused_with_both_lists(root, capsys):
    (root / "test" / "cat").mkdir()
    (root / "test" / "cat" / "0.png").write_bytes(png(5))
    said = refused(capsys, root)
    assert "test/ 'ant' 3, 'bee' 3, 'cat' 1; train/ 'ant' 3, 'bee' 3" in said


@pytest.mark.row("D9", "D11")
def test_names_of_every_kind_train_and_are_refused_for_another_run(tmp_path, capsys):
    names = [b"caf\xe9", "e\u0301".encode(), "\u00e9".encode(), b"new\nline", b"x" * 255]
    names.append(b"<script>alert(1)<")
    root = os.fsencode(tmp_path / "set")
    for part in (b"train", b"test"):
        for c, name in enumerate(names):
            os.makedirs(os.path.join(root, part, name))
            content = png(10 * c + len(part))
            Path(os.fsdecode(os.path.join(root, part, name, b"\xff.png"))).write_bytes(content)
    expected = tuple(name.decode("utf-8", "backslashreplace") for name in sorted(names))
    run = residuum.train(
        "preresnet8", data=os.fsdecode(root), epochs=1, batch_size=6, output=tmp_path / "run"
    )
    assert run.data.classes == expected
    with pytest.raises(SystemExit) as caught:
        main(["eval", str(run.folder), "--data", os.fsdecode(root), "--json"])
    assert caught.value.code == 0
    assert json.loads(capsys.readouterr().out)["n"] == 6
    other = class_folders(tmp_path / "other")
    with pytest.raises(DataError, match=r"<script>.*\['ant', 'bee'\]"):
        residuum.evaluate(run.folder, data=str(other))


@pytest.mark.row("D11")
def test_names_are_the_same_under_any_locale(tmp_path):
    root = os.fsencode(tmp_path / "caf\u00e9")
    for name in (b"\xe9", "\u00e9".encode(), b"z"):
        os.makedirs(os.path.join(root, name))
        for i in range(2):
            image = os.path.join(root, name, b"%d\xff\xc3\xa9.png" % i)
            Path(os.fsdecode(image)).write_bytes(png(i + len(name)))
    here = load(os.fsdecode(root), cache=False)
    assert here.classes == ("z", "\u00e9", "\\xe9")
    assert here.name == "caf\u00e9"
    script = (
        "import sys; from pathlib import Path; from residuum.data.members import *\n"
        "path = Path(sys.argv[1]); names = [readable(member) for member, _ in Members(path)]\n"
        "print(ascii((readable(path.name), names, content_digest(path))))"
    )
    path = Path(os.fsdecode(root))
    names = [members.readable(member) for member, _ in members.Members(path)]
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", script, root]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | plain)
    there = ascii((here.name, names, members.content_digest(path)))
    assert done.stdout.strip() == there, done.stderr


# ---- folders ----


def loop(root):
    (root / "train" / "ant" / "again").symlink_to(root / "train")
    (root / "train" / "ant" / "self").symlink_to("self")


@pytest.mark.row("D10")
def test_a_loop_of_links_ends(root, told):
    loop(root)
    assert len(load(root).train) == 6
    assert told == [f"{root}: left out: 1 files of other kinds, 1 linked folders"]


@pytest.mark.row("D10")
@pytest.mark.parametrize("name", ["x.png", "folder"])
def test_links_that_leave_the_folder_are_refused(root, capsys, name):
    target = root.parent / name
    target.mkdir() if name == "folder" else target.write_bytes(png(3))
    (root / "train" / "ant" / name).symlink_to(target)
    assert f"{name}: a link that leaves" in refused(capsys, root)
    assert "--follow-links" in refused(capsys, root, "--follow-links", code=2)


@pytest.mark.row("D12")
def test_an_image_removed_or_changed_while_it_is_read(root, monkeypatch):
    last = root / "train" / "bee" / "02.png"
    real = members.Members._read

    def removing(self, file, inside):
        if file.endswith(b"train/bee/00.png"):
            last.unlink()
        return real(self, file, inside)

    with monkeypatch.context() as patch:
        patch.setattr(members.Members, "_read", removing)
        with pytest.raises(DataError, match=r"bee/02\.png: cannot be read \(No such file"):
            load(root, cache=False)

    def changing(path, size):
        last.write_bytes(png(77))
        return real_decode(path, size)

    last.write_bytes(png(78))
    real_decode = folders.decode_class_folders
    monkeypatch.setattr(folders, "decode_class_folders", changing)
    with pytest.raises(DataError, match="changed while it was read"):
        load(root)


@pytest.mark.row("D13")
def test_what_cannot_be_read_is_named(root, capsys, monkeypatch):
    real = os.open

    def denied(path, *rest, **more):
        if os.fsencode(path).endswith(b"02.png"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", denied)
        assert "ant/02.png: cannot be read (Permission denied)" in refused(capsys, root)
    with monkeypatch.context() as patch:
        real_scan = os.scandir

        def unlisted(path):
            if os.fsencode(path).endswith(b"bee"):
                raise PermissionError(13, "Permission denied", path)
            return real_scan(path)

        patch.setattr(os, "scandir", unlisted)
        assert "bee: cannot be read (Permission denied)" in refused(capsys, root)
    (root / "train" / "ant" / "a.png").mkdir()
    assert "ant/a.png: a folder with the name of an image" in refused(capsys, root)


@pytest.mark.row("D13")
def test_pipes_devices_and_endless_files_are_refused_unread(root, capsys, monkeypatch):
    os.mkfifo(root.parent / "pipe")
    assert "pipe: a pipe, socket, device" in refused(capsys, root.parent / "pipe")
    assert "/dev/zero: a pipe, socket, device" in refused(capsys, "/dev/zero")
    for kind in ("cifar10", "svhn"):
        assert "device" in refused(capsys, f"{kind}:/dev/zero")
    with open(root.parent / "sparse.tar", "wb") as file:
        file.truncate(10**12)
    assert "sparse.tar: more than 16 GB" in refused(capsys, root.parent / "sparse.tar")
    with open(root.parent / "sparse.tar", "r+b") as file:
        file.truncate(15 * 10**9)
    assert "sparse.tar: no images" in refused(capsys, root.parent / "sparse.tar")
    with open(root / "train" / "ant" / "03.png", "wb") as file:
        file.truncate(10**12)
    assert "03.png: more than 16 GB" in refused(capsys, root)
    (root / "train" / "ant" / "03.png").unlink()
    os.mkfifo(root / "train" / "ant" / "03.png")
    assert "03.png: a pipe" in refused(capsys, root)
    (root.parent / "pipes").mkdir()
    for name in ("x.tar.gz", "test_batch", "train_32x32.mat", "test_32x32.mat"):
        os.mkfifo(root.parent / "pipes" / name)
    for kind in ("cifar10", "svhn"):
        assert "a pipe" in refused(capsys, f"{kind}:{root.parent / 'pipes'}")


@pytest.mark.parametrize("data", ["x" * 5000, "~nobody-of-this-name/x", "/dev/null/x"])
def test_paths_that_cannot_be(capsys, data):
    refused(capsys, data)


# ---- parts ----


@pytest.mark.row("D18")
def test_images_in_both_parts_are_counted(root, told):
    for name in ("00.png", "01.png"):
        content = (root / "train" / "ant" / name).read_bytes()
        (root / "test" / "bee" / name).write_bytes(content)
    load(root)
    (line,) = told
    assert "warning: 2 of 6 test images are in the training part too" in line


@pytest.mark.row("D18")
def test_three_parts_ask_for_a_choice(tmp_path, capsys, told):
    root = class_folders(tmp_path / "three", parts=("train", "test", "val"))
    assert "test/, train/, val/: which is the test part?" in refused(capsys, root)
    load(class_folders(tmp_path / "two", parts=("train", "val")))
    assert told == [f"{tmp_path / 'two'}: val/ is the test part"]


def beside_the_parts(root):
    return class_folders(root, parts=("extra",))


def at_several_levels(root):
    (root / "train" / "ant" / "young").mkdir()
    (root / "train" / "ant" / "young" / "x.png").write_bytes(png(50))


def in_two_spellings(root):
    class_folders(root, parts=("Train",))


@pytest.mark.parametrize("change", [beside_the_parts, at_several_levels, in_two_spellings])
def test_folders_are_not_merged(root, capsys, change):
    change(root)
    assert "class folders in several places" in refused(capsys, root)


def test_parts_are_no_classes(tmp_path, capsys):
    root = class_folders(tmp_path / "set", parts=("",), classes=("train", "test"))
    assert "cannot be classes" in refused(capsys, root)


# ---- options and types ----


@pytest.mark.parametrize("size", ["0", "-3", "100000", "x"])
def test_image_sizes_that_cannot_be(root, capsys, size):
    said = refused(capsys, root, "--image-size", size, code=2)
    assert re.search("image.size", said)


def test_options_that_the_data_do_not_have(root, capsys):
    for flags in (["--image-size", 8], ["--data-name", "x"], ["--download"]):
        assert flags[0] in refused(capsys, "digits", *flags, code=2)
    assert "--download" in refused(capsys, root, "--download", code=2)
    assert "without a folder" in refused(capsys, "digits:x", code=2)
    assert "say where it lies" in refused(capsys, "cifar10:", code=2)
    assert "data must be" in refused(capsys, "", code=2)


def test_python_gets_our_errors(root):
    assert load(root).classes == ("ant", "bee")
    for wrong in (5, None, b"digits", ["digits"]):
        with pytest.raises(UsageError, match=r"data must be 'digits'.*not a "):
            load(wrong)  # type: ignore[arg-type]
    for options in ({"image_size": "8"}, {"image_size": True}, {"title": 5}, {"title": ""}):
        with pytest.raises(UsageError, match=next(iter(options))):
            load(root, **options)


def test_images_that_are_not_square_are_told(tmp_path, told):
    root = tmp_path / "wide"
    for c, name in enumerate(("ant", "bee")):
        (root / name).mkdir(parents=True)
        for i in range(3):
            values = np.full((4, 6, 3), 40 * c + i, np.uint8)
            (root / name / f"{i}.png").write_bytes(encoded(Image.fromarray(values), "PNG"))
    assert load(root).describe().size == (4, 6)
    assert "images of 6x4 pixels are used as they are; --image-size N crops" in told[-1]
    assert load(root, image_size=4).describe().size == (4, 4)
