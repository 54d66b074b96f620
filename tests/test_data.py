"""Reading images, refusing what is broken, randomness as a function of (seed, epoch, index)."""

import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from residuum.data import load
from residuum.data.augment import Pixels, crops_and_flips, order
from residuum.data.augmentation import Augmentation
from residuum.data.decode import decode
from residuum.data.images import Images, split
from residuum.data.normalise import fit
from residuum.errors import DataError, UsageError


def png(seed: int, size: int = 6) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def class_folders(root, parts=("train", "test"), n=3, classes=("ant", "bee"), size=6):
    for p, part in enumerate(parts):
        for c, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(n):
                (folder / f"{i:02d}.png").write_bytes(png(100 * p + 10 * c + i, size))
    return root


def test_folder_tar_and_zip_are_the_same_data(tmp_path):
    root = class_folders(tmp_path / "set")
    with tarfile.open(tmp_path / "set.tar.xz", "w:xz") as archive:
        archive.add(root, "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted(root.rglob("*.png"), reverse=True):
            archive.write(file, file.relative_to(tmp_path))
    found = [load(str(p)) for p in (root, tmp_path / "set.tar.xz", tmp_path / "set.zip")]
    assert len({d.describe().digest for d in found}) == 1
    data = found[0]
    assert data.classes == ("ant", "bee")
    assert (len(data.train), len(data.test), data.size) == (6, 6, 6)
    assert np.array_equal(data.train.pixels[0].numpy(), decode(png(0), "x"))
    assert not torch.equal(data.train.pixels, data.test.pixels)


def test_without_parts_a_fifth_is_held_out_and_disjoint(tmp_path):
    root = class_folders(tmp_path / "set", parts=("",), n=10)
    data = load(str(root))
    assert (len(data.train), len(data.test)) == (16, 4)
    rows = {p.numpy().tobytes() for p in data.train.pixels}
    assert not rows & {p.numpy().tobytes() for p in data.test.pixels}


def test_images_of_several_sizes_are_refused(tmp_path):
    root = class_folders(tmp_path / "set")
    (root / "train" / "ant" / "00.png").write_bytes(png(1, 9))
    with pytest.raises(DataError, match=r"2 sizes \(6x6, 9x9.*--image-size"):
        load(root)


def test_other_bad_sources(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        load("digitz")
    with pytest.raises(UsageError, match="cifar10:FOLDER"):
        load("cifar10")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        load(str(tmp_path / "empty"))
    with pytest.raises(DataError, match="only one class"):
        load(str(class_folders(tmp_path / "one", classes=("ant",))))
    with pytest.raises(DataError, match="without its counterpart"):
        load(str(class_folders(tmp_path / "half", parts=("train",))))
    (tmp_path / "junk.tar.xz").write_bytes(b"junk" * 100)
    with pytest.raises(DataError, match=r"junk\.tar\.xz"):
        load(str(tmp_path / "junk.tar.xz"))


# ---- published archives ----


def cifar_batches(kind: str, protocol: int = 2) -> dict[str, bytes]:
    source = np.random.default_rng(0)

    def batch(n, **labels):
        return pickle.dumps(
            {"data": source.integers(0, 256, (n, 3072), dtype=np.uint8)} | labels, protocol
        )

    if kind == "cifar10":
        files = {f"data_batch_{i}": batch(4, labels=[0, 1, 2, 3]) for i in range(1, 6)}
        return files | {
            "test_batch": batch(4, labels=[3, 2, 1, 0]),
            "batches.meta": pickle.dumps({"label_names": list("abcdefghij")}, protocol),
        }
    return {
        "train": batch(6, fine_labels=[0, 1, 2, 3, 4, 99], coarse_labels=[0] * 6),
        "test": batch(2, fine_labels=[5, 6]),
        "meta": pickle.dumps({"fine_label_names": [str(i) for i in range(100)]}, protocol),
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_cifar_archive_and_folder(tmp_path, kind, protocol):
    files = cifar_batches(kind, protocol)
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            (tmp_path / "in" / name).write_bytes(content)
            archive.add(tmp_path / "in" / name, f"batches/{name}")
    folder = load(f"{kind}:{tmp_path / 'in'}")
    archive = load(f"{kind}:{tmp_path / 'cifar.tar.gz'}")
    assert folder.describe() == archive.describe()
    raw = pickle.loads(files["data_batch_1" if kind == "cifar10" else "train"])["data"][0]
    assert folder.train.pixels[0, 1, 2].tolist() == [raw[34], raw[1024 + 34], raw[2048 + 34]]
    assert len(folder.classes) == (10 if kind == "cifar10" else 100)


def test_missing_and_wrong_cifar_files(tmp_path):
    with pytest.raises(DataError, match="--download"):
        load(f"cifar10:{tmp_path}")
    files = cifar_batches("cifar10")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "data_batch_3").unlink()
    with pytest.raises(DataError, match="data_batch_3"):
        load(f"cifar10:{tmp_path}")
    (tmp_path / "data_batch_3").write_bytes(
        pickle.dumps({"data": np.zeros((4, 10), np.uint8), "labels": [0] * 4})
    )
    with pytest.raises(DataError, match=r"data_batch_3.*3072"):
        load(f"cifar10:{tmp_path}")
    (tmp_path / "data_batch_3").write_bytes(
        pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [10]})
    )
    with pytest.raises(DataError, match="label 10"):
        load(f"cifar10:{tmp_path}")


