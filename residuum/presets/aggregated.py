"""ResNeXt, and bottlenecks of other inner widths. Rows only."""

from functools import partial

from ..networks.resnet import cifar_resnet, imagenet_resnet
from ..parts.branches import grouped
from ..parts.init import HE_FAN_OUT
from ..parts.shortcuts import option_b
from .family import Preset
from .published import Published
from .residual import LARGE_BOTTLENECK, c10, c100, top1, top5
from .wide import WRN16

XIE17 = "Xie et al. 2017, Aggregated Residual Transformations"
T4, T7, CODE = f"{XIE17}, table 4", f"{XIE17}, table 7", "ResNeXt, the code"
TEN = "mean of 10"
PREACTIVATED = "pre-activation and batches of 256; the code prefers post-activation and 128"
WIDER = "interpretation: inner widths 100 to 800, outputs as ever"


def imagenet(
    name: str, depth: int, groups: int, base_width: int, *published: Published, **said: str
) -> Preset:
    """`source` and `note` where they are not the paper's and none."""
    maker = partial(LARGE_BOTTLENECK, block=grouped(groups, base_width))
    network, source = partial(imagenet_resnet, depth), said.get("source", XIE17)
    recipe = "imagenet-resnext" if source == XIE17 else "imagenet-fb"
    note, start = said.get("note", ""), HE_FAN_OUT
    return Preset(name, depth, source, network, maker, start, recipe, published, note, 224, 1000)


def compared(name: str, groups: int, base_width: int, *errors: float, note: str = "") -> Preset:
    """Of table 4: 101 layers, top-1 and top-5 error."""
    first, fifth = errors
    published = (top1(first, "single crop", T4), top5(fifth, "single crop", T4))
    return imagenet(name, 101, groups, base_width, *published, note=note)


def small(groups: int, *errors: float) -> Preset:
    maker = partial(LARGE_BOTTLENECK, block=grouped(groups, 64), shortcut=option_b)
    network = partial(cifar_resnet, 29, width=64)
    ten, hundred = errors
    published = (c10(ten, TEN, T7, PREACTIVATED), c100(hundred, TEN, T7, PREACTIVATED))
    name, recipe = f"resnext29-{groups}x64d", "resnext-cifar"
    return Preset(name, 29, XIE17, network, maker, HE_FAN_OUT, recipe, published)


ROWS = (
    imagenet("resnext50-32x4d", 50, 32, 4, top1(22.2, "single crop", CODE)),
    compared("resnext101-32x4d", 32, 4, 21.2, 5.6),
    compared("resnet101-1x100d", 1, 100, 21.3, 5.7, note=WIDER),
    compared("resnext101-2x64d", 2, 64, 20.7, 5.5),
    compared("resnext101-64x4d", 64, 4, 20.4, 5.3),
    small(8, 3.65, 17.77),
    small(16, 3.58, 17.31),
    *(imagenet(f"wide-resnet{depth}-2", depth, 1, 128, source=WRN16, note="layout of torchvision")
      for depth in (50, 101)),
)  # fmt: skip
FAMILIES = ()
