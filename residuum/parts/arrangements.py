"""In which order convolution, normalisation and activation come: He et al. 2016, fig. 4, table 2.

An order is written in words: "bn relu dropout:0.3 conv". `WORDS` says what each builds, and
`NUMBERED` what those with a number behind them do; a new one is one line:

    WORDS["prelu"] = nn.PReLU
    NUMBERED["leaky"] = nn.LeakyReLU
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ..errors import UsageError, nearest
from .activations import PELU

WORDS: dict[str, Callable[[int], nn.Module]] = {
    "bn": nn.BatchNorm2d,
    "relu": lambda channels: nn.ReLU(),
    "elu": lambda channels: nn.ELU(),
    "pelu": lambda channels: PELU(),
}
NUMBERED: dict[str, Callable[[float], nn.Module]] = {"dropout": nn.Dropout}


@dataclass(frozen=True)
class Arrangement:
    """What stands round the convolutions, as words in signal order.

    `layer`: every layer of the branch but the last.
    `last`: the last layer of the branch.
    `after`: f, behind the merge.
    `stem`: the first convolution of the network.
    `head`: ahead of pooling.
    `letter`: the panel of He et al. 2016, fig. 4.
    """

    name: str
    letter: str
    layer: str
    last: str
    after: str = ""
    stem: str = "conv bn relu"
    head: str = ""

    @property
    def opening(self) -> str:
        """What stands ahead of a layer's convolution: empty for post-activation units."""
        return self.layer.partition("conv")[0].strip()


ORIGINAL = Arrangement("original", "a", "conv bn relu", "conv bn", after="relu")
BN_AFTER_ADD = Arrangement("bn_after_add", "b", "conv bn relu", "conv", after="bn relu")
RELU_BEFORE_ADD = Arrangement("relu_before_add", "c", "conv bn relu", "conv bn relu")
RELU_PREACT = Arrangement(
    "relu_preact", "d", "relu conv bn", "relu conv bn", stem="conv bn", head="relu"
)
PREACT = Arrangement("preact", "e", "bn relu conv", "bn relu conv", stem="conv", head="bn relu")

# Trottier et al. 2017, fig. 1: no activation behind the sum, none ahead of the first unit
ELU = Arrangement("elu", "-", "conv elu", "conv bn", stem="conv elu", head="elu")
PELUS = Arrangement("pelu", "-", "conv pelu", "conv bn", stem="conv pelu", head="pelu")

ARRANGEMENTS = {a.name: a for a in (ORIGINAL, BN_AFTER_ADD, RELU_BEFORE_ADD, RELU_PREACT, PREACT)}


def modules(words: str, channels: int, conv: nn.Conv2d | None = None) -> list[nn.Module]:
    """The modules that the words name; normalisation fits the side of `conv` that it stands on.

    `channels`: those of the signal ahead of the first word.
    `conv`: what the word "conv" stands for, where the words have one.
    UsageError: an unknown word, with the nearest; a number that is missing, or that the word's
    module does not take.
    """
    built: list[nn.Module] = []
    for word in words.split():
        name, _, number = word.partition(":")
        if word == "conv" and conv is not None:
            built.append(conv)
            channels = conv.out_channels
        elif word in WORDS:
            built.append(WORDS[word](channels))
        elif name in NUMBERED:
            built.append(_numbered(words, name, number))
        else:
            known = [*WORDS, *(f"{name}:0.5" for name in NUMBERED), *(["conv"] if conv else [])]
            raise UsageError(f"arrangement {words!r}: unknown word {word!r}.{nearest(word, known)}")
    return built


def _numbered(words: str, name: str, number: str) -> nn.Module:
    try:
        value = float(number)
        if not math.isfinite(value):
            raise ValueError("it must be finite")
        return NUMBERED[name](value)
    except ValueError as error:
        said = f"{name!r} takes a number, such as {name}:0.5, not {number!r} ({error})"
        raise UsageError(f"arrangement {words!r}: {said}") from error


def activation(words: str, channels: int) -> nn.Module | None:
    """The words with no convolution among them, as one module; None where there are none."""
    built = modules(words, channels)
    return nn.Sequential(*built) if len(built) > 1 else next(iter(built), None)
