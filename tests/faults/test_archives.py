"""What is wrong with archives, pickles, arrays and labels: rows of the catalogue, injected."""

import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from test_data import cifar_batches, png

from residuum.data import members
from residuum.data.cifar_svhn import unpickle_arrays
from residuum.data.images import Images
from residuum.errors import DataError

from .test_data import refused

pytestmark = pytest.mark.usefixtures("no_hang")


# ---- archives ----


def tar_of(path, *infos):
    with tarfile.open(path, "w") as archive:
        for info in infos:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def member(name, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


HOSTILE = {
    "outside": member("../evil.png", size=4),
    "absolute": member("/abs/evil.png", size=4),
    "device": member("set/train/ant/x.png", tarfile.CHRTYPE),
    "pipe": member("set/train/ant/x.png", tarfile.FIFOTYPE),
    "link": member("set/train/ant/x.png", tarfile.SYMTYPE, link="/etc/passwd"),
    "hard link": member("set/train/ant/x.png", tarfile.LNKTYPE, link="../../x"),
}


@pytest.mark.row("D14")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_refused(tmp_path, capsys, name):
    archive = tar_of(tmp_path / "a.tar", HOSTILE[name])
    assert "outside" in (said := refused(capsys, archive)) or "link or device" in said
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.row("D14")
def test_bombs_and_damaged_archives_are_refused(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(members, "MOST_FILE_BYTES", 10**6)
    large = tar_of(tmp_path / "a.tar", member("set/ant/x.png", size=2 * 10**6))
    assert "x.png: more than" in refused(capsys, large)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/ant/x.png", bytes(2 * 10**6))
    assert "x.png: more than" in refused(capsys, tmp_path / "a.zip")
    monkeypatch.setattr(members, "MOST_TOTAL_BYTES", 10**6)
    beside = tar_of(tmp_path / "b.tar", member("set/notes.txt", size=2 * 10**6))
    assert "more than 16 GB" in refused(capsys, beside)
    monkeypatch.undo()
    with tarfile.open(tmp_path / "cut.tar.xz", "w:xz") as archive:
        archive.add(root, "set")
    whole = (tmp_path / "cut.tar.xz").read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(whole[: len(whole) // 2])
    assert "cut.tar.xz: not a readable" in refused(capsys, tmp_path / "cut.tar.xz")
    twice = tar_of(tmp_path / "twice.tar", *(member("ant/x.png") for _ in range(2)))
    assert "twice" in refused(capsys, twice)


@pytest.mark.row("D14")
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_corrupt_compressed_stream_is_refused(tmp_path, capsys, method):
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("ant/x.png", png(0, 40))
    content = bytearray(file.read_bytes())
    content[80:110] = bytes(byte ^ 0x55 for byte in content[80:110])
    file.write_bytes(content)
    assert "a.zip: a damaged zip archive" in refused(capsys, file)


@pytest.mark.row("D15")
@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_executes_nothing(tmp_path, monkeypatch, protocol):
    class Payload:
        def __reduce__(self):
            return (os.system, ("touch MARKER",))

    monkeypatch.chdir(tmp_path)
    for content in (
        Payload(),
        {"data": Payload()},
        [np.zeros(3), Payload()],
        print,
        np.array([Payload()], dtype=object),
    ):
        with pytest.raises(DataError, match=r"asks for|not a CIFAR batch|damaged"):
            unpickle_arrays(pickle.dumps(content, protocol), "batch")
    assert not (tmp_path / "MARKER").exists()


# ---- arrays and labels ----


@pytest.mark.row("D16", "D17")
def test_arrays_and_tables_are_no_data(tmp_path, capsys):
    for name, dtype in (("objects", object), ("numbers", float)):
        np.save(tmp_path / f"{name}.npy", np.full((4, 8, 8, 3), np.nan, dtype))
        assert "not a readable tar or zip" in refused(capsys, tmp_path / f"{name}.npy")
    (tmp_path / "labels.csv").write_text("file,label\na.png,0\nb.png\n")
    assert "not a readable tar or zip" in refused(capsys, tmp_path / "labels.csv")
    assert "no images" in refused(capsys, tmp_path)


@pytest.mark.row("D16", "D17")
def test_svhn_of_other_types_and_labels_is_refused(tmp_path, capsys):
    from scipy.io import savemat

    good = np.zeros((32, 32, 3, 2), np.uint8)
    cases = [(np.full((32, 32, 3, 2), np.nan), [1, 2]), (good[:, :, :1], [1, 2]), (good, [1])]
    cases += [(good, labels) for labels in ([0, 1], [1, 11], [1.5, 2], ["a", "b"])]
    for pixels, labels in cases:
        for part in ("train", "test"):
            savemat(tmp_path / f"{part}_32x32.mat", {"X": pixels, "y": np.array(labels)})
        assert "train_32x32.mat" in refused(capsys, f"svhn:{tmp_path}")


@pytest.mark.row("D17")
@pytest.mark.parametrize("label", ["cat", 1.0, True, None, -1, 10, 10**30, [1]])
def test_labels_that_are_not_classes_are_refused(tmp_path, capsys, label):
    for name, content in cifar_batches("cifar10").items():
        (tmp_path / name).write_bytes(content)
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, label]}
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps(batch))
    assert "data_batch_3: label" in refused(capsys, f"cifar10:{tmp_path}")
    batch["labels"] = [0]
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps(batch))
    assert "data_batch_3: 'labels' does not give one" in refused(capsys, f"cifar10:{tmp_path}")


@pytest.mark.row("D16", "D17")
def test_images_are_bytes_with_whole_labels():
    import torch

    pixels = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    for wrong in (pixels.float(), pixels[0], pixels.permute(0, 3, 1, 2), [1]):
        with pytest.raises(DataError, match="pixels must be"):
            Images(wrong, torch.zeros(2).long())  # type: ignore[arg-type]
    for wrong in (["ant", "bee"], torch.zeros(2), torch.zeros(3).long()):
        with pytest.raises(DataError, match="labels must be"):
            Images(pixels, wrong)  # type: ignore[arg-type]
