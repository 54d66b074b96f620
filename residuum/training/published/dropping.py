"""Trained with units or values left out: stochastic depth, RoR, Swapout, FractalNet.

What is drawn belongs to the network; a recipe says the rest.
"""

from dataclasses import replace

from ...data.augmentation import Augmentation
from ..optimisers import SGD, LayerFactor
from ..recipe import Recipe
from ..schedules import Steps, Warmup

SD_CIFAR = Recipe(
    "sd-cifar",
    500,
    source="Huang et al. 2016, sec. 4 (the paper): drops at epochs 250 and 375; 5,000 validation "
    "images, the test error is that of the epoch with the lowest validation error",
    schedule=Steps((250, 375)),
    optimiser=SGD(nesterov=True),
    normalisation="pixel",
    validation=5_000,
)
SD_CIFAR_CODE = replace(
    SD_CIFAR,
    name="sd-cifar-code",
    source="Stochastic_Depth (the code): drops after 249 and 374 whole epochs; its validation "
    "images are drawn from all, these class by class",
    schedule=Steps((249, 374)),
)
SD_1202 = replace(
    SD_CIFAR,
    name="sd-1202",
    length=300,
    source="Huang et al. 2016, sec. 4 (the paper), 1202 layers: 0.01 for 10 epochs of 352 steps; "
    "batches of 128 are an interpretation",
    schedule=Steps((150, 225)),
    warmup=Warmup(3_520, 0.01),
)
SD_SVHN = replace(
    SD_CIFAR,
    name="sd-svhn",
    length=50,
    source="Huang et al. 2016, sec. 4 (the paper): drops at epochs 30 and 35 of 50, 6,000 "
    "validation images (here 600 a class of train and extra together, there 400 and 200), judged "
    "at every epoch's end, there every 200 steps",
    schedule=Steps((30, 35)),
    augmentation=None,
    validation=6_000,
)
SD_SVHN_CODE = replace(
    SD_SVHN,
    name="sd-svhn-code",
    source="Stochastic_Depth (the code): drops after 29 and 34 whole epochs",
    schedule=Steps((29, 34)),
)
ROR_CIFAR = Recipe(
    "ror-cifar",
    500,
    source="Zhang et al. 2016 (the paper, recalled); Nesterov momentum as in a re-implementation, "
    "channel statistics: an interpretation",
    schedule=Steps((250, 375)),
    optimiser=SGD(nesterov=True),
)
ROR_SVHN = replace(
    ROR_CIFAR,
    name="ror-svhn",
    length=50,
    source="Zhang et al. 2016 (recalled) and a re-implementation; train and extra, divided by 255",
    schedule=Steps((30, 35)),
    augmentation=None,
    normalisation="scale",
)
SWAPOUT_CIFAR = Recipe(
    "swapout-cifar",
    256,
    source="Singh et al. 2016 (the paper, recalled): drops at epochs 192 and 224; channel "
    "statistics: an interpretation",
    schedule=Steps((192, 224)),
)
SWAPOUT_CIFAR_CODE = replace(
    SWAPOUT_CIFAR,
    name="swapout-cifar-code",
    source="a re-implementation (the paper's code is not public): the images of a batch share "
    "one crop, half are mirrored",
    augmentation=Augmentation(per="batch"),
)
FRACTAL_CIFAR = Recipe(
    "fractal-cifar",
    400,
    source="Larsson et al. 2017 (the paper): divided by 10 whenever the remaining epochs halve, "
    "four times as in a re-implementation; rates of biases from its code; no decay is given: 0",
    learning_rate=0.02,
    schedule=Steps((200, 300, 350, 375)),
    batch_size=100,
    weight_decay=0.0,
    layers=(LayerFactor("biases", rate=2.0, decay=0.0),),
)

RECIPES = (
    SD_CIFAR,
    SD_CIFAR_CODE,
    SD_1202,
    SD_SVHN,
    SD_SVHN_CODE,
    ROR_CIFAR,
    ROR_SVHN,
    SWAPOUT_CIFAR,
    SWAPOUT_CIFAR_CODE,
    FRACTAL_CIFAR,
)
