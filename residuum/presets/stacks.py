"""Stacks of layers without shortcuts. Rows only."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..networks.elu import DROPOUT, ELU11, ELU18, elu_network
from ..networks.fitnet import FITNET1, FITNET2, FITNET3, FITNET4, Groups, fitnet, teacher
from ..networks.nin import all_cnn, dsn, nin
from ..networks.stacks import vgg
from ..parts.init import HE_FAN_IN, NORMAL, ORTHONORMAL, UNIFORM, Initialisation
from .family import Preset
from .published import Published
from .residual import c10, c100, svhn

LIN14 = "Lin et al. 2014, Network In Network"
LEE15 = "Lee et al. 2015, Deeply-Supervised Nets"
SPRINGENBERG15 = "Springenberg et al. 2015, Striving for Simplicity"
CLEVERT16 = "Clevert et al. 2016, ELU"
ROMERO15 = "Romero et al. 2015, FitNets"
MISHKIN16 = "Mishkin and Matas 2016, All You Need Is a Good Init"
FLIPS, BARE = "crops and flips", "not augmented"
NONE = "no recipe is here: the source's is not known to the digit"


def stacked(
    name: str, depth: int, source: str, network: Callable, start: Initialisation, recipe: str,
    *published: Published, note: str = "",
) -> Preset:  # fmt: skip
    return Preset(name, depth, source, network, None, start, recipe, published, note, options=())


def fit(number: int, depth: int, groups: Groups, *published: Published, note: str) -> Preset:
    network = partial(fitnet, groups=groups)
    name = f"fitnet{number}"
    return stacked(name, depth, ROMERO15, network, UNIFORM, "fitnet-cifar", *published, note=note)


def sized(row: Preset) -> Preset:
    """Of a network that must know how large its images are."""
    return replace(row, options=("size",))


PIECES = "500 hidden units of two pieces, which gives the parameters told"

ROWS = (
    Preset(
        "vgg15", 15, "Veit et al. 2016, Residual Networks Behave Like Ensembles, sec. 4.1",
        vgg, None, HE_FAN_IN, "fb-cifar", options=("size",),
        note="15 layers, 128 channels everywhere; "
        "groups 2-2-3-3-3 and two linear layers are this project's reading",
    ),
    stacked("nin", 9, LIN14, nin, NORMAL, "",
            c10(10.41, "", LIN14, BARE), c10(8.81, "", LIN14, FLIPS),
            c100(35.68, "", LIN14, BARE), svhn(2.35, "", LIN14), note=NONE),
    sized(stacked("dsn", 9, LEE15, dsn, NORMAL, "dsn-cifar",
            c10(9.69, "", LEE15, BARE),
            c10(7.97, "", LEE15, f"{FLIPS}; 8.22 in a table of He et al. 2016"),
            c100(34.57, "", LEE15, BARE), svhn(1.92, "", LEE15),
            note="966,986 parameters in use; 3,547,496 in training, with three companion heads "
            "that are no part of the network afterwards")),
    stacked("allcnn-c", 9, SPRINGENBERG15, all_cnn, HE_FAN_IN, "allcnn-cifar",
            c10(9.08, "", SPRINGENBERG15, BARE), c10(7.25, "", SPRINGENBERG15, FLIPS),
            c10(4.41, "", SPRINGENBERG15, "much more augmentation, larger images"),
            c100(33.71, "", SPRINGENBERG15, BARE),
            note="He initial weights are an interpretation"),
    stacked("elu18", 19, CLEVERT16, partial(elu_network, stacks=ELU18, rates=DROPOUT),
            HE_FAN_IN, "",
            c10(6.55, "", CLEVERT16, f"{FLIPS}; a later table says not augmented"),
            c100(24.28, "", CLEVERT16, f"{FLIPS}; a later table says not augmented"),
            note="18 convolutions and that of the classes. Seven pools do not fit 32 pixels: five, "
            "and padding of 2x2 kernels on the right and below, are an interpretation. "
            "Dropout rates rise during the paper's training; no recipe is here"),
    replace(stacked("elu11", 11, CLEVERT16, partial(elu_network, stacks=ELU11), HE_FAN_IN,
            "elu11-cifar",
            c100(28.75, "mean", CLEVERT16, "+- 0.24; the comparison of activations"),
            note="pools as in elu18, an interpretation"), classes=100),
    fit(1, 11, FITNET1, c10(10.99, "", ROMERO15, "accuracy 89.01"), note=PIECES),
    fit(2, 11, FITNET2, c10(8.94, "", ROMERO15, "accuracy 91.06"), note=PIECES),
    fit(3, 13, FITNET3, c10(8.9, "", ROMERO15, "accuracy 91.10"),
        svhn(2.42, "", ROMERO15, "a network of 13 layers"), note=f"{PIECES}; 1.6M are told"),
    fit(4, 19, FITNET4, c10(8.39, "", ROMERO15, "accuracy 91.61"), c100(35.04, "", ROMERO15),
        note=f"{PIECES}; five in the released code, 2,742,102 parameters. Often quoted with 2.42 "
        "on SVHN, which is the network of 13 layers"),
    sized(stacked("fitnet-teacher", 5, ROMERO15, teacher, UNIFORM, "fitnet-cifar",
            c10(9.82, "", ROMERO15, "accuracy 90.18"),
            note="about 9M parameters are told; that convolutions keep the size is an "
            "interpretation")),
    stacked("fitnet4-lsuv", 19, MISHKIN16, partial(fitnet, rate=0.2), ORTHONORMAL, "lsuv-fitnet4",
            c10(6.06, "", MISHKIN16, "accuracy 93.94"),
            c100(29.96, "", MISHKIN16, "accuracy 70.04"),
            c100(27.66, "", MISHKIN16, "RMSProp; often quoted in a row with FitResNet's 5.84"),
            note="FitNet-4 without hints; the scheme LSUV scales the orthonormal weights"),
    stacked("fitnet4-lsuv-relu", 19, MISHKIN16, partial(fitnet, pieces=1, rate=0.2), ORTHONORMAL,
            "lsuv-fitnet4", note="ReLU in place of maxout, the same widths"),
)  # fmt: skip
FAMILIES = ()
