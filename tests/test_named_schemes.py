"""LSUV, companion losses, hints and distillation, Swapout's sampling: the defining law of each."""

import os
import signal
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import convolution, headed, image_batch, labels
from msgspec import structs
from torch import nn

from benchmarks.kill_resume import digest
from residuum.cli import main
from residuum.data import load
from residuum.data.images import Dataset
from residuum.errors import CheckpointError, Interrupted, NumericError, UsageError
from residuum.machine import Machine
from residuum.networks.stacks import vgg
from residuum.parts.merges import Gate
from residuum.parts.wrappers import Companion, Noisy, Weighted, sampled
from residuum.presets import find, preset
from residuum.task import CLASSIFICATION, SquaredHinge
from residuum.training import About, Run, find_recipe, recipe_from_file, train
from residuum.training.distributed import Team
from residuum.training.loop import Trainer
from residuum.training.schemes import Companions, Hints, Lsuv
from residuum.training.schemes.scheme import ADDED
from residuum.training.schemes.taught import Taught
from residuum.training.testing import noisy_probabilities
from residuum.units import ResidualUnit, Row

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load("digits")
    return Dataset("digits", digits.train.first(96), digits.test.first(20), digits.classes)


def recipe(epochs: int = 2, **changes):
    return replace(find_recipe("digits").shortened(epochs), batch_size=32, **changes)


def interrupted(monkeypatch, step, *arguments, **words):
    """A training that is told to end after this step, and has saved."""
    real = Trainer.advance

    def advance(self):
        real(self)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", advance)
        with pytest.raises(Interrupted):
            train(*arguments, **words)


def test_recipe_files_name_every_scheme(tmp_path):
    file = tmp_path / "recipe.toml"
    for kind, more, wanted in (
        ("lsuv", "tolerance = 0.1", Lsuv(0.1)),
        ("companions", 'length = 4\ncompanion = "softmax"', Companions(4, "softmax")),
        ("hints", "temperature = 2.0", Hints(temperature=2.0)),
    ):
        head = 'name = "own"\nlength = 9\n[scheme]\n'
        file.write_text(f'{head}kind = "{kind}"\n{more}\n')
        assert recipe_from_file(file).scheme == wanted
        file.write_text(f'{head}kind = "{kind}s"\n{more}\n')
        with pytest.raises(UsageError, match=f"unknown word '{kind}s'.*'{kind}'"):
            recipe_from_file(file)
    file.write_text(f'{head}kind = "lsuv"\nmean = true\n')
    with pytest.raises(UsageError, match="unknown word 'mean'"):
        recipe_from_file(file)


# ---- LSUV ----


def variances(network, images) -> dict[str, float]:
    """Of what each layer gives, in evaluation mode."""
    found: dict[str, float] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):

            def note(_, __, output, name=name):
                found[name] = output.var(correction=0).item()

            layer.register_forward_hook(note)
    with torch.no_grad():
        network.eval()(images)
    return found


@pytest.mark.parametrize(
    ("scheme", "tolerance"),
    [(Lsuv(), 0.02), (Lsuv(1e-4, 10), 1e-4), (Lsuv(0.1, 10, "deviation"), 0.21)],
)
def test_every_layer_gives_unit_variance_on_that_batch(scheme, tolerance):
    torch.manual_seed(0)
    network = vgg(10, width=8, size=16)
    nn.init.constant_(network.units[3].branch[0].weight, 0.3)  # as bad as can be
    before, images = variances(network, image_batch(8)), image_batch(8)
    assert max(abs(v - 1) for v in before.values()) > 0.5
    scheme.prepare(network, (images, labels(8)))
    after = variances(network, images)
    assert len(after) == 15
    assert all(abs(v - 1) <= tolerance for v in after.values())


def test_weights_are_orthonormal_up_to_their_scale_and_the_bias_stays():
    torch.manual_seed(0)
    gate = ResidualUnit(convolution(8, 8), merge=Gate(convolution(8, 8, -2.0)))
    network = headed([gate], 8).train()
    wanted = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    Lsuv().prepare(network, (image_batch(8), labels(8)))
    for layer in wanted:
        rows = layer.weight.detach().flatten(1)
        scale = rows.square().sum(1).mean()
        torch.testing.assert_close(rows @ rows.T / scale, torch.eye(len(rows)), atol=1e-5, rtol=0)
    assert set(gate.merge.transform[2].bias.tolist()) == {-2.0}
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())


