"""What happens to a network once it is trained: precise statistics, several looks, ensembles."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import lively
from test_cli import call
from torch import nn

import residuum
from residuum.data import load
from residuum.data.augment import Pixels
from residuum.data.normalise import fit
from residuum.errors import UsageError
from residuum.presets import preset
from residuum.subjects.trained import open_trained
from residuum.training import Machine, Recipe, Run, find_recipe, precise_bn, train
from residuum.training.precise import drawn, replace_statistics
from residuum.training.testing import at_sizes, probabilities, ten_crops

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)


@pytest.fixture(scope="module")
def data():
    return load("digits")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Of two seeds; of a network of one size; and one trained on images that were not padded."""
    folder = tmp_path_factory.mktemp("runs")
    quick = {"epochs": 1, "batch_size": 128}
    for seed in (0, 1):
        residuum.train("preresnet8", seed=seed, output=folder / f"{seed}", **quick)
    residuum.train("vgg15", output=folder / "vgg", epochs=1, batch_size=449)
    words = 'name = "mine"\nlength = 1\n[augmentation]\npad = 0\n'
    (folder / "mine.toml").write_text(words)
    recipe = str(folder / "mine.toml")
    residuum.train("preresnet8", recipe=recipe, output=folder / "bare", **quick)
    return folder


# ---- precise statistics ----


def normalisations(network):
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]


def statistics_of(network):
    return [(m.running_mean.clone(), m.running_var.clone()) for m in normalisations(network)]


def taken_in(network, batches):
    """What every normalisation is given in one pass, all of it, in float64."""
    network.train()
    seen = {m: [] for m in normalisations(network)}
    hooks = [
        m.register_forward_pre_hook(lambda m, given: seen[m].append(given[0].double()))
        for m in seen
    ]
    with torch.no_grad():
        for batch in batches:
            network(batch)
    for hook in hooks:
        hook.remove()
    whole = [torch.cat(parts).transpose(0, 1).flatten(1) for parts in seen.values()]
    return [(x.mean(1), x.var(1)) for x in whole]


@pytest.mark.parametrize("name", ["preresnet20", "vgg15"])
@pytest.mark.parametrize("sizes", [(60,), (20, 20, 13, 7)])
def test_precise_statistics_are_those_of_one_pass(name, sizes):
    options = {"size": 8} if name == "vgg15" else {}
    network, other = (lively(preset(name, seed=0, **options)) for _ in range(2))
    batches = torch.randn(60, 3, 8, 8, generator=torch.Generator().manual_seed(0)).split(sizes)
    counters = [m.num_batches_tracked.clone() for m in normalisations(network)]
    weights = {k: v.clone() for k, v in network.named_parameters()}
    replace_statistics(network, batches)
    expected = taken_in(other, batches)
    for (mean, variance), (true_mean, true_variance) in zip(
        statistics_of(network), expected, strict=True
    ):
        torch.testing.assert_close(mean.double(), true_mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(variance.double(), true_variance, rtol=1e-4, atol=1e-6)
    assert all(torch.equal(v, weights[k]) for k, v in network.named_parameters())
    kept = zip(normalisations(network), counters, strict=True)
    assert all(torch.equal(m.num_batches_tracked, counter) for m, counter in kept)
    assert not any(m.training or not m.track_running_stats for m in normalisations(network))


def test_one_batch_is_what_torch_takes_with_momentum_1(data):
    network, other = (lively(preset("preresnet8", seed=0)) for _ in range(2))
    precise_bn(network, data, 200, seed=3)
    for layer in normalisations(other):
        layer.momentum = 1.0
    pixels = Pixels(data.train, fit(data.train, "channel"), "cpu")
    (batch,) = drawn(pixels, 200, 3)
    assert len(batch) == 200
    assert len(batch.flatten(1).unique(dim=0)) > 190  # without replacement
    other.train()(batch)
    for ours, theirs in zip(statistics_of(network), statistics_of(other), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_dropout_draws_nothing_while_statistics_are_taken():
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2))
    x = torch.randn(30, 3, 4, 4)
    network.train()
    replace_statistics(network, [x])
    torch.testing.assert_close(network[1].running_mean, x.mean((0, 2, 3)))
    assert network.training  # as it was


def test_a_recipe_ends_with_precise_statistics(data, tmp_path):
    plain = replace(find_recipe("digits").shortened(1), batch_size=128)
    precise = replace(plain, precise_statistics=300)
    assert "precise_statistics" not in plain.meaning()
    assert precise.meaning()["precise_statistics"] == 300
    runs = [
        train(preset("preresnet8", seed=0), data, recipe, tmp_path / str(i), CPU)
        for i, recipe in enumerate((plain, precise, precise))
    ]
    without, found, again = (run.weights() for run in runs)
    moved = [k for k in found if not torch.equal(found[k], without[k])]
    assert moved
    assert all("running" in k for k in moved)
    assert all(torch.equal(found[k], again[k]) for k in found)
    network = preset("preresnet8", seed=1)
    network.load_state_dict(without)
    precise_bn(network, data, 300)
    assert all(torch.equal(network.state_dict()[k], found[k]) for k in found)
    assert runs[1].outcome.last.test_error == pytest.approx(error_of(network.eval(), data))
    assert runs[1].outcome.last.test_error != runs[0].outcome.last.test_error


