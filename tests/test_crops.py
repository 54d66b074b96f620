"""Resized crops and varied colours, against the same computed plainly."""

from dataclasses import replace

import pytest
import torch

from residuum.data import load
from residuum.data.augmentation import Augmentation, ResizedCrop, ScaledCrop
from residuum.data.crops import CroppedPixels, draws_of_crops, jittered, pixels_of
from residuum.data.images import Dataset, Images
from residuum.data.normalise import fit
from residuum.errors import UsageError
from residuum.presets import preset
from residuum.training import RECIPES, Machine, find_recipe, train
from residuum.training.distributed import Team
from residuum.training.loop import Trainer

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)
PLAIN = ResizedCrop(24, jitter=0.0, lighting=0.0)


def images(n=12, height=40, width=32) -> Images:
    source = torch.Generator().manual_seed(0)
    shape = (n, height, width, 3)
    return Images(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=source), torch.arange(n) % 4
    )


def cropped(crop, part=None, kind="scale") -> CroppedPixels:
    part = part or images()
    return pixels_of(part, fit(part, kind), "cpu", crop=crop)  # type: ignore[return-value]


@pytest.mark.parametrize("crop", [ResizedCrop(24), ScaledCrop(24, (28, 50)), PLAIN])
def test_crops_depend_on_seed_epoch_and_index_alone(crop):
    pixels, draws = cropped(crop), draws_of_crops(7, 2, 12)
    whole = pixels.batch(torch.arange(12), draws)[0]
    some = torch.tensor([9, 4, 11])
    assert torch.equal(pixels.batch(some, draws[some])[0], whole[some])
    assert whole.shape == (12, 3, 24, 24)
    assert whole.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(draws, draws_of_crops(7, 2, 12))
    assert not torch.equal(draws, draws_of_crops(7, 3, 12))
    empty = pixels.batch(torch.arange(0), draws[:0])
    assert empty[0].shape == (0, 3, 24, 24)


def test_boxes_have_the_areas_and_shapes_they_should():
    pixels = cropped(PLAIN, images(2, 200, 200))
    boxes = torch.tensor([pixels.box(row) for row in draws_of_crops(0, 0, 4000).tolist()]).double()
    top, left, height, width = boxes.unbind(1)
    assert ((top >= 0) & (left >= 0) & (top + height <= 200) & (left + width <= 200)).all()
    share = height * width / 200**2
    assert share.min() > 0.078
    assert share.max() > 0.98
    assert abs(share[share < 0.5].mean() - 0.29) < 0.02  # uniform where every shape fits
    ratio = width / height
    assert ratio.min() > (3 / 4) ** 2 * 0.95
    assert ratio.max() < (4 / 3) ** 2 * 1.05
    assert abs((ratio > 1).double().mean() - 0.5) < 0.05
    assert top.min() == left.min() == 0


def test_what_never_fits_is_cropped_from_the_centre():
    pixels = cropped(PLAIN, images(2, 400, 24))
    row = draws_of_crops(0, 0, 1)[0]
    row[:50] = 0.999  # nearly the whole area, so wider than the image
    assert pixels.box(row.tolist()) == pixels.centre() == (189, 1, 21, 21)


def test_boxes_of_scaled_images():
    pixels = cropped(ScaledCrop(24, (28, 50)))
    sides = {pixels.box(row)[2] for row in draws_of_crops(0, 0, 2000).tolist()}
    assert (min(sides), max(sides)) == (round(24 * 32 / 50), round(24 * 32 / 28))
    for top, left, height, width in map(pixels.box, draws_of_crops(1, 0, 500).tolist()):
        assert height == width
        assert 0 <= top <= 40 - height
        assert 0 <= left <= 32 - width


def test_the_test_part_is_the_centre_untouched():
    part = images(5, 256, 300)
    found, labels = cropped(ResizedCrop(), part).batch(torch.arange(5))
    centre = part.pixels[:, 16:240, 38:262].permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(found, centre, rtol=0, atol=1e-6)
    assert torch.equal(labels, part.labels)


