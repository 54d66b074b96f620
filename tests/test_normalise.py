"""Contrast normalisation, whitening and borders, against numpy and the definitions."""

import numpy as np
import pytest
import torch

from residuum.data.augment import Pixels, crops_and_flips, crops_and_flips_of_batches
from residuum.data.augmentation import Augmentation
from residuum.data.images import Images
from residuum.data.normalise import EPSILON, Whitening, contrast_normalised, fit
from residuum.errors import UsageError


def images(n: int, seed: int = 0, size: int = 6) -> Images:
    """Neighbouring values are alike, as in photographs."""
    source = np.random.default_rng(seed)
    noise = source.normal(size=(n, size, size, 3))
    smooth = noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2) + noise.mean(3, keepdims=True)
    pixels = np.clip(128 + 25 * smooth, 0, 255).astype(np.uint8)
    return Images(torch.from_numpy(pixels), torch.arange(n) % 4)


def read(part: Images, normaliser) -> np.ndarray:
    x, _ = Pixels(part, normaliser, "cpu").batch(torch.arange(len(part)))
    return x.permute(0, 2, 3, 1).double().numpy().reshape(len(part), -1)


def textbook_contrast(part: Images) -> np.ndarray:
    flat = part.pixels.numpy().reshape(len(part), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    return 55 * flat / np.sqrt((flat**2).sum(1, keepdims=True))


def test_contrast_normalisation_is_the_textbook():
    part, other = images(50), images(20, seed=1)
    normaliser = fit(part, "gcn")
    for each in (part, other):
        np.testing.assert_allclose(read(each, normaliser), textbook_contrast(each), atol=1e-5)
    mean = textbook_contrast(part).mean(0)
    centred = fit(part, "gcn-pixel-mean")  # of the training part, for both
    np.testing.assert_allclose(read(other, centred), textbook_contrast(other) - mean, atol=1e-5)


def test_an_image_of_one_colour_stays_finite():
    flat = torch.full((2, 6, 6, 3), 77, dtype=torch.uint8)
    assert not contrast_normalised(flat).any()
    part = Images(torch.cat([flat, images(30).pixels]), torch.arange(32) % 4)
    assert np.isfinite(read(part, fit(part, "gcn-zca"))).all()


def test_whitened_training_images_have_the_covariance_one_up_to_epsilon():
    """In every direction of variance v it is v / (v + 0.1): 1 but for the smallest."""
    part = images(600)
    x, raw = read(part, fit(part, "gcn-zca")), textbook_contrast(part)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    variances, vectors = np.linalg.eigh(np.cov(raw.T, bias=True))
    variances = variances.clip(0)
    wanted = (vectors * (variances / (variances + EPSILON))) @ vectors.T
    found = np.cov(x.T, bias=True)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    large = vectors[:, variances > 1]  # nearly all of them
    assert large.shape[1] > 90
    along = large.T @ found @ large
    assert np.abs(along - np.eye(len(along))).max() < EPSILON


def test_the_test_part_is_whitened_by_the_training_part():
    part, other = images(300), images(40, seed=1)
    prepare = fit(part, "gcn-zca").prepare
    assert isinstance(prepare, Whitening)
    torch.testing.assert_close(prepare.matrix, prepare.matrix.T)  # ZCA, not PCA
    wanted = (textbook_contrast(other) - textbook_contrast(part).mean(0)) @ prepare.matrix.numpy()
    np.testing.assert_allclose(read(other, fit(part, "gcn-zca")), wanted, atol=1e-4)
    # an image is the same whatever part it comes in
    alone = read(other.first(1), fit(part, "gcn-zca"))
    np.testing.assert_allclose(alone[0], wanted[0], atol=1e-4)


def test_unknown_words_are_refused():
    with pytest.raises(UsageError, match="Did you mean 'gcn-zca'"):
        fit(images(4), "gcn-zcaa")  # type: ignore[arg-type]
    wrong = Augmentation(border="reflect")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"augmentation: border.*'reflection'"):
        Pixels(images(4), fit(images(4), "scale"), "cpu", wrong)


def test_scale_divides_by_255():
    part = images(9)
    flat = part.pixels.numpy().reshape(9, -1)
    np.testing.assert_allclose(read(part, fit(part, "scale")), flat / 255, atol=1e-7)


@pytest.mark.parametrize("kind", ["channel", "pixel-mean", "gcn-zca"])
@pytest.mark.parametrize("pads", [(4, 4), (2, 1), (0, 3)])
def test_reflection_equals_numpys(kind, pads):
    part = images(40)
    plan = Augmentation(pad=pads[0], pad_after=pads[1], border="reflection")
    normaliser = fit(part, kind)
    pixels, bare = Pixels(part, normaliser, "cpu", plan), Pixels(part, normaliser, "cpu")
    draws = crops_and_flips(plan, 0, 0, 40)
    found = pixels.batch(torch.arange(40), draws)[0].numpy()
    whole = bare.batch(torch.arange(40))[0].numpy()
    wide = np.pad(whole, ((0, 0), (0, 0), pads, pads), mode="reflect")
    for image, source, (top, left, flip) in zip(found, wide, draws.tolist(), strict=True):
        crop = source[:, top : top + 6, left : left + 6]
        np.testing.assert_array_equal(image, crop[..., ::-1] if flip else crop)
    assert draws[:, :2].max() == sum(pads)
    np.testing.assert_array_equal(pixels.batch(torch.arange(40))[0], whole)  # without draws


def test_one_crop_a_batch_and_half_of_it_flipped():
    plan = Augmentation(pad=3, per="batch")
    draws = crops_and_flips_of_batches(plan, 5, 1, 1000, 32)
    for part in draws.split(32):
        assert len(part[:, :2].unique(dim=0)) == 1
        assert part[:, 2].sum() == len(part) // 2
    assert draws[:, 0].unique().tolist() == list(range(7))
    assert len({tuple(part[:, 2].tolist()) for part in draws.split(32)}) == 32
    assert torch.equal(draws, crops_and_flips_of_batches(plan, 5, 1, 1000, 32))
    assert not torch.equal(draws, crops_and_flips_of_batches(plan, 5, 2, 1000, 32))
    still = Augmentation(pad=3, per="batch", flip=False)
    assert not crops_and_flips_of_batches(still, 5, 1, 100, 32)[:, 2].any()
