"""Law: a network with dropout, stopped anywhere and resumed, ends as if undisturbed."""

import os
import random
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from benchmarks.kill_resume import OPTIMISERS, digest, kill_and_resume, small_data, with_dropout
from residuum.data.images import Dataset
from residuum.errors import CheckpointError, Interrupted, UsageError
from residuum.storage import read_tensors, write_tensors
from residuum.task import Classification
from residuum.training import About, Machine, Recipe, find_recipe, train
from residuum.training.checkpoint import Checkpoints
from residuum.training.distributed import Team
from residuum.training.loop import Trainer
from residuum.training.memory import Numbers, recall, remember
from residuum.training.randomness import drawing
from residuum.training.schemes import Plain

CPU = Machine(device="cpu", threads=1, save_seconds=1e9)
WATCH = About(watch="units.0.branch.0.weight")


@pytest.fixture(scope="module")
def data() -> Dataset:
    whole = small_data()
    return Dataset("digits", whole.train.first(150), whole.test.first(40), whole.classes)


def recipe(optimiser: str = "sgd", **changes) -> Recipe:
    rate = 0.1 if optimiser == "sgd" else 0.003
    short = find_recipe("digits").shortened(2)
    return replace(
        short, batch_size=32, optimiser=OPTIMISERS[optimiser], learning_rate=rate, **changes
    )


def stop_at(monkeypatch, step):
    real = Trainer.advance

    def advance(self):
        real(self)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "advance", advance)


@pytest.mark.row("T1")
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_stopped_at_random_steps_and_resumed(data, tmp_path, monkeypatch, optimiser):
    """Weights, the optimiser's memory, statistics, sums and metrics, bit for bit."""
    chosen = recipe(optimiser, label_smoothing=0.1)
    torch.manual_seed(1)
    train(with_dropout(0), data, chosen, tmp_path / "whole", CPU, WATCH)
    kept = Checkpoints(tmp_path / "whole" / "checkpoints").latest()
    assert {n.rpartition(".")[2] for n in kept.tensors if n.startswith("optimiser.")} == {
        "sgd": {"momentum_buffer"},
        "adam": {"step", "exp_avg", "exp_avg_sq"},
        "adamw": {"step", "exp_avg", "exp_avg_sq"},
        "rmsprop": {"step", "square_avg", "momentum_buffer"},
    }[optimiser]
    source = random.Random(optimiser)
    for trial in range(3):
        folder = tmp_path / f"stopped{trial}"
        for start, step in enumerate(sorted(source.sample(range(1, 10), 2))):
            torch.manual_seed(source.randrange(1000))
            with monkeypatch.context() as patch:
                stop_at(patch, step)
                with pytest.raises(Interrupted):
                    train(with_dropout(5 * start), data, chosen, folder, CPU, WATCH)
        train(with_dropout(7), data, chosen, folder, CPU, WATCH)
        assert digest(folder) == digest(tmp_path / "whole")


@pytest.mark.row("T1")
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_killed_at_random_instants(tmp_path, optimiser):
    result = kill_and_resume(8, 0, tmp_path, optimiser)
    assert result["different"] == 0
    assert result["kills"] >= 8


def test_the_callers_random_state_is_left_alone(data, tmp_path):
    network = with_dropout(0)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train(network, data, recipe(), tmp_path, CPU)
    assert torch.equal(torch.get_rng_state(), before)


class Noise(nn.Module):
    """A network that shows what it drew."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(192, 10)
        self.drawn: list[float] = []

    def forward(self, images):
        self.drawn.append(torch.rand(1).item())
        return self.linear(images.flatten(1))


def draws(data, team: Team, seed: int = 0) -> list[float]:
    trainer = Trainer(Noise(), data, recipe(seed=seed), CPU, team)
    for _ in range(4):
        trainer.advance()
    return trainer.network.drawn  # type: ignore[return-value]


def test_draws_are_a_function_of_seed_step_and_rank(data):
    torch.manual_seed(1)
    first = draws(data, Team())
    torch.manual_seed(2)
    assert draws(data, Team()) == first
    assert len(set(first)) == 4
    assert not set(first) & set(draws(data, Team(), seed=1))


def test_ranks_draw_differently():
    found = set()
    for rank in (0, 1, 2):
        with drawing("cpu", 0, "step", 5, rank):
            found.add(torch.rand(1).item())
    assert len(found) == 3


ANY = {
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "Adamax": torch.optim.Adamax,
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "ASGD": torch.optim.ASGD,
    "Rprop": torch.optim.Rprop,
    "AMSGrad": partial(torch.optim.Adam, amsgrad=True),
    "centred RMSprop": partial(torch.optim.RMSprop, centered=True, momentum=0.5),
}


def step(optimiser, network, i):
    source = torch.Generator().manual_seed(i)
    optimiser.zero_grad()
    network(torch.randn(4, 3, 8, 8, generator=source)).square().sum().backward()
    optimiser.step()


def any_optimiser(name, parameters):
    return Averaging(parameters) if name == "Averaging" else ANY[name](parameters, lr=0.01)


@pytest.mark.parametrize("name", [*ANY, "Averaging"])
def test_any_optimiser_of_torch_is_remembered_whole(tmp_path, name):
    networks = [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)) for _ in "ab"
    ]
    for network in networks:
        network.to(memory_format=torch.channels_last)
    optimisers = [any_optimiser(name, network.parameters()) for network in networks]
    for i in range(3):
        step(optimisers[0], networks[0], i)
    tensors, numbers = remember(optimisers[0], networks[0])
    entry = write_tensors(tmp_path, "x.safetensors", tensors)
    networks[1].load_state_dict(networks[0].state_dict())
    recall(optimisers[1], networks[1], read_tensors(tmp_path / entry.file, entry).tensors, numbers)
    for i in range(3, 6):
        for optimiser, network in zip(optimisers, networks, strict=True):
            step(optimiser, network, i)
    again = remember(optimisers[1], networks[1])
    finished, _ = remember(optimisers[0], networks[0])
    assert finished.keys() == again[0].keys() >= tensors.keys()
    assert again[1] == remember(optimisers[0], networks[0])[1]
    assert all(torch.equal(finished[k], again[0][k]) for k in finished)
    for mine, theirs in zip(*(n.parameters() for n in networks), strict=True):
        assert torch.equal(mine, theirs)


class Averaging(torch.optim.Optimizer):
    """Keeps what torch's own do not: numbers beside tensors, float64, a number of the group."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.01, "seen": 0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["seen"] += 1
            for p in group["params"]:
                memory = self.state[p]
                memory["count"] = memory.get("count", 0) + 1
                memory["sum"] = memory.get("sum", torch.zeros_like(p, dtype=torch.double)) + p.grad
                p -= group["lr"] / group["seen"] * (memory["sum"] / memory["count"]).float()


