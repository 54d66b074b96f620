"""BoostResNet (Huang et al. 2018): blocks trained one after another, each a weak learner.

    done = boost(preset("resnet8", 10, 0), data, recipe, "runs/boosted")

A folder of its own: boosting.json with a row for every finished block, and the network's weights
after the last of them. Started again it goes on with the next block.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import progress
from ..data import Dataset
from ..data.augment import derived_seed
from ..errors import CheckpointError, NumericError, UsageError
from ..machine import Machine
from ..networks.fingerprint import digest
from ..networks.weights import load_weights
from ..reader import Count, check, expect, plain, read
from ..storage import Entry, Lock, make_folder, read_tensors, remove, write_json, write_tensors
from ..task import Exponential
from ..units import ResidualNetwork
from ..views.edits import at_rest
from .distributed import Team
from .evaluation import BATCH
from .loop import Trainer
from .recipe import Recipe
from .run import train
from .schemes import Plain
from .votes import Votes

SCHEMA = 1  # of boosting.json
ADVICE = "Boost again into another folder, or use the version that made it"


@dataclass(frozen=True)
class Boosting:
    """When a block is trained enough.

    After every `look` batches it is, where it has gained more than `least` (gamma^2, see `Votes`);
    after the recipe's length in any case. The defaults are the published code's on CIFAR-10, where
    a block always gets its 10,000 batches.
    """

    look: Count = 10_000
    least: float = -1e-4

    def __post_init__(self) -> None:
        check(self, "boosting", UsageError)


@dataclass(frozen=True)
class Block:
    """What a block came to. `number` 0 is the stem; errors are fractions."""

    number: int
    batches: int
    edge: float
    alpha: float
    gain: float
    train_error: float
    test_error: float


@dataclass(frozen=True)
class Boosted:
    """boosting.json: the finished blocks, and the network's weights after the last of them.

    `fine_tuned`: the run that trained all blocks together afterwards, if it was asked for.
    """

    identity: str
    blocks: tuple[Block, ...] = ()
    weights: Entry | None = None
    fine_tuned: str | None = None


@dataclass(frozen=True)
class Continued(Plain):
    """The plain loop from weights that are given: their digest belongs to the run's identity."""

    weights: str = ""


def boost(
    network: ResidualNetwork,
    data: Dataset,
    recipe: Recipe,
    folder: str | Path,
    machine: Machine | None = None,
    boosting: Boosting = Boosting(),
    fine_tuning: Recipe | None = None,
) -> Boosted:
    """Train stem and units one after another, then, by `fine_tuning`, all together.

    Block t is learned on what the finished blocks below give, which stay as they are; from it the
    remaining units that change the shape, and the network's own head, lead to the answers. These
    learn too, and are learned again when their turn comes. Minimised is the exponential loss of the
    logits, which is the paper's objective: its weights D cancel the answers of the block before.

    `recipe`: of a block: its length, optimiser (anew for each), rate, limits, batches,
    augmentation, seed. The published code's is "boost-cifar".

    UsageError: a recipe with a scheme or smoothing, several processes, a folder of something else.
    LockedError, NumericError.
    """
    expect(network, ResidualNetwork, "boost: network")
    machine = (machine or Machine()).resolved()
    machine.prepare()
    _require(recipe)
    identity = _identity(network, data, recipe, machine, boosting)
    folder = make_folder(Path(folder))
    with Lock(folder):
        state, votes = _start(folder, identity, network, data)
        work = _Work(network, data, recipe, machine, boosting)
        for number in range(len(state.blocks), len(network.units) + 1):
            block, votes = work.block(number, votes)
            state = _save(folder, replace(state, blocks=(*state.blocks, block)), network, votes)
            error = f"train {100 * block.train_error:.2f} %, test {100 * block.test_error:.2f} %"
            progress.say(f"block {number} of {len(network.units)}: edge {block.edge:.3f}, {error}")
        network.train()
        if fine_tuning is None:
            return state
        assert state.weights
        scheme = Continued(weights=state.weights.sha256)
        run = train(network, data, fine_tuning, folder / "fine-tuned", machine, scheme=scheme)
    return replace(state, fine_tuned=str(run.folder))


