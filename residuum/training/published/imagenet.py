"""ImageNet: He et al., fb.resnet.torch, ResNeXt. Images are kept in memory, squares of one size.

So give them with --image-size, above the crop: 256 for resized crops, 480 for scaled ones. He et
al. 2015 lower the rate when the error stands still, which is no function of the step: not here.
"""

from dataclasses import replace

from ...data.augmentation import ResizedCrop, ScaledCrop
from ..optimisers import SGD
from ..recipe import Recipe
from ..schedules import Steps

IMAGENET_HE = Recipe(
    "imagenet-he",
    90,
    source="He et al. 2016, appendix (the paper): the short side scaled to 256-480, 224 pixels "
    "cropped, lighting; the mean is by channel, an interpretation",
    schedule=Steps((30, 60)),
    batch_size=256,
    decay="weights",
    augmentation=None,
    crop=ScaledCrop(),
)
IMAGENET_FB = Recipe(
    "imagenet-fb",
    90,
    source="fb.resnet.torch (the code): resized crops, colour jitter, lighting; statistics are "
    "those of the training part, there ImageNet's",
    schedule=Steps((30, 60)),
    batch_size=256,
    optimiser=SGD(nesterov=True),
    augmentation=None,
    crop=ResizedCrop(),
)
IMAGENET_RESNEXT = replace(
    IMAGENET_FB,
    name="imagenet-resnext",
    length=100,
    source="ResNeXt (the code): as fb.resnet.torch, 100 epochs, a drop every 30",
    schedule=Steps((30, 60, 90)),
)

RECIPES = (IMAGENET_HE, IMAGENET_FB, IMAGENET_RESNEXT)
