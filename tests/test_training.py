"""Recipes to the digit; runs that resume to identical bits; faults that lose nothing."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.kill_resume import digest
from residuum.data import load
from residuum.data.augmentation import Augmentation
from residuum.data.images import Dataset, Images
from residuum.errors import CheckpointError, Interrupted, NumericError, ResiduumError, UsageError
from residuum.networks.weights import load_weights
from residuum.presets import preset
from residuum.reader import build, plain
from residuum.training import RECIPES, About, Blueprint, Machine, Recipe, Run, find_recipe, train
from residuum.training.distributed import Team
from residuum.training.epoch import steps_per_epoch
from residuum.training.loop import Trainer
from residuum.training.narrow import require_gradients
from residuum.training.optimisers import SGD, Adam, AdamW, RMSProp, parameter_groups
from residuum.training.recipes import recipe_from_file
from residuum.training.schedules import Cosine, Steps, Warmup

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load("digits")
    return Dataset("digits", digits.train.first(150), digits.test.first(40), digits.classes)


def short(epochs: int = 2) -> Recipe:
    return replace(find_recipe("digits").shortened(epochs), batch_size=32)


def run(data, folder, recipe=None, machine=CPU, network=None):
    network = network or preset("preresnet8", 10, 0)
    return train(
        network, data, recipe or short(), folder, machine, About(Blueprint("preresnet8", 10))
    )


# ---- recipes ----


def test_published_numbers():
    he, fb = RECIPES["he-cifar"], RECIPES["fb-cifar"]
    assert [
        he.learning_rate_at(s, 391) for s in (0, 31_999, 32_000, 47_999, 48_000)
    ] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    assert he.iterations(he.length, 391) == 64_000
    assert not he.optimiser.nesterov
    assert he.weight_decay == 1e-4
    assert fb.optimiser.nesterov
    # after 80 and 121 whole epochs: the code tests epoch >= 81 and 122, counted from 1
    last_and_first = [391 * 80 - 1, 391 * 80, 391 * 121 - 1, 391 * 121]
    for name in ("fb-cifar", "preact-cifar-code"):
        rates = [RECIPES[name].learning_rate_at(step, 391) for step in last_and_first]
        assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001])
    code = RECIPES["preact-cifar-code"]
    assert (code.batch_size, code.length, code.warmup) == (64, 200, None)
    warm = RECIPES["preact-cifar"]
    assert [warm.learning_rate_at(s, 391) for s in (0, 399, 400)] == [0.01, 0.01, 0.1]


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name):
    recipe = RECIPES[name]
    assert build(json.loads(json.dumps(plain(recipe))), Recipe, "x", UsageError) == recipe
    assert recipe.shortened(10).clock == "epochs"


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": float("nan")},
        {"learning_rate": -1.0},
        {"learning_rate": 1e39},
        {"length": 0},
        {"batch_size": 0},
        {"label_smoothing": 1.0},
        {"label_smoothing": -0.1},
        {"seed": 0.5},
        {"augmentation": Augmentation(pad=-1)},
        {"length": True},
        {"optimiser": None},
    ],
)
def test_impossible_recipes(wrong):
    with pytest.raises(UsageError):
        replace(RECIPES["fb-cifar"], **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"normalisation": "chanel"}, "'channel'"),
        ({"clock": "epoch"}, "'epochs'"),
        ({"decay": "weight"}, "'weights'"),
        ({"length": "3"}, r"fb-cifar: length: expected int, got str"),
    ],
)
def test_unknown_words_of_a_recipe(wrong, message):
    with pytest.raises(UsageError, match=message):
        replace(RECIPES["fb-cifar"], **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SGD(momentum=1.0),
        lambda: SGD(momentum=0.0, nesterov=True),
        lambda: Adam(beta2=1.0),
        lambda: AdamW(epsilon=0.0),
        lambda: RMSProp(smoothing=float("nan")),
        lambda: Steps((3, 1)),
        lambda: Steps((1,), factor=0.0),
        lambda: Cosine(2.0),
        lambda: Warmup(0, 0.1),
        lambda: Warmup(3, float("inf")),
    ],
)
def test_impossible_parts_of_a_recipe(wrong):
    with pytest.raises(UsageError):
        wrong()


def test_hyper_parameters_arrive():
    weight = torch.nn.Parameter(torch.ones(1))
    for optimiser, wanted in (
        (SGD(0.8, nesterov=True), {"momentum": 0.8, "nesterov": True}),
        (Adam(0.8, 0.95, 1e-6), {"betas": (0.8, 0.95), "eps": 1e-6}),
        (AdamW(0.8, 0.95, 1e-6), {"betas": (0.8, 0.95), "eps": 1e-6}),
        (RMSProp(0.9, 1e-6, 0.5), {"alpha": 0.9, "eps": 1e-6, "momentum": 0.5}),
    ):
        groups = [{"params": [weight], "weight_decay": 0.25}]
        built = optimiser.build(groups, 0.125).param_groups[0]
        assert wanted | {"lr": 0.125, "weight_decay": 0.25} == {
            k: built[k] for k in (*wanted, "lr", "weight_decay")
        }


def test_schedules_are_functions_of_the_step():
    cosine = Recipe("x", 10, schedule=Cosine(0.1), learning_rate=2.0)
    assert [cosine.learning_rate_at(s, 4) for s in (0, 20, 40)] == pytest.approx([2.0, 1.1, 0.2])
    warm = Recipe("x", 10, warmup=Warmup(4, 0.02, "linear"), schedule=Steps((5,)))
    rates = [warm.learning_rate_at(s, 2) for s in (0, 1, 2, 3, 4, 9, 10)]
    assert rates == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1, 0.01])
    by_step = Recipe("x", 10, "iterations", schedule=Cosine())
    assert by_step.learning_rate_at(5, 1000) == pytest.approx(0.05)


FILE = """
name = "mine"
length = 12
learning_rate = 0.01
label_smoothing = 0.1
[optimiser]
kind = "adamw"
beta2 = 0.95
[schedule]
kind = "cosine"
[warmup]
iterations = 20
learning_rate = 0.001
shape = "linear"
"""


def test_a_recipe_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    assert recipe_from_file(path) == Recipe(
        "mine",
        12,
        learning_rate=0.01,
        label_smoothing=0.1,
        optimiser=AdamW(beta2=0.95),
        schedule=Cosine(),
        warmup=Warmup(20, 0.001, "linear"),
    )
    for old, new, message in (
        ("adamw", "adam_w", r"\$\.optimiser\.kind: unknown word 'adam_w'\. Did you mean 'adamw'"),
        ("beta2", "momentum", r"\$\.optimiser: unknown word 'momentum'"),
        ("linear", "linar", r"\$\.warmup\.shape: unknown word 'linar'\. Did you mean 'linear'"),
        ("0.95", "1.5", r"\$\.optimiser\.beta2: must be below 1, not 1\.5"),
        ("length = 12", "", r"\$: missing length"),
        ("length = 12", "length = 12.5", r"\$\.length: expected int, got float"),
        ("length = 12", "length = 0", r"\$\.length: must be at least 1, not 0"),
        ("label_smoothing", "label_smothing", "'label_smoothing'"),
    ):
        path.write_text(FILE.replace(old, new))
        with pytest.raises(UsageError, match=rf"mine\.toml: .*{message}"):
            recipe_from_file(path)


def test_recipes_need_no_torch():
    script = "import sys\nfrom residuum.training import RECIPES, Machine, recipe_from_file\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "print('torch' in sys.modules)"], capture_output=True
    )
    assert done.stdout == b"False\n", done.stderr


def test_what_decays():
    network = preset("resnet20", seed=0)
    everything = parameter_groups(network, RECIPES["fb-cifar"])
    weights, rest = parameter_groups(network, RECIPES["he-cifar"])
    count = sum(p.numel() for p in network.parameters())
    assert sum(p.numel() for p in everything[0]["params"]) == count
    assert all(p.ndim > 1 for p in weights["params"])
    assert rest["weight_decay"] == 0
    assert sum(p.numel() for g in (weights, rest) for p in g["params"]) == count


def test_a_step_equals_the_textbook(data):
    """Nesterov momentum and weight decay written out, on the batch that the trainer would take."""
    trainer = Trainer(preset("preresnet8", 10, 0), data, replace(short(), warmup=None), CPU, Team())
    images, labels = trainer.batch()
    twin = preset("preresnet8", 10, 0).train()
    velocity = [torch.zeros_like(p) for p in twin.parameters()]
    for step in range(2):
        trainer.step = step
        images, labels = trainer.batch()
        F.cross_entropy(twin(images), labels).backward()
        with torch.no_grad():
            for v, p in zip(velocity, twin.parameters(), strict=True):
                gradient = p.grad + 5e-4 * p
                v.mul_(0.9).add_(gradient) if step else v.copy_(gradient)
                p -= 0.1 * (gradient + 0.9 * v)
                p.grad = None
        trainer.advance()
    for mine, theirs in zip(trainer.network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


# ---- runs ----


def test_a_run_describes_itself_and_is_found_again(data, tmp_path):
    done = run(data, tmp_path)
    again = run(data, tmp_path)
    assert again.outcome == done.outcome
    assert done.recipe == short()
    assert [r.epoch for r in done.metrics] == [1, 2]
    assert [
        json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ] == plain(done.metrics)
    assert done.data == data.describe()
    assert str(Path.home()) not in (tmp_path / "run.json").read_text()
    network = preset("preresnet8", 10, 5)
    load_weights(network, done.weights(), "x")
    trainer = Trainer(network, data, short(), CPU, Team())
    assert trainer.evaluate().error == done.metrics[-1].test_error


def interrupt_at(monkeypatch, step, number=signal.SIGTERM):
    real = Trainer.advance

    def advance(self):
        real(self)
        if self.step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Trainer, "advance", advance)


@pytest.mark.row("T3", "T4")
@pytest.mark.parametrize("step", [1, 4, 5, 7, 9])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed_is_uninterrupted(data, tmp_path, monkeypatch, step, number):
    run(data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, step, number)
        with pytest.raises(Interrupted) as caught:
            run(data, tmp_path / "stopped")
        assert caught.value.exit_code == 128 + number
    run(data, tmp_path / "stopped", network=preset("preresnet8", 10, 99))
    assert digest(tmp_path / "whole") == digest(tmp_path / "stopped")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_batch_size_that_is_advised_can_be_taken():
    with pytest.raises(UsageError, match=r"Give more images, or train with --batch-size 2$"):
        steps_per_epoch("few", 3, replace(short(), batch_size=4), 1)


def test_other_seeds_differ(data, tmp_path):
    a = run(data, tmp_path / "a")
    b = run(data, tmp_path / "b", replace(short(), seed=1))
    assert a.outcome.weights.sha256 != b.outcome.weights.sha256


def test_a_run_of_something_else_is_refused_with_the_difference(data, tmp_path):
    run(data, tmp_path)
    with pytest.raises(UsageError, match=r"recipe\.learning_rate was the default, is 0\.2"):
        run(data, tmp_path, replace(short(), learning_rate=0.2))
    other = Dataset(
        "digits", Images(255 - data.train.pixels, data.train.labels), data.test, data.classes
    )
    with pytest.raises(UsageError, match=r"data was"):
        run(other, tmp_path)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        run(data, tmp_path / "foreign")
    assert (tmp_path / "foreign" / "thesis.txt").read_text() == "precious"


@pytest.mark.row("T8")
def test_an_explosion_stops_and_keeps_the_last_good_state(data, tmp_path):
    recipe = replace(
        short(4), learning_rate=1e30, schedule=Steps(), warmup=replace(short().warmup, iterations=7)
    )
    with pytest.raises(NumericError, match=r"step \d+ .*1e\+30"):
        run(data, tmp_path, recipe)
    from residuum.training.checkpoint import Checkpoints

    kept = Checkpoints(tmp_path / "checkpoints").latest()
    assert kept.state.step == 5
    assert all(torch.isfinite(t).all() for t in kept.tensors.values())
    assert not Run.open(tmp_path).finished
    with pytest.raises(CheckpointError, match="not finished"):
        Run.open(tmp_path).weights()


def test_weights_that_do_not_fit(data, tmp_path):
    done = run(data, tmp_path)
    weights = done.weights()
    with pytest.raises(CheckpointError, match="10 classes, not 7"):
        load_weights(preset("preresnet8", 7), weights, "x")
    with pytest.raises(CheckpointError, match="lacks"):
        load_weights(preset("preresnet14", 10), weights, "x")
    network = preset("preresnet8", 10)
    before = network.state_dict()["stem.0.weight"].clone()
    with pytest.raises(CheckpointError, match="not finite"):
        load_weights(network, weights | {"head.4.bias": torch.full((10,), torch.nan)}, "x")
    assert torch.equal(network.state_dict()["stem.0.weight"], before)
    load_weights(network, {f"module._orig_mod.{k}": v for k, v in weights.items()}, "x")
    file = tmp_path / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 4
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="digest mismatch in tensor"):
        done.weights()


def test_evaluation_counts_every_example_once(data):
    trainer = Trainer(preset("preresnet8", 10, 0), data, short(), CPU, Team())
    row = trainer.evaluate()
    network = trainer.network.eval()
    with torch.no_grad():
        logits = network(trainer.test_pixels.batch(torch.arange(40))[0])
    assert row.n == 40
    assert row.error == pytest.approx((logits.argmax(1) != data.test.labels).double().mean().item())
    assert row.loss == pytest.approx(F.cross_entropy(logits, data.test.labels).item(), rel=1e-5)


@pytest.mark.parametrize("machine", [replace(CPU, precision="bfloat16")])
def test_mixed_precision_trains_and_keeps_float32_weights(data, tmp_path, machine):
    done = run(data, tmp_path, short(3), machine)
    assert all(t.dtype != torch.bfloat16 for t in done.weights().values())
    assert done.metrics[-1].train_loss < done.metrics[0].train_loss


@pytest.mark.parametrize(
    "wrong",
    [{"device": "cuda"}, {"device": "tpu"}, {"precision": "float16"}, {"precision": "int8"}],
)
def test_machines_that_are_not_there(wrong):
    if wrong.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one here")
    with pytest.raises(UsageError):
        replace(CPU, **wrong).resolved()


def test_too_little_data_for_a_step(data):
    with pytest.raises(ResiduumError, match="batch_size 1"):
        Trainer(preset("preresnet8", 10, 0), data, replace(short(), batch_size=1), CPU, Team())


TEAM_SCRIPT = """
import sys
import torch
from dataclasses import replace
from residuum.data import load
from residuum.data.images import Dataset
from residuum.presets import preset
from residuum.training import Machine, find_recipe, train
from residuum.training.schedules import Steps
d = load("digits")
d = Dataset("digits", d.train.first(151), d.test.first(41), d.classes)
recipe = replace(find_recipe("digits").shortened(int(sys.argv[2])), batch_size=32, schedule=Steps())
machine = Machine(device="cpu", threads=1)
torch.manual_seed(0)
linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
network = preset("preresnet8", 10, 0) if sys.argv[3] == "residual" else linear
train(network, d, recipe, sys.argv[1], machine)
"""


def torchrun(script, processes, *arguments):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={processes}",
        script,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )


def test_two_processes_share_a_run(tmp_path):
    """Every example evaluated once by sums over ranks; the same run twice gives the same bits; one
    writer."""
    (tmp_path / "team.py").write_text(TEAM_SCRIPT)
    for name in ("a", "b"):
        done = torchrun(tmp_path / "team.py", 2, tmp_path / name, 2, "residual")
        assert done.returncode == 0, done.stderr[-2000:]
    found = Run.open(tmp_path / "a")
    assert found.description.machine.processes == 2
    assert [r.test_n for r in found.metrics] == [41, 41]
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    network = preset("preresnet8", 10, 1)
    load_weights(network, found.weights(), "x")
    whole = load("digits")
    small = Dataset("digits", whole.train.first(151), whole.test.first(41), whole.classes)
    alone = Trainer(network, small, short(), CPU, Team()).evaluate()
    assert alone.error == pytest.approx(found.metrics[-1].test_error, abs=1e-12)
    assert alone.loss == pytest.approx(found.metrics[-1].test_loss, rel=1e-5)


@pytest.mark.row("R4")
def test_two_processes_take_the_same_steps_as_one(tmp_path):
    """Without batch statistics the gradient is that of the global batch, also of the uneven last
    one (23 = 12 + 11)."""
    (tmp_path / "team.py").write_text(TEAM_SCRIPT)
    for processes in (1, 2):
        done = torchrun(tmp_path / "team.py", processes, tmp_path / str(processes), 2, "linear")
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (Run.open(tmp_path / str(processes)) for processes in (1, 2))
    for name, tensor in one.weights().items():
        torch.testing.assert_close(two.weights()[name], tensor, rtol=1e-4, atol=1e-6)
    for a, b in zip(one.metrics, two.metrics, strict=True):
        assert plain(a, defaults=False) == pytest.approx(plain(b, defaults=False), rel=1e-5)


@pytest.mark.row("T18")
def test_a_kill_between_the_last_checkpoint_and_its_metrics(data, tmp_path):
    weights = run(data, tmp_path).outcome.weights
    rows = (tmp_path / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(rows.splitlines()[0] + "\n")
    (tmp_path / "done.json").unlink()
    assert run(data, tmp_path).outcome.weights == weights
    assert (tmp_path / "metrics.jsonl").read_text() == rows


def test_an_interruption_crosses_processes():
    import pickle

    error = pickle.loads(pickle.dumps(Interrupted("stopped", signal.SIGINT)))
    assert (str(error), error.exit_code) == ("stopped", 130)


def test_gradients_that_torch_computes_wrongly_are_refused(tmp_path):
    """Of signals of one pixel, by a strided convolution, in bfloat16."""
    halving = [nn.Conv2d(c, 8, 3, stride=2, padding=1) for c in (3, 8, 8, 8)]
    network = nn.Sequential(*halving, nn.Flatten(), nn.Linear(8, 10))
    digits, recipe = load("digits"), find_recipe("digits")
    with pytest.raises(UsageError, match=r"gradient of 3, .* of one pixel, is wrong in bfloat16"):
        train(network, digits, recipe, tmp_path / "run", Machine("cpu", 1, precision="bfloat16"))
    assert not (tmp_path / "run").exists()
    assert network.training
    assert not any(layer._forward_pre_hooks for layer in halving)
    require_gradients(network, (8, 8), Machine("cpu", precision="float32"))
    require_gradients(network, (16, 16), Machine("cpu", precision="bfloat16"))