def test_the_ports_shift_brings_the_mean_to_zero():
    layer = nn.Linear(6, 4)
    nn.init.constant_(layer.bias, 3.0)
    x = torch.randn(50, 6) + 1
    Lsuv(centre=True).prepare(nn.Sequential(layer), (x, labels(50)))
    assert layer(x).mean(0).abs().max().item() < 0.2 * layer(x).std().item()


def test_a_layer_that_gives_a_constant_is_named():
    network = headed([ResidualUnit(nn.Sequential(convolution(8, 8), nn.Threshold(1e9, 0.0)))], 8)
    network.stem.append(nn.Threshold(1e9, 0.0))
    with pytest.raises(NumericError, match=r"units\.0\.branch\.0\.2 has variance 0"):
        Lsuv().prepare(network, (image_batch(4), labels(4)))


# ---- companions ----


def supervised(seed: int = 0):
    torch.manual_seed(seed)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    units = [ResidualUnit(Companion(convolution(8, 8), head)), ResidualUnit(convolution(8, 8))]
    return headed(units, 8)


def test_the_deployed_pass_is_unchanged_by_companions():
    network, bare = supervised(), supervised()
    for unit in bare.units:
        unit.branch = getattr(unit.branch, "road", unit.branch)
    for mode in (True, False):
        assert torch.equal(network.train(mode)(image_batch()), bare.train(mode)(image_batch()))
    assert network.units[0].branch.logits.shape == (6, 10)


@pytest.mark.parametrize("companion", ["squared-hinge", "softmax"])
def test_the_gradient_is_that_of_the_sum_of_losses(companion):
    network, x, y = supervised().train(), image_batch(), labels()
    scheme = Companions(3, companion, weight=0.7)
    losses, right = scheme.loss(network, (x, y), 2)
    losses.sum().backward()
    found = [p.grad.clone() for p in network.parameters()]
    assert network.units[0].branch.logits is None
    network.zero_grad()
    output = network(x)
    logits = network.units[0].branch.logits
    if companion == "softmax":
        beside = F.cross_entropy(logits, y, reduction="sum")
    else:
        signs = torch.full((6, 10), -1.0).scatter(1, y[:, None], 1.0)
        beside = torch.relu(1 - signs * logits).pow(2).sum()
    (F.cross_entropy(output, y, reduction="sum") + 0.7 * beside).backward()
    for gradient, parameter in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
    assert torch.equal(right, output.argmax(1) == y)


def test_companions_are_there_for_their_time_only():
    network, batch = supervised().train(), (image_batch(), labels())
    scheme = Companions(3)
    late, _ = scheme.loss(network, batch, 3.0)
    torch.testing.assert_close(late, CLASSIFICATION.loss(network(batch[0]), batch[1]))
    assert [scheme.restarts(t) for t in (2.9, 3.0, 3.1)] == [False, True, False]
    assert Companions(3, output="squared-hinge").task == SquaredHinge()
    assert replace(find_recipe("digits"), scheme=scheme).shortened(60).scheme.length == 6
    with pytest.raises(UsageError, match="no companion"):
        scheme.loss(headed([ResidualUnit(convolution(8, 8))], 8), batch, 0)


def test_the_optimiser_forgets_when_the_companions_go(data):
    trainer = Trainer(supervised(), data, recipe(scheme=Companions(1)), CPU, Team())
    for _ in range(3):
        trainer.advance()
    head = trainer.network.units[0].branch.head[2].weight
    assert head in trainer.optimiser.state
    trainer.advance()
    assert head not in trainer.optimiser.state
    stem = trainer.network.stem[0].weight
    momentum = trainer.optimiser.state[stem]["momentum_buffer"]
    assert momentum.abs().sum() > 0


# ---- hints ----


HINTS = Hints(1, "units.0", "units.1", weight=2.0, last_weight=1.0, decay=(0, 2))


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    return train(preset("resnet8", 10, 1), data, recipe(1), folder, CPU)


def student(data, teacher, folder):
    chosen = recipe(3, scheme=structs.replace(HINTS, teacher=str(teacher.folder)))
    about = About(teacher=preset("resnet8", 10, 0))
    return preset("resnet14", 10, 0), data, chosen, folder, CPU, about


