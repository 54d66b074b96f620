"""Networks wide or densely joined: WRN, DenseNet, ResNeXt on CIFAR and SVHN."""

from dataclasses import replace

from ...data.augmentation import Augmentation
from ..optimisers import SGD
from ..recipe import Recipe
from ..schedules import Steps

WRN_CIFAR = Recipe(
    "wrn-cifar",
    200,
    source="Zagoruyko and Komodakis 2016 (the paper): drops at epochs 60, 120 and 160, reflected "
    "borders, channel statistics",
    schedule=Steps((60, 120, 160), 0.2),
    optimiser=SGD(nesterov=True),
    weight_decay=5e-4,
    augmentation=Augmentation(border="reflection"),
)
WRN_CIFAR_ZCA = replace(
    WRN_CIFAR,
    name="wrn-cifar-zca",
    source="Zagoruyko and Komodakis 2016, first version (the paper): GCN and ZCA whitening",
    normalisation="gcn-zca",
)
# the Lua code makes its optimiser anew at each drop, drops the last short batch, and crops all
# images of a batch alike
WRN_CIFAR_CODE = replace(
    WRN_CIFAR,
    name="wrn-cifar-code",
    source="wide-residual-networks (the Lua code): drops after 59, 119 and 159 whole epochs, "
    "momentum cleared there, 390 steps an epoch, one crop a batch; its CIFAR-100 constants are "
    "CIFAR-10's, these CIFAR-100's own",
    schedule=Steps((59, 119, 159), 0.2),
    restarts=(59, 119, 159),
    partial_batches="dropped",
    augmentation=Augmentation(border="reflection", per="batch"),
)
WRN_CIFAR_PORT = replace(
    WRN_CIFAR_CODE,
    name="wrn-cifar-port",
    source="wide-residual-networks (the PyTorch port's code): no Nesterov momentum, 391 steps an "
    "epoch, a crop for every image",
    optimiser=SGD(),
    partial_batches="kept",
    augmentation=Augmentation(border="reflection"),
)
WRN_SVHN = replace(
    WRN_CIFAR,
    name="wrn-svhn",
    length=160,
    learning_rate=0.01,
    source="Zagoruyko and Komodakis 2016 (the paper): train and extra, divided by 255",
    schedule=Steps((80, 120)),
    augmentation=None,
    normalisation="scale",
)
WRN_SVHN_CODE = replace(
    WRN_SVHN,
    name="wrn-svhn-code",
    source="wide-residual-networks (the Lua code): drops after 79 and 119 whole epochs, momentum "
    "cleared there, the last short batch dropped",
    schedule=Steps((79, 119)),
    restarts=(79, 119),
    partial_batches="dropped",
)
DENSENET_CIFAR = Recipe(
    "densenet-cifar",
    300,
    source="Huang et al. 2017 (the paper): drops at 50 and 75 % of the epochs; dropout, where "
    "nothing is augmented, belongs to the network",
    schedule=Steps((150, 225)),
    batch_size=64,
    optimiser=SGD(nesterov=True),
)
DENSENET_CIFAR_CODE = replace(
    DENSENET_CIFAR,
    name="densenet-cifar-code",
    source="DenseNet (the code): drops after 149 and 224 whole epochs",
    schedule=Steps((149, 224)),
)
DENSENET_SVHN = replace(
    DENSENET_CIFAR,
    name="densenet-svhn",
    length=40,
    source="Huang et al. 2017 (the paper): 40 epochs, divided by 255",
    schedule=Steps((20, 30)),
    augmentation=None,
    normalisation="scale",
)
DENSENET_SVHN_CODE = replace(
    DENSENET_SVHN,
    name="densenet-svhn-code",
    source="DenseNet (the code): drops after 19 and 29 whole epochs",
    schedule=Steps((19, 29)),
)
RESNEXT_CIFAR = Recipe(
    "resnext-cifar",
    300,
    source="Xie et al. 2017 (the paper, as its authors' README tells it): batches of 256, drops "
    "at epochs 150 and 225",
    schedule=Steps((150, 225)),
    batch_size=256,
    optimiser=SGD(nesterov=True),
    weight_decay=5e-4,
)
RESNEXT_CIFAR_CODE = replace(
    RESNEXT_CIFAR,
    name="resnext-cifar-code",
    source="ResNeXt (the code): batches of 128, drops after 147 and 222 whole epochs (it tests "
    "epoch / 300 > 0.49 and 0.74)",
    schedule=Steps((147, 222)),
    batch_size=128,
)

RECIPES = (
    WRN_CIFAR,
    WRN_CIFAR_ZCA,
    WRN_CIFAR_CODE,
    WRN_CIFAR_PORT,
    WRN_SVHN,
    WRN_SVHN_CODE,
    DENSENET_CIFAR,
    DENSENET_CIFAR_CODE,
    DENSENET_SVHN,
    DENSENET_SVHN_CODE,
    RESNEXT_CIFAR,
    RESNEXT_CIFAR_CODE,
)
