"""Models that are not our own, small: one of transformers, one that a function gives, their data,
and what `residuum prune` keeps of them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from residuum.dissection import dissect
from residuum.dissection.effort import Effort
from residuum.dissection.files import RESULT
from residuum.machine import Machine
from residuum.storage import make_folder
from residuum.subjects import Measuring, Source, open_model, open_subject
from residuum.surgery.files import quietly
from residuum.verbs import lesion, map_units, paths, prune, similarity

FUNCTION = """from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2)
        self.units = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        x = self.stem(x)
        for unit in self.units:
            x = x + unit(x).relu()
        return self.head(x.mean((2, 3)))


def net(classes=2):
    return Net(classes)
"""
SMALL = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}


def make_models(place: Path, machine: Machine) -> None:
    """hf/ (transformers), text.txt, own.py, own.safetensors, cut/ (hf without a unit), dissected/
    (own.py's, without its page). They stand in `place`, where words are said."""
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=256, num_hidden_layers=1, **SMALL)
    with quietly():
        transformers.LlamaForCausalLM(config).save_pretrained(place / "hf")
    (place / "hf" / "generation_config.json").unlink()
    (place / "text.txt").write_text("to be or not to be, that is the question\n" * 5)
    (place / "own.py").write_text(FUNCTION)
    with within(place):
        save_file(open_model("own:net").model.state_dict(), "own.safetensors")
        read = {"measuring": Measuring(length=8, examples=2), "machine": machine}
        source = Source(data="text.txt")
        prune("hf:hf", output=Path("cut"), units=1, source=source, **read)
        _dissect(Path("dissected"))


def _dissect(folder: Path) -> None:
    """All but the page, which takes seconds to draw."""
    effort, measuring = Effort(), Measuring(examples=2)
    subject = open_subject(
        "own:net", measuring, Source(data="images"), "cpu", effort.search_examples
    )
    dissect(subject, effort, make_folder(folder)).save(folder / RESULT)


@contextmanager
def within(place: Path) -> Iterator[None]:
    """The current directory is there, and no module of it stays imported."""
    before = Path.cwd()
    os.chdir(place)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        os.chdir(before)
        sys.modules.pop("own", None)


def warm_models(place: Path, machine: Machine) -> None:
    """Loads in this process what forked ones would each load anew."""
    text = {"data": "text.txt", "length": 8, "machine": machine}
    with within(place):
        lesion("hf:hf", **text)
        similarity("hf:hf", **text)
        paths("cut")
        for word in ("own:net", "tv:shufflenet_v2_x0_5", "timm:test_vit"):
            map_units(word, image_size=32, machine=machine)