def test_first_the_hint_is_learned_then_the_answers():
    """Against the formulas, and only what stands below the guided layer learns from a hint."""
    torch.manual_seed(0)
    teacher, network = preset("resnet8", 10, 1), preset("resnet14", 10, 0).eval()
    x, y = image_batch(4, 8), labels(4)
    scheme = Taught(HINTS, teacher)
    regressor = scheme.extend(network, lambda: (x, y))
    losses, right = scheme.loss(network, (x, y), 0.5)
    assert right is None
    u = teacher.units[0](teacher.stem(x))
    v = network.units[1](network.units[0](network.stem(x)))
    wanted = (u - F.conv2d(v, regressor.weight, regressor.bias)).square().mean((1, 2, 3)) / 2
    torch.testing.assert_close(losses, wanted)
    losses.sum().backward()
    learning = {n for n, p in network.named_parameters() if p.grad is not None}
    assert {n.partition(".branch")[0].partition(".")[0] for n in learning} == {"stem", "units"}
    assert {n[:8] for n in learning if n.startswith("units")} == {"units.0.", "units.1."}
    assert all(p.grad is None for p in teacher.parameters())
    losses, right = scheme.loss(network, (x, y), 2.0)  # half of the way from 2 to 1
    p, q = (teacher(x) / 3).softmax(1), (network(x) / 3).log_softmax(1)
    wanted = F.cross_entropy(network(x), y, reduction="none") - 1.5 * (p * q).sum(1)
    torch.testing.assert_close(losses, wanted)


def test_the_weight_falls_in_a_line_as_in_the_authors_code():
    hints = Hints(100, "units.1", "units.10", teacher="x")
    assert [hints.restarts(time) for time in (0, 99, 100, 101)] == [False, False, True, False]
    assert not Hints(0, teacher="x").restarts(0)
    found = [hints.weight_at(100 + t) for t in (0, 5, 202.5, 288, 400, 500)]
    assert found == pytest.approx([4, 4, 2.5, 1.85, 1, 1], abs=0.01)


def test_the_regressor_brings_shapes_together():
    scheme = Taught(Hints(1, "units.2", "units.0"), preset("resnet8", 10, 0))
    regressor = scheme.extend(preset("resnet8", 10, 1), lambda: (image_batch(2, 8), labels(2)))
    assert regressor.weight.shape == (64, 16, 7, 7)  # from 16x8x8 to 64x2x2
    scheme = Taught(Hints(1, "units.0", "units.2"), preset("resnet8", 10, 0))
    with pytest.raises(UsageError, match=r"\(64, 2, 2\).*\(16, 8, 8\)"):
        scheme.extend(preset("resnet8", 10, 1), lambda: (image_batch(2, 8), labels(2)))
    scheme = Taught(Hints(1, "units.0", "unit.2"), preset("resnet8", 10, 0))
    with pytest.raises(UsageError, match=r"student has no part 'unit\.2'.*'units\.2'"):
        scheme.extend(preset("resnet8", 10, 1), lambda: (image_batch(2, 8), labels(2)))


def test_a_student_resumes_exactly_and_keeps_no_regressor(data, teacher, tmp_path, monkeypatch):
    """Stopped in the first stage and in the second."""
    whole = train(*student(data, teacher, tmp_path / "whole"))
    for step in (2, 5):
        interrupted(monkeypatch, step, *student(data, teacher, tmp_path / "parts"))
        saved = (tmp_path / "parts" / "checkpoints").glob(f"step-{step:08d}-*")
        assert b'"network.added.weight"' in next(saved).read_bytes()
    network, *rest = student(data, teacher, tmp_path / "parts")
    parts = train(network, *rest)
    assert digest(whole.folder) == digest(parts.folder)
    assert parts.weights().keys() == network.state_dict().keys()
    assert not hasattr(network, ADDED)
    assert [row.train_error is None for row in parts.metrics] == [True, False, False]


def test_a_teacher_counts_by_its_weights(data, teacher, tmp_path):
    run = train(*student(data, teacher, tmp_path / "run"))
    hints = run.recipe.scheme
    assert hints.weights == teacher.outcome.weights.sha256
    elsewhere = tmp_path / "elsewhere"
    teacher.folder.rename(elsewhere)
    try:
        moved = Run.open(elsewhere)
        assert train(*student(data, moved, tmp_path / "run")).folder == run.folder
        again = replace(run.recipe, scheme=structs.replace(hints, teacher=str(elsewhere)))
        assert again.meaning() == run.recipe.meaning()
        assert "teacher" not in again.meaning()["scheme"]
    finally:
        elsewhere.rename(teacher.folder)