def test_what_cannot_be_remembered_is_refused():
    network = nn.Linear(2, 2)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    optimiser.state[network.weight]["history"] = [1, 2]
    with pytest.raises(CheckpointError, match="SGD remembers a list as 'history'"):
        remember(optimiser, network)
    with pytest.raises(CheckpointError, match=r"'other\.step' belongs to no parameter"):
        recall(optimiser, network, {"other.step": torch.ones(())}, Numbers())


def test_states_that_do_not_fit_are_refused(data, tmp_path):
    trainer = Trainer(with_dropout(0), data, recipe(), CPU, Team(), watch=WATCH.watch)
    trainer.advance()
    good = trainer.checkpoint()
    trainer.restore(good, "x")
    for state, message in (
        (replace(good.state, sums=()), "sums"),
        (replace(good.state, sums=((1.0,),)), "sums"),
        (replace(good.state, optimiser=Numbers({}, ())), "0 groups were saved, not 1"),
        (replace(good.state, optimiser=Numbers({"other.step": 1})), r"'other\.step'"),
    ):
        with pytest.raises(CheckpointError, match=message):
            trainer.restore(replace(good, state=state), "x")
    with pytest.raises(CheckpointError, match="stranger is neither"):
        trainer.restore(replace(good, tensors=good.tensors | {"stranger": torch.ones(1)}), "x")
    with pytest.raises(UsageError, match=r"to watch\. Did you mean 'stem.0.weight'"):
        Trainer(with_dropout(0), data, recipe(), CPU, Team(), watch="stem.weight")


# ---- schemes and tasks ----


class Recorded(Plain):
    """The plain scheme, telling what it was asked."""

    def __init__(self, task):
        super().__init__(task)
        self.__dict__["_asked"] = []

    def prepare(self, network, batch):
        self.__dict__["_asked"].append("prepare")

    def draw(self, network, generator):
        self.__dict__["_asked"].append(("draw", torch.rand(1, generator=generator).item()))

    def settle(self, network):
        self.__dict__["_asked"].append("settle")


class Distance:
    """Mean squared distance to the one-hot label; there is no right and wrong."""

    def loss(self, output, targets):
        return (output - nn.functional.one_hot(targets, 10)).square().mean(1)

    def right(self, output, targets):
        return None


def test_another_task_trains_without_right_and_wrong(data, tmp_path):
    done = train(with_dropout(0), data, recipe("adam"), tmp_path, CPU, scheme=Plain(Distance()))
    assert [r.train_error for r in done.metrics] == [None, None]
    assert done.outcome.last.test_error is None
    assert 0 < done.metrics[1].train_loss < done.metrics[0].train_loss
    with pytest.raises(UsageError, match="scheme was"):
        train(with_dropout(0), data, recipe("adam"), tmp_path, CPU)
    smooth = recipe(label_smoothing=0.1)
    with pytest.raises(UsageError, match="label_smoothing"):
        Trainer(with_dropout(0), data, smooth, CPU, Team(), Plain(Distance()))


def test_a_scheme_is_asked_in_order_and_draws_by_step(data, tmp_path, monkeypatch):
    whole, parts = Recorded(Classification()), Recorded(Classification())
    train(with_dropout(0), data, recipe(), tmp_path / "whole", CPU, scheme=whole)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Interrupted):
            train(with_dropout(0), data, recipe(), tmp_path / "parts", CPU, scheme=parts)
    train(with_dropout(0), data, recipe(), tmp_path / "parts", CPU, scheme=parts)
    assert whole._asked == parts._asked
    assert [a if isinstance(a, str) else a[0] for a in whole._asked] == [
        "prepare",
        *["draw", "settle"] * 10,
    ]
    assert len({a[1] for a in whole._asked if a[0] == "draw"}) == 10


def test_label_smoothing_is_that_of_torch(data):
    logits = torch.randn(5, 10, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(5)
    found = Classification(0.1).loss(logits.half(), targets)
    wanted = nn.functional.cross_entropy(logits.half().float(), targets, label_smoothing=0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.mean(), wanted)
    smooth = Trainer(with_dropout(0), data, recipe(label_smoothing=0.2), CPU, Team())
    assert smooth.scheme.task == Classification(0.2)
