"""Fractal networks. Rows only."""

from functools import partial

from ..networks.fractalnet import DropPath, FractalNetwork, fractalnet
from ..parts.init import XAVIER
from .family import Preset
from .published import Published
from .residual import c10, c100, svhn

LARSSON17 = "Larsson et al. 2017, FractalNet"
T1 = LARSSON17 + ", table 1"
DRAWS = "drop-path and dropout"
DEEPEST = "the deepest column alone"
FLIPS, MORE = "crops and flips", "more augmentation"
COUNT = (
    "the paper's depth leaves out the linear layer; batch normalisation without scale and shift, "
    "convolutions with bias (the code); pools ahead of joins. Drop-path by halves of a batch, "
    "global and local, is an interpretation"
)
ROW_MIXED = "quoted with 22.85 on CIFAR-100, which is without drop-path"


def dropping(classes: int, columns: int) -> FractalNetwork:
    """With drop-path, a draw an example."""
    return fractalnet(classes, columns, drop_path=DropPath())


def fractal(columns: int, *published: Published, note: str = COUNT) -> Preset:
    depth = 5 * 2 ** (columns - 1)
    network = partial(dropping, columns=columns)
    return Preset(
        f"fractalnet{depth}", depth + 1, LARSSON17, network, None, XAVIER, "fractal-cifar",
        published, note, options=(),
    )  # fmt: skip


ROWS = (
    fractal(1, note=f"one column: a plain network of 5 convolutions; {COUNT}"),
    fractal(2),
    fractal(
        3,
        c10(4.6, "", T1, f"{DRAWS}; {FLIPS}"), c10(4.59, "", T1, f"{DRAWS}; {MORE}; {ROW_MIXED}"),
        c10(7.33, "", T1, f"{DRAWS}; not augmented"), c10(4.68, "", T1, f"{DEEPEST}; {FLIPS}"),
        c100(23.73, "", T1, f"{DRAWS}; {FLIPS}"), c100(23.36, "", T1, f"{DRAWS}; {MORE}"),
        c100(28.2, "", T1, f"{DRAWS}; not augmented"), c100(24.32, "", T1, f"{DEEPEST}; {FLIPS}"),
        svhn(1.87, "", T1, f"{DRAWS}; deepest column 1.89"),
        note=f"{COUNT}. Counted 33.7M parameters; the paper says 30M, others quote 38.6M",
    ),
    fractal(4),
    Preset(
        "fractalnet20-alive", 21, LARSSON17, partial(fractalnet, columns=3, dropout=(0,) * 5), None,
        XAVIER, "fractal-cifar",
        (c10(5.22, "", T1, FLIPS), c10(5.11, "", T1, MORE), c10(10.18, "", T1, "not augmented"),
         c100(23.3, "", T1, FLIPS), c100(22.85, "", T1, MORE),
         c100(35.34, "", T1, "not augmented"), svhn(2.01, "", T1)),
        note="all columns alive, no dropout: fractalnet20 without regularisation", options=(),
    ),
)  # fmt: skip
FAMILIES = ()
