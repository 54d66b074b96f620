"""What becomes smaller in smaller.py: models of other libraries, trained on real data."""

import argparse
import pydoc_data.topics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import residuum
from residuum.anatomy import Examples
from residuum.anatomy.deletions import spread_out
from residuum.data import load
from residuum.data.augment import Pixels, generator
from residuum.data.images import Images
from residuum.data.normalise import fit
from residuum.machine import Machine
from residuum.progress import say_plain
from residuum.reader import plain
from residuum.storage import sha256
from residuum.subjects import Subject
from residuum.task import NextToken
from residuum.training import Recipe, train
from residuum.training.checkpoint import Checkpoint, Checkpoints, State
from residuum.training.memory import recall, remember
from residuum.training.optimisers import SGD, AdamW
from residuum.training.randomness import drawing
from residuum.training.schedules import Cosine, Warmup

SEED = 0
MACHINE = Machine("cpu", 1)


def resnet(small: bool) -> nn.Module:
    """timm's ResNet of basic blocks, with a stem of 3x3 convolutions: 12 units, 6 if small."""
    from timm.models.resnet import BasicBlock, ResNet

    layers, width = ((2, 1, 1, 2), 8) if small else ((3, 3, 3, 3), 16)
    channels = tuple(width * 2**stage for stage in range(4))
    stem = {"stem_type": "deep", "stem_width": width // 2}
    return ResNet(BasicBlock, layers, num_classes=10, channels=channels, **stem)


def vit(small: bool) -> nn.Module:
    """timm's vision transformer: 6 blocks of two units, 3 if small."""
    from timm.models.vision_transformer import VisionTransformer

    size, patch, depth, width = (8, 4, 3, 32) if small else (32, 8, 6, 64)
    sizes = {"embed_dim": width, "depth": depth, "num_heads": 4}
    model = VisionTransformer(size, patch, num_classes=10, **sizes)
    for block in model.blocks:  # its backward pass is slow on a CPU
        block.attn.fused_attn = False
    return model


def decoder(small: bool) -> nn.Module:
    """transformers' GPT-2, reading bytes: 6 layers of two units, 3 if small."""
    from transformers import GPT2Config, GPT2LMHeadModel

    depth, width, length = (3, 32, 32) if small else (6, 64, 64)
    sizes = {"n_layer": depth, "n_embd": width, "n_head": 4, "n_positions": length}
    ends = {"bos_token_id": None, "eos_token_id": None}
    config = GPT2Config(vocab_size=256, **sizes, **ends, attn_implementation="eager")
    return GPT2LMHeadModel(config)


# ---- training ----


@dataclass(frozen=True)
class Reading:
    """How the decoder is trained, by AdamW."""

    steps: int
    batch: int = 32  # sequences
    learning_rate: float = 3e-3
    warmup: int = 50
    weight_decay: float = 0.1
    seed: int = SEED


RECIPES = {
    resnet: Recipe(
        "smaller resnet",
        4000,
        "iterations",
        learning_rate=0.1,
        schedule=Cosine(),
        warmup=Warmup(50, 0.01, "linear"),
        optimiser=SGD(nesterov=True),
        weight_decay=5e-4,
        seed=SEED,
    ),
    vit: Recipe(
        "smaller vit",
        4000,
        "iterations",
        learning_rate=2e-3,
        schedule=Cosine(),
        warmup=Warmup(50, 1e-4, "linear"),
        optimiser=AdamW(),
        weight_decay=0.05,
        decay="weights",
        seed=SEED,
    ),
}


def seeing(make: Any, options: argparse.Namespace, healed: int, tested: int) -> Subject:
    """An image model, trained by its recipe."""
    data, recipe = load(options.data or "digits", options.data_name), RECIPES[make]
    recipe = replace(recipe, length=options.steps or recipe.length)
    if options.small:
        recipe = replace(recipe, length=120, batch_size=32, augmentation=None, warmup=None)
    torch.manual_seed(SEED)
    run = train(make(options.small), data, recipe, options.output / make.__name__, MACHINE)
    normaliser = fit(data.train, recipe.normalisation)
    model = make(options.small)  # training has another memory format, which rounds otherwise
    model.load_state_dict(run.weights())

    def some(images: Images, n: int) -> Examples:
        return Examples(*Pixels(images, normaliser, "cpu").batch(spread_out(len(images), n)))

    examples, test = some(data.train, healed), some(data.test, tested)
    told = {
        "data": plain(data.describe()),
        "recipe": {"length": recipe.length, "clock": recipe.clock, **recipe.meaning()},
        "last epoch": plain(run.outcome.last),
        "weights": run.outcome.weights.sha256,
    }
    view = residuum.unravel(model.eval(), test.inputs[:2])
    return Subject(make.__name__, view, data.name, "image", examples, test, told)


def text() -> Tensor:
    """The bytes of the language reference that `help()` shows, each paragraph once: topics repeat
    each other, and what tests must not have been read."""
    whole = "\n\n".join(pydoc_data.topics.topics.values())
    once = "\n\n".join(dict.fromkeys(whole.split("\n\n")))
    return torch.frombuffer(bytearray(once.encode()), dtype=torch.uint8).long()


def reading(make: Any, options: argparse.Namespace, healed: int, tested: int) -> Subject:
    """The decoder, trained on nine tenths of the text; the last tenth tests it."""
    torch.manual_seed(SEED)
    model, whole = make(options.small), text()
    settings = Reading(60 if options.small else options.steps or 2000)
    learnt, unread = whole.tensor_split([len(whole) * 9 // 10])
    digest = read(model, learnt, options.output / make.__name__, settings)

    def windows(part: Tensor, n: int) -> Examples:
        length = model.config.n_positions
        rows = part[: len(part) // length * length].view(-1, length)
        return Examples(rows, rows, NextToken()).spread(n)

    file = Path(pydoc_data.topics.__file__)
    told = {
        "data": {
            "file": f"{file.parent.name}/{file.name}",
            "sha256": sha256(file.read_bytes()),
            "bytes, each paragraph once": len(whole),
            "sha256 of these": sha256(bytes(whole.tolist())),
        },
        "settings": plain(settings),
        "weights": digest,
    }
    examples, test = windows(learnt, healed), windows(unread, tested)
    view = residuum.unravel(model.eval(), test.inputs[:2])
    return Subject(make.__name__, view, told["data"]["file"], "sequence", examples, test, told)


def read(model: Any, text: Tensor, folder: Path, by: Reading) -> str:
    """Train on windows drawn anew every step; goes on where it was stopped. The weights' digest."""
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=by.weight_decay)
    checkpoints, start = Checkpoints(folder), 0
    if found := checkpoints.latest():
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}}
        for name, tensor in found.tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        model.load_state_dict(parts["model"])
        recall(optimiser, model, parts["optimiser"], found.state.optimiser)
        start = found.state.step
    window, task, size = torch.arange(model.config.n_positions), NextToken(), (by.batch, 1)
    model.train()
    for step in range(start, by.steps):
        rate = by.learning_rate * min(1, (step + 1) / by.warmup)
        optimiser.param_groups[0]["lr"] = rate * Cosine().factor_at(step, 1, by.steps)
        source = generator(by.seed, step)
        starts = torch.randint(len(text) - len(window), size, generator=source)
        batch = text[starts + window]
        with drawing("cpu", by.seed, step):
            loss = task.loss(model(batch), batch).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % 25 == 0 or step + 1 == by.steps:
            memory, numbers = remember(optimiser, model)
            tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
            tensors |= {f"optimiser.{name}": tensor for name, tensor in memory.items()}
            checkpoints.save(Checkpoint(tensors, State(step + 1, optimiser=numbers)))
            say_plain(f"decoder: step {step + 1} of {by.steps}, loss {loss.item():.3f}")
    return sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters()))