def test_svhn(tmp_path):
    from scipy.io import savemat

    source = np.random.default_rng(0)
    for part, n in (("train", 5), ("test", 3)):
        pixels = source.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
        savemat(
            tmp_path / f"{part}_32x32.mat", {"X": pixels, "y": np.array([[10]] + [[1]] * (n - 1))}
        )
    data = load(f"svhn:{tmp_path}")
    assert data.train.labels.tolist() == [0, 1, 1, 1, 1]
    assert torch.equal(data.test.pixels[2], torch.from_numpy(pixels[..., 2].copy()))
    (tmp_path / "test_32x32.mat").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="test_32x32"):
        load(f"svhn:{tmp_path}")


# ---- order, augmentation, normalisation ----


def some_images(n=20, size=8, seed=0) -> Images:
    source = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, generator=source)
    return Images(pixels, torch.arange(n) % 4)


def test_order_is_a_permutation_and_a_function():
    assert sorted(order(0, 3, 50).tolist()) == list(range(50))
    assert torch.equal(order(0, 3, 50), order(0, 3, 50))
    assert not torch.equal(order(0, 3, 50), order(0, 4, 50))
    assert not torch.equal(order(0, 3, 50), order(1, 3, 50))


@pytest.mark.row("T20")
def test_augmentation_depends_on_seed_epoch_and_index_alone():
    images = some_images()
    pixels = Pixels(images, fit(images, "channel"), "cpu", Augmentation())
    draws = crops_and_flips(Augmentation(), 7, 2, 20)
    whole = pixels.batch(torch.arange(20), draws)[0]
    some = torch.tensor([13, 4, 19])
    assert torch.equal(pixels.batch(some, draws[some])[0], whole[some])
    assert not torch.equal(
        crops_and_flips(Augmentation(), 7, 2, 20), crops_and_flips(Augmentation(), 7, 3, 20)
    )


def test_crop_and_flip_equal_a_plain_computation():
    images = some_images()
    said, draws = fit(images, "pixel"), torch.tensor([[0, 4, 1], [3, 1, 0], [2, 2, 1]])
    pixels = Pixels(images, said, "cpu", Augmentation(pad=2))
    found, _ = pixels.batch(torch.tensor([5, 6, 7]), draws)
    for image, index, (top, left, flip) in zip(found, (5, 6, 7), draws.tolist(), strict=True):
        normalised = (images.pixels[index].float() - said.mean) / said.std
        wide = torch.nn.functional.pad(normalised.permute(2, 0, 1), [2] * 4)
        crop = wide[:, top : top + 8, left : left + 8]
        torch.testing.assert_close(image, crop.flip(2) if flip else crop)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_draws_cover_their_range_evenly():
    draws = crops_and_flips(Augmentation(pad=1, flip=True), 0, 0, 9000)
    for column, values in ((0, 3), (1, 3), (2, 2)):
        counts = draws[:, column].bincount()
        assert len(counts) == values
        assert (counts - 9000 / values).abs().max() < 5 * (9000 / values) ** 0.5
    assert not crops_and_flips(Augmentation(pad=1, flip=False), 0, 0, 100)[:, 2].any()


@pytest.mark.parametrize("kind", ["channel", "pixel", "pixel-mean"])
def test_normalised_images_have_the_statistics_they_should(kind):
    images = some_images(50)
    x = Pixels(images, fit(images, kind), "cpu").batch(torch.arange(50))[0].double()
    if kind == "channel":
        torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            x.var((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-4, rtol=0
        )
    else:
        torch.testing.assert_close(x.mean(0), torch.zeros(3, 8, 8).double(), atol=1e-5, rtol=0)
    if kind == "pixel":
        # of the values before the mean image is subtracted, as the code of Huang et al. has it
        scale = images.pixels.double().std(correction=0).item() / 255
        other = Pixels(images, fit(images, "pixel-mean"), "cpu").batch(torch.arange(50))[0]
        torch.testing.assert_close(x * scale, other.double(), atol=1e-6, rtol=1e-5)


def test_split_is_stratified():
    train, test = split(some_images(40), 0, 0.25)
    assert test.labels.bincount().tolist() == [2, 2, 2, 2]
    assert len(train) == 32


def test_digits_are_the_published_ones():
    from sklearn.datasets import load_digits

    data, bunch = load("digits"), load_digits()
    assert (len(data.train), len(data.test), data.size) == (899, 898, 8)
    rows = {
        (p.tobytes(), int(t))
        for p, t in zip(
            np.rint(bunch.images * 255 / 16).astype(np.uint8), bunch.target, strict=True
        )
    }
    for part in (data.train, data.test):
        assert all(
            (p[..., 0].numpy().tobytes(), int(t)) in rows
            for p, t in zip(part.pixels, part.labels, strict=True)
        )
