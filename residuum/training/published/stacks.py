"""Stacked layers: highway, DSN, FitNets, LSUV, ELU, All-CNN; a block of BoostResNet."""

from dataclasses import replace

from ...data.augmentation import Augmentation
from ..limits import Limits
from ..optimisers import SGD, Adam, LayerFactor, RMSProp
from ..recipe import Recipe
from ..schedules import Piecewise, Steps
from ..schemes import Companions, Lsuv

BIASES = LayerFactor("biases", rate=2.0, decay=0.0)  # Caffe's custom
WIDE_CROPS = Augmentation(pad=8)

HIGHWAY_CIFAR = Recipe(
    "highway-cifar",
    200_000,
    "iterations",
    source="highway-networks (the code), 19 layers: GCN, then the mean image; biases learn at "
    "double rate and do not decay, the classifier decays ten times as fast",
    learning_rate=0.025,
    schedule=Steps((100_000, 150_000, 175_000)),
    batch_size=100,
    optimiser=SGD(nesterov=True),
    weight_decay=1e-3,
    augmentation=WIDE_CROPS,
    normalisation="gcn-pixel-mean",
    layers=(BIASES, LayerFactor("last", decay=10.0)),
)
HIGHWAY_CIFAR_40K = replace(
    HIGHWAY_CIFAR,
    name="highway-cifar-40k",
    source="Srivastava et al. 2015, networks 3* and 4*: trained on 40,000 images",
    validation=10_000,
)
DSN_CIFAR = Recipe(
    "dsn-cifar",
    200_000,
    "iterations",
    source="DSN (the code), CIFAR-10 augmented: 50,000 steps with companions, 120,000 without "
    "(a twentieth of the rate from their 100,001st on), 30,000 at 1e-4; the optimiser starts anew "
    "with each; borders of 8 pixels: an interpretation",
    learning_rate=0.025,
    schedule=Piecewise((150_001, 170_000), (0.05, 0.004)),
    batch_size=100,
    weight_decay=5e-4,
    augmentation=WIDE_CROPS,
    normalisation="gcn",
    layers=(BIASES, LayerFactor("last", rate=0.1)),
    restarts=(170_000,),  # at 50,000 with the companions' end
    scheme=Companions(50_000),
)
FITNET_CIFAR = Recipe(
    "fitnet-cifar",
    288,
    source="FitNets (the code), second stage: convolutions at a twentieth of the rate, kernels "
    "of norm 0.9 and units of 1.9 at most; pylearn2's RMSProp takes the larger of root and 1e-5, "
    "this one their sum",
    learning_rate=0.005,
    optimiser=RMSProp(smoothing=0.9, epsilon=1e-5),
    weight_decay=0.0,
    augmentation=WIDE_CROPS,
    normalisation="gcn-zca",
    layers=(LayerFactor("convolutions", rate=0.05),),
    limits=Limits(convolution=0.9, linear=1.9),
    partial_batches="dropped",
)
LSUV_FITNET4 = Recipe(
    "lsuv-fitnet4",
    90_000,
    "iterations",
    source="LSUVinit (the code): GCN, then the mean image; biases do not decay",
    learning_rate=0.01,
    schedule=Steps((40_000, 60_000, 80_000)),
    weight_decay=5e-4,
    augmentation=WIDE_CROPS,
    normalisation="gcn-pixel-mean",
    layers=(LayerFactor("biases", decay=0.0),),
    scheme=Lsuv(),
)
LSUV_FITNET4_RMSPROP = replace(
    LSUV_FITNET4,
    name="lsuv-fitnet4-rmsprop",
    length=190_000,
    source="LSUVinit (the code), CIFAR-100: RMSProp, halved six times",
    learning_rate=5e-4,
    schedule=Steps((70_000, 100_000, 130_000, 150_000, 170_000, 180_000), 0.5),
    optimiser=RMSProp(smoothing=0.9),
)
ELU11_CIFAR = Recipe(
    "elu11-cifar",
    165_000,
    "iterations",
    source="Clevert et al. 2016 (the paper), 11 convolutions",
    learning_rate=0.01,
    schedule=Piecewise((35_000, 85_000, 135_000), (0.5, 0.05, 0.005)),
    batch_size=100,
    weight_decay=5e-4,
    normalisation="gcn-zca",
)
ALLCNN_CIFAR = Recipe(
    "allcnn-cifar",
    350,
    source="Springenberg et al. 2015 (the paper, recalled): the rate is chosen among 0.25, 0.1, "
    "0.05 and 0.01 for each network; 0.05 and batches of 128 are an interpretation",
    learning_rate=0.05,
    schedule=Steps((200, 250, 300)),
    weight_decay=1e-3,
    normalisation="gcn-zca",
)
BOOST_CIFAR = Recipe(
    "boost-cifar",
    10_000,
    "iterations",
    source="boostresnet (the code): the steps of one block; shifts of -2 to +1 pixels, sampling "
    "with replacement, gradients clamped",
    learning_rate=1e-3,
    batch_size=100,
    optimiser=Adam(),
    weight_decay=0.0,
    augmentation=Augmentation(pad=2, pad_after=1),
    limits=Limits(gradient=0.1),
    sampling="replacement",
    partial_batches="dropped",
)
BOOST_SVHN = replace(
    BOOST_CIFAR,
    name="boost-svhn",
    source="boostresnet (the code): the steps of one block at most, looked at every 5,000",
    augmentation=None,
)

RECIPES = (
    HIGHWAY_CIFAR,
    HIGHWAY_CIFAR_40K,
    DSN_CIFAR,
    FITNET_CIFAR,
    LSUV_FITNET4,
    LSUV_FITNET4_RMSPROP,
    ELU11_CIFAR,
    ALLCNN_CIFAR,
    BOOST_CIFAR,
    BOOST_SVHN,
)