def error_of(network, data):
    pixels = Pixels(data.test, fit(data.train, "channel"), "cpu")
    x, y = pixels.batch(torch.arange(len(pixels)))
    with torch.no_grad():
        return float((network(x).argmax(1) != y).double().mean())


def test_statistics_that_cannot_be_taken_are_refused_before_training(data, tmp_path):
    recipe = replace(find_recipe("digits"), precise_statistics=5000)
    with pytest.raises(UsageError, match="5000 images: must be 2 to 899"):
        train(preset("preresnet8", seed=0), data, recipe, tmp_path / "run", CPU)
    bare = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    with pytest.raises(UsageError, match="no batch normalisation"):
        train(bare, data, replace(recipe, precise_statistics=50), tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="precise_statistics"):
        Recipe("mine", 1, precise_statistics=0)


# ---- several looks ----


def test_ten_crops_are_corners_centre_and_mirrored():
    images = torch.arange(2 * 3 * 8 * 8.0).reshape(2, 3, 8, 8)
    crops = [look(images) for look in ten_crops(5)]
    assert len(crops) == 10
    assert {c.shape for c in crops} == {(2, 3, 5, 5)}
    for number, (top, left) in enumerate([(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]):
        crop = images[:, :, top : top + 5, left : left + 5]
        assert torch.equal(crops[2 * number], crop)
        assert torch.equal(crops[2 * number + 1], crop.flip(3))
    padded = [look(images) for look in ten_crops(8, pad=1)]
    assert torch.equal(padded[8], images)  # the centre
    assert torch.equal(padded[0][:, :, 1:, 1:], images[:, :, :-1, :-1])
    assert not padded[0][:, :, 0].any()


def test_looks_are_averaged_as_probabilities():
    network = lively(preset("preresnet8", seed=0))
    images = torch.randn(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = network(images)
        one = probabilities(network, images)
        torch.testing.assert_close(one.float(), torch.softmax(logits, 1))
        assert torch.equal(one.argmax(1), logits.argmax(1))
        crops = torch.stack([network(look(images)) for look in ten_crops(6)])
        both = torch.softmax(crops, 2).mean(0)
        torch.testing.assert_close(probabilities(network, images, ten_crops(6)).float(), both)
        small = nn.functional.interpolate(images, (6, 6), mode="bilinear", antialias=True)
        sizes = (torch.softmax(logits, 1) + torch.softmax(network(small), 1)) / 2
        found = probabilities(network, images, at_sizes([8, 6]))
        torch.testing.assert_close(found.float(), sizes)


def test_an_ensemble_averages_the_probabilities_of_its_runs(capsys, runs, data):
    folders = [runs / "0", runs / "1"]
    found = json.loads(call(capsys, "eval", *folders, "--json")[1])
    labels, mean = data.test.labels, 0
    for folder, member in zip(folders, found["members"], strict=True):
        subject = open_trained(Run.open(folder), data)
        mean = mean + probabilities(subject.network, subject.test()[0])
        alone = residuum.evaluate(folder)
        assert (member["error"], tuple(member["interval"])) == (alone.error, alone.interval)
        assert alone.members == ()
        assert alone.error == pytest.approx(Run.open(folder).outcome.last.test_error)
    assert found["error"] == float((mean.argmax(1) != labels).double().mean())
    assert found["interval"][0] < found["error"] < found["interval"][1]
    assert found["n"] == 898
    text = call(capsys, "eval", *folders)[1]
    assert "2 runs together on digits: error" in text
    assert len(text.splitlines()) == 4


def test_eval_with_several_looks(capsys, runs, told, data):
    subject = open_trained(Run.open(runs / "0"), data)
    images, labels = subject.test()
    for arguments, looks, words in (
        (["--crops", "ten"], ten_crops(8, 1), "ten crops of 8 pixels of images padded by 1"),
        (["--crops", "ten", "--crop-size", 6], ten_crops(6), "ten crops of 6 pixels"),
        (["--scales", 8, "--scales", 12], at_sizes([8, 12]), "images of 8, 12 pixels"),
    ):
        found = json.loads(call(capsys, "eval", runs / "0", *arguments, "--json")[1])
        expected = probabilities(subject.network, images, looks).argmax(1) != labels
        assert found["error"] == float(expected.double().mean())
        assert found["looks"] == f"mean over {words}"
    assert "images of 8, 12 pixels" in call(capsys, "eval", runs / "0", *arguments)[1]
    assert any("without mirrored images" in line for line in told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0", "0"], "given twice"),
        (["0", "--crops", "ten", "--crop-size", 9], "larger than the images, 8 pixels"),
        (["0", "--crop-size", 6], "--crops ten"),
        (["0", "--crops", "ten", "--scales", 6], "not both"),
        (["0", "--scales", 6, "--scales", 6], "given twice among"),
        (["vgg", "--scales", 12], "built for 8x8 pixels and takes no 12"),
        (["vgg", "--crops", "ten", "--crop-size", 6], "built for 8x8 pixels and takes no 6"),
        (["bare", "--crops", "ten"], "Say a smaller --crop-size"),
    ],
)
def test_looks_that_cannot_be_are_refused(capsys, runs, arguments, message):
    folder, *rest = [runs / a if a in ("0", "vgg", "bare") else a for a in arguments]
    code, out, err = call(capsys, "eval", folder, *rest)
    assert (code, out) == (2, "")
    assert message in err