class _Work:
    """What training a block needs."""

    def __init__(
        self,
        network: ResidualNetwork,
        data: Dataset,
        recipe: Recipe,
        machine: Machine,
        boosting: Boosting,
    ):
        self.network, self.data, self.recipe = network, data, recipe
        self.machine, self.boosting = machine, boosting
        self.changing = changing(network, torch.zeros(2, 3, data.size, data.size))
        network.to(machine.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def block(self, number: int, before: Votes) -> tuple[Block, Votes]:
        """Learned till it is good enough, and what it says of the training part."""
        part = Grown(self.network, number, self.changing)
        recipe = replace(self.recipe, seed=derived_seed(self.recipe.seed, "block", number))
        team, scheme = Team(device=self.machine.device), Plain(Exponential())
        trainer = Trainer(part, self.data, recipe, self.machine, team, scheme)
        try:
            while True:
                most = min(trainer.step + self.boosting.look, trainer.total_steps)
                while trainer.step < most:
                    trainer.advance()
                votes = before.joined(_answers(part, trainer), labels := self.data.train.labels)
                gain = votes.gain(before)
                if trainer.step == trainer.total_steps or gain > self.boosting.least:
                    break
        finally:
            trainer.leave()
        error = (votes.answers.argmax(1) != labels).double().mean().item()
        test = trainer.evaluate().error
        assert test is not None
        return Block(number, trainer.step, votes.edge, votes.alpha, gain, error, test), votes


class Grown(nn.Module):
    """The network up to block `number` (0: the stem), and the way from there to the answers.

    Only this block and the way are parts of it, and learn; what is below stays in evaluation mode.
    """

    below: nn.Sequential

    def __init__(self, network: ResidualNetwork, number: int, changing: Sequence[bool]):
        super().__init__()
        row = [network.stem, *network.units]
        below = nn.Sequential(*row[:number]).eval()
        self.__dict__["below"] = below  # not a part
        rest = zip(network.units, changing, strict=True)
        way = [unit for unit, changes in list(rest)[number:] if changes]
        self.block, self.way = row[number], nn.Sequential(*way, network.head)

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            known = self.below(images)
        return self.way(self.block(known))


def changing(network: ResidualNetwork, images: Tensor) -> list[bool]:
    """Of each unit, whether it changes the shape of the signal."""
    found = []
    with at_rest(network), torch.no_grad():
        signal = network.stem(images)
        for unit in network.units:
            before, signal = signal.shape, unit(signal)
            found.append(signal.shape != before)
    return found


@torch.no_grad()
def _answers(part: Grown, trainer: Trainer) -> Tensor:
    """Probabilities of the training part, not augmented, (m, K) float64 on the CPU.

    NumericError: they are not finite.
    """
    part.eval()
    pixels, found = trainer.train_pixels, []
    for indices in torch.arange(len(pixels)).split(BATCH):
        found.append(part(pixels.batch(indices)[0]).double().softmax(1).cpu())
    answers = torch.cat(found)
    if not bool(torch.isfinite(answers).all()):
        raise NumericError(f"the answers are no longer finite after {trainer.step} batches")
    return answers


def _require(recipe: Recipe) -> None:
    if recipe.scheme or recipe.label_smoothing:
        raise UsageError(f"recipe {recipe.name}: boosting has a loss of its own: no scheme, no "
                         "label_smoothing")  # fmt: skip
    if os.environ.get("WORLD_SIZE") not in (None, "", "1"):
        raise UsageError("boosting works in one process: start it without torchrun")


def _identity(
    network: nn.Module, data: Dataset, recipe: Recipe, machine: Machine, boosting: Boosting
) -> str:
    what = {
        "structure": digest(network),
        "recipe": recipe.meaning(),
        "data": data.describe().digest,
        "precision": machine.precision,
        "boosting": plain(boosting),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _start(
    folder: Path, identity: str, network: ResidualNetwork, data: Dataset
) -> tuple[Boosted, Votes]:
    """Where boosting goes on: the network has the weights after the last finished block."""
    votes = Votes.none(len(data.train), len(data.classes))
    if not (folder / "boosting.json").exists():
        return Boosted(identity), votes
    state = read(folder / "boosting.json", Boosted, CheckpointError, SCHEMA, ADVICE)
    if state.identity != identity:
        said = "boosting of another network, recipe or data"
        raise UsageError(f"{folder}: holds {said}. Choose another folder")
    if state.weights is None:
        return state, votes
    tensors, _ = read_tensors(folder / state.weights.file, state.weights)
    total, answers = tensors.pop("votes.total"), tensors.pop("votes.answers")
    load_weights(network, tensors, str(folder))
    last = state.blocks[-1]
    return state, Votes(total, answers, last.alpha, last.edge)


def _save(folder: Path, state: Boosted, network: nn.Module, votes: Votes) -> Boosted:
    """The weights first, then what names them; then those of the block before may go."""
    tensors = {**network.state_dict(), "votes.total": votes.total, "votes.answers": votes.answers}
    name = f"block-{state.blocks[-1].number:04d}-{{digest}}.safetensors"
    entry = write_tensors(folder, name, tensors)
    state = replace(state, weights=entry)
    write_json(folder, "boosting.json", plain(state), SCHEMA)
    for file in folder.glob("block-*.safetensors"):
        if file.name != entry.file:
            remove(file)
    return state