def test_a_crop_is_the_box_resized_and_flipped():
    part, draws = images(), draws_of_crops(3, 0, 12)
    pixels = cropped(PLAIN, part)
    found = pixels.batch(torch.arange(12), draws)[0]
    for image, source, row in zip(found, part.pixels, draws, strict=True):
        top, left, height, width = pixels.box(row.tolist())
        box = source[top : top + height, left : left + width].permute(2, 0, 1).float()[None] / 255
        wanted = torch.nn.functional.interpolate(box, (24, 24), mode="bicubic", antialias=True)[0]
        wanted = wanted.flip(2) if row[50] < 0.5 else wanted
        torch.testing.assert_close(image, wanted, atol=1e-5, rtol=0)


def test_colours_vary_as_written_and_as_torchvisions():
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    x = 0.4 + 0.2 * torch.rand(6, 3, 5, 5)  # so that nothing of torchvision's is clipped
    alphas = 0.6 + 0.8 * torch.rand(6, 3)
    orders = torch.tensor([[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0]])
    adjust = [
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
    ]
    found = jittered(x, alphas, orders)
    for image, alpha, order, made in zip(x, alphas, orders, found, strict=True):
        for kind in order.tolist():
            image = adjust[kind](image, alpha[kind].item())
        torch.testing.assert_close(made, image, atol=1e-3, rtol=0)  # its greys have four digits


def test_lighting_adds_one_colour_to_each_image():
    part, draws = images(), draws_of_crops(0, 0, 12)
    bright = cropped(ResizedCrop(24, jitter=0.0, lighting=0.1), part)
    bare = cropped(PLAIN, part)
    added = bright.batch(torch.arange(12), draws)[0] - bare.batch(torch.arange(12), draws)[0]
    colour = added.mean((2, 3))
    torch.testing.assert_close(added, colour[:, :, None, None].expand_as(added), atol=1e-5, rtol=0)
    a, b, c = (0.1 * draws[4, -3:]).tolist()
    red = -0.5675 * 0.2175 * a + 0.7192 * 0.0188 * b + 0.4009 * 0.0045 * c
    assert colour[4, 0].item() == pytest.approx(red, abs=1e-5)


def test_bad_choices_are_refused_before_any_work(tmp_path):
    digits = load("digits")
    few = Dataset("digits", digits.train.first(300), digits.test.first(10), digits.classes)
    network = preset("preresnet8", 10, 0)
    for name, message in (
        ("imagenet-fb", r"8x8 pixels are smaller than the recipe's crop, 224 .*--image-size 256"),
        ("sd-cifar", r"300 training images are too few to hold out 5000"),
    ):
        with pytest.raises(UsageError, match=message):
            train(network, few, RECIPES[name], tmp_path / name, CPU)
        assert not (tmp_path / name).exists()
    for wrong in (
        {"augmentation": Augmentation()},
        {"normalisation": "gcn-zca"},
        {"normalisation": "pixel-mean"},
    ):
        with pytest.raises(UsageError, match="crop"):
            replace(RECIPES["imagenet-fb"], **wrong)
    with pytest.raises(UsageError, match="shortest must rise"):
        ScaledCrop(224, (200, 300))
    with pytest.raises(UsageError, match="resized crop: jitter"):
        ResizedCrop(jitter=1.5)


@pytest.mark.parametrize("crop", [ResizedCrop(6), ScaledCrop(6, (7, 9))])
def test_a_network_trains_on_crops(crop):
    digits = load("digits")
    data = Dataset("digits", digits.train.first(100), digits.test.first(40), digits.classes)
    recipe = replace(find_recipe("digits"), batch_size=25, augmentation=None, crop=crop)
    through, fresh = (Trainer(preset("preresnet8", 10, 0), data, recipe, CPU, Team()) for _ in "ab")
    for _ in range(3):
        through.advance()
    fresh.step = 3
    assert torch.equal(through.batch()[0], fresh.batch()[0])
    assert through.batch()[0].shape == (25, 3, 6, 6)
    assert through.evaluate().n == 40
