"""Residual networks of one width: He et al. 2015 and 2016, fb.resnet.torch, Veit, PELU, RiR."""

from dataclasses import replace

from ..optimisers import SGD
from ..recipe import Recipe
from ..schedules import Steps, Warmup
from ..schemes import ActiveSubset

HE_CIFAR = Recipe(
    "he-cifar",
    64_000,
    "iterations",
    source="He et al. 2015, sec. 4.2; per-pixel mean subtracted, weights alone decay",
    schedule=Steps((32_000, 48_000)),
    normalisation="pixel-mean",
    decay="weights",
)
HE_CIFAR_WARM = replace(
    HE_CIFAR,
    name="he-cifar-warm",
    warmup=Warmup(400, 0.01),
    source="He et al. 2015, sec. 4.2, 110 layers: 0.01 until below 80 % error, 400 iterations",
)
PREACT_CIFAR = replace(
    HE_CIFAR_WARM,
    name="preact-cifar",
    source="He et al. 2016, sec. 4 and appendix (the paper): warm-up in all CIFAR runs",
)
# the code tests epoch >= 81 and epoch >= 122, counted from 1: the rate drops after 80 and 121 whole
# epochs, and milestones here are whole epochs done
FB_CIFAR = Recipe(
    "fb-cifar",
    164,
    source="fb.resnet.torch (the code): Nesterov momentum, channel statistics, everything decays, "
    "no warm-up",
    schedule=Steps((80, 121)),
    optimiser=SGD(nesterov=True),
)
PREACT_CIFAR_CODE = replace(
    FB_CIFAR,
    name="preact-cifar-code",
    length=200,
    batch_size=64,
    source="resnet-1k-layers (the code of He et al. 2016, 1001 layers): batches of 64, Nesterov "
    "momentum, channel statistics, everything decays, no warm-up",
)

# clock: iterations, since an image may come twice in what it calls an epoch
VEIT_CIFAR_CODE = replace(
    FB_CIFAR,
    name="veit-cifar-code",
    length=78_516,
    clock="iterations",
    source="torch-residual-networks (the code of Veit's second author): sampling with replacement, "
    "drops after 80 and 120 times 50,000 images, the end after 201; the paper: he-cifar",
    schedule=Steps((31_250, 46_875)),
    normalisation="pixel",
    sampling="replacement",
    partial_batches="dropped",
)
VEIT_EFFECTIVE_PATHS = replace(
    HE_CIFAR,
    name="veit-effective-paths",
    source="Veit et al. 2016, sec. 4.3 (the paper): 23 of 54 units take part in a step",
    scheme=ActiveSubset(active=23),
)
PELU_CIFAR = replace(
    FB_CIFAR,
    name="pelu-cifar",
    length=200,
    batch_size=256,
    weight_decay=1e-3,
    schedule=Steps((81, 122)),
    source="Trottier et al. 2017 (the paper): drops at epochs 81 and 122; the bounds of PELU's "
    "parameters belong to the network",
)
PELU_CIFAR_CODE = replace(
    PELU_CIFAR,
    name="pelu-cifar-code",
    schedule=Steps((80, 121)),
    source="pelu.resnet.torch (the code): drops after 80 and 121 whole epochs",
)
RIR_CIFAR = Recipe(
    "rir-cifar",
    82,
    source="Targ et al. 2016 (the paper, recalled, not checked against its text): batches of 500",
    schedule=Steps((42, 62)),
    batch_size=500,
)

RECIPES = (
    HE_CIFAR,
    HE_CIFAR_WARM,
    PREACT_CIFAR,
    PREACT_CIFAR_CODE,
    FB_CIFAR,
    VEIT_CIFAR_CODE,
    VEIT_EFFECTIVE_PATHS,
    PELU_CIFAR,
    PELU_CIFAR_CODE,
    RIR_CIFAR,
)