def test_wrong_teachers_are_refused(data, teacher, tmp_path):
    network, data_, chosen, folder, machine, about = student(data, teacher, tmp_path / "run")
    for changed, error, message in (
        ({"recipe": replace(chosen, scheme=HINTS)}, UsageError, "--teacher RUN"),
        ({"about": About()}, UsageError, r"About\(teacher=network\)"),
        ({"recipe": replace(chosen, scheme=structs.replace(HINTS, teacher=str(tmp_path)))},
         CheckpointError, "not a run folder"),
        ({"recipe": replace(chosen, normalisation="pixel")}, UsageError, "normalised by 'channel'"),
        ({"data": Dataset("other", data.train.first(90), data.test, data.classes)},
         UsageError, "other data"),
        ({"recipe": recipe(1)}, UsageError, "learns from no teacher"),
    ):  # fmt: skip
        words = {"data": data_, "recipe": chosen, "about": about} | changed
        with pytest.raises(error, match=message):
            train(network, words["data"], words["recipe"], folder, machine, words["about"])
    assert not folder.exists()
    with pytest.raises(UsageError, match="hint_length is 1: name"):
        Hints(1)
    with pytest.raises(UsageError, match="decay ends"):
        Hints(decay=(3, 2))


def test_a_teacher_from_the_command_line(tmp_path, capsys):
    """A recipe in TOML, its teacher as a flag."""
    teacher = str(tmp_path / "teacher")
    words = ["--epochs", "1", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main(["train", "resnet8", "--output", teacher, *words])
    assert ended.value.code == 0
    file = tmp_path / "student.toml"
    file.write_text(
        'name = "student"\nlength = 2\nlearning_rate = 0.01\nnormalisation = "channel"\n'
        '[augmentation]\npad = 1\nflip = false\n[scheme]\nkind = "hints"\nhint_length = 1\n'
        'hint = "units.0"\nguided = "units.0"\n'
    )
    assert recipe_from_file(file).scheme.temperature == 3
    for more, code, said in (
        ([], 2, "--teacher RUN"),
        (["--teacher", str(tmp_path / "gone")], 4, "not a run folder"),
        (["--teacher", teacher], 0, "test error"),
    ):
        arguments = ["train", "resnet8", "--recipe", str(file), "--output", str(tmp_path / "run")]
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--quiet", *more])
        streams = capsys.readouterr()
        assert ended.value.code == code, streams.err
        assert said in streams.out + streams.err


# ---- Swapout ----


def test_the_mean_of_many_samples_of_a_linear_network_is_its_deterministic_pass():
    torch.manual_seed(0)
    linear = (nn.Linear(5, 5, bias=False) for _ in range(3))
    units = Row(ResidualUnit(Noisy(part, 0.6), Noisy(None, 0.8)) for part in linear).double()
    x = torch.randn(1, 5, dtype=torch.double)
    with torch.no_grad(), sampled(units.eval()):
        many = units(x.expand(200_000, 5))
    error = many.std(0) / 200_000**0.5
    assert ((many.mean(0) - units(x)[0]).abs() < 4 * error).all()
    assert (many.std(0) > 0.1).all()
    assert torch.equal(units(x), units(x))  # outside there is no noise
    with pytest.raises(UsageError, match="nothing to sample"), sampled(nn.Linear(2, 2)):
        pass


def test_probabilities_of_samples_are_averaged_and_repeat():
    network = headed([ResidualUnit(Noisy(convolution(8, 8), 0.5), Noisy(None, 0.7))], 8).eval()
    images = image_batch(4, 8)
    found = noisy_probabilities(network, images, 30, 0)
    assert torch.equal(found, noisy_probabilities(network, images, 30, 0))
    assert not torch.equal(found, noisy_probabilities(network, images, 30, 1))
    torch.testing.assert_close(found.sum(1), torch.ones(4, dtype=torch.double))
    torch.manual_seed(7)  # nor does the caller's state count
    assert torch.equal(found, noisy_probabilities(network, images, 30, 0))


# ---- projected weights ----


def test_learned_weights_in_their_interval_resume_exactly(data, tmp_path, monkeypatch):
    def weighted():
        units = [ResidualUnit(Weighted(convolution(8, 8))) for _ in range(2)]
        return find("resnet20").start(headed(units, 8), 0)

    fast = recipe(2, learning_rate=2.0, warmup=None)
    train(weighted(), data, fast, tmp_path / "whole", CPU)
    interrupted(monkeypatch, 4, weighted(), data, fast, tmp_path / "parts", CPU)
    run = train(weighted(), data, fast, tmp_path / "parts", CPU)
    assert digest(tmp_path / "whole") == digest(tmp_path / "parts")
    weights = [w.item() for n, w in run.weights().items() if n.endswith("branch.weight")]
    assert len(weights) == 2
    assert all(0 < abs(w) <= 1 for w in weights)
