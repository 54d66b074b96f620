"""Highway networks, convolutional and fully connected. Rows only."""

from functools import partial

from ..networks.highway import highway, highway_linear, plain_linear
from ..parts.init import HE_FAN_IN_ALL, HIGHWAY, HIGHWAY_CODE, Initialisation
from .family import Preset
from .published import Published
from .residual import c10, c100

SRIVASTAVA15 = "Srivastava et al. 2015, Highway Networks"
T1 = SRIVASTAVA15 + ", table 1"
LATER = "Srivastava et al. 2015, Training Very Deep Networks"
SUBSET = "trained on 40,000 of the 50,000 images"
WIDTHS = "widths fitted to the parameters told, {}; interpretation"
GATES = "gate bias -2 and dropout 0.2 at four places, as in the released code"
MEANT = f"{GATES}; its first convolution starts from N(0, 1) through a misnamed field, here from "
MEANT += "the 0.05 that is meant: an interpretation. highway19 is what the code runs"
MEANS = (
    c10(7.6, "best run", LATER, "crops and flips"),
    c10(7.72, "mean of 5 runs", LATER, "often quoted beside best runs"),
    c100(32.24, "best run", LATER),
    c100(32.39, "mean of 5 runs", LATER, "often quoted beside best runs"),
)


def convolutional(
    name: str, depth: int, widths: tuple[int, ...], counts: tuple[int, ...],
    *published: Published, note: str, recipe: str = "highway-cifar",
    start: Initialisation = HIGHWAY,
) -> Preset:  # fmt: skip
    network = partial(highway, widths=widths, counts=counts)
    return Preset(
        name, depth, SRIVASTAVA15, network, None, start, recipe, published, note, options=(),
    )  # fmt: skip


FIG1 = SRIVASTAVA15 + ", fig. 1"
FLAT = (
    "{} on grey images, by default 28x28 as MNIST; the depth told leaves out the classifier. "
    "fig. 1 shows curves only; no recipe is here"
)


def flat(name: str, depth: int, network: partial, kind: str) -> Preset:
    return Preset(
        name, depth + 1, FIG1, partial(network, depth=depth), None, HE_FAN_IN_ALL,
        note=FLAT.format(kind), size=28, options=("size",),
    )  # fmt: skip


GATED, PLAIN = "50 units a layer, gate bias -1", "71 units a layer, no gates"

ROWS = (
    convolutional("highway1", 11, (24, 32, 64), (2, 2, 2), c10(10.82, "", T1, "accuracy 89.18"),
                  note=WIDTHS.format("about 236K")),
    convolutional("highway2", 19, (32, 80, 128), (4, 5, 5), c10(7.76, "", T1, "accuracy 92.24"),
                  note=MEANT),
    convolutional("highway3", 19, (40, 64, 96), (4, 5, 5),
                  c10(9.32, "", T1, f"accuracy 90.68; {SUBSET}"),
                  note=WIDTHS.format("about 1.4M"), recipe="highway-cifar-40k"),
    convolutional("highway4", 32, (32, 48, 64), (9, 9, 9),
                  c10(9.66, "", T1, f"accuracy 90.34; {SUBSET}"),
                  note=WIDTHS.format("about 1.25M"), recipe="highway-cifar-40k"),
    convolutional("highway19", 19, (32, 80, 128), (4, 5, 5), *MEANS, start=HIGHWAY_CODE,
                  note=f"{GATES}; the first convolution starts from N(0, 1), as there"),
    *(flat(f"highway-fc-{depth}", depth, partial(highway_linear), GATED)
      for depth in (10, 20, 50, 100)),
    *(flat(f"plain-fc-{depth}", depth, partial(plain_linear), PLAIN)
      for depth in (10, 20, 50, 100)),
)  # fmt: skip
FAMILIES = ()
