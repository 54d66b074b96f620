"""Densely connected networks. Rows only."""

from functools import partial

from ..networks.densenet import cifar_densenet, cifar_densenet_bc, imagenet_densenet
from ..parts.init import HE_FAN_OUT
from .family import Preset
from .published import Published
from .residual import c10, c100, svhn, top1

HUANG17 = "Huang et al. 2017, Densely Connected Convolutional Networks"
T2 = HUANG17 + ", table 2"
RELEASED = "liuzhuang13/DenseNet, released models"
BARE = "not augmented, dropout 0.2"
STEM = "the paper's stem of 16 channels; the released code always has 2 x growth"


def table2(
    augmented: tuple[float, float], bare: tuple[float, float] | None, digits: float | None
) -> tuple[Published, ...]:
    """C10+ and C100+, C10 and C100, SVHN."""
    found = [c10(augmented[0], "", T2), c100(augmented[1], "", T2)]
    found += [c10(bare[0], "", T2, BARE), c100(bare[1], "", T2, BARE)] if bare else []
    return (*found, *([svhn(digits, "", T2, BARE)] if digits else []))


def cifar(
    name: str, depth: int, network: partial, published: tuple[Published, ...], note: str = ""
) -> Preset:
    return Preset(
        name,
        depth,
        HUANG17,
        network,
        None,
        HE_FAN_OUT,
        "densenet-cifar",
        published,
        note,
        options=(),
    )


def original(depth: int, growth: int, published: tuple[Published, ...], note: str = STEM) -> Preset:
    network = partial(cifar_densenet, depth, growth)
    return cifar(f"densenet{depth}-{growth}", depth, network, published, note)


def compressed(depth: int, growth: int, published: tuple[Published, ...], note: str = "") -> Preset:
    network = partial(cifar_densenet_bc, depth, growth)
    return cifar(f"densenet-bc{depth}-{growth}", depth, network, published, note)


DROPPED = "the network of the errors without augmentation: dropout 0.2 behind every convolution"

ROWS = (
    original(40, 12, table2((5.24, 24.42), (7.0, 27.55), 1.79)),
    original(100, 12, table2((4.1, 20.2), (5.77, 23.79), 1.67)),
    original(100, 24, table2((3.74, 19.25), (5.83, 23.42), 1.59)),
    compressed(100, 12, table2((4.51, 22.27), (5.92, 24.15), 1.76)),
    compressed(250, 24, table2((3.62, 17.6), (5.19, 19.64), 1.74)),
    compressed(190, 40, table2((3.46, 17.18), None, None)),
    cifar("densenet40-12-dropout", 40, partial(cifar_densenet, 40, 12, dropout=0.2),
          (c10(7.0, "", T2, "not augmented"), c100(27.55, "", T2, "not augmented"),
           svhn(1.79, "", T2)), f"{DROPPED} but the first"),
    cifar("densenet-bc100-12-dropout", 100, partial(cifar_densenet_bc, 100, 12, dropout=0.2),
          (c10(5.92, "", T2, "not augmented"), c100(24.15, "", T2, "not augmented"),
           svhn(1.76, "", T2)), f"{DROPPED} but the first"),
    *(Preset(f"densenet{depth}", depth, HUANG17 + ", table 1", partial(imagenet_densenet, depth),
             None, HE_FAN_OUT, "imagenet-fb", (top1(error, "single crop", RELEASED),), "",
             224, 1000, ())
      for depth, error in ((121, 25.0), (169, 23.6), (201, 22.5), (161, 22.2))),
)  # fmt: skip
FAMILIES = ()
