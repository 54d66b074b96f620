"""Residual networks of He et al. 2015 and 2016, and their plain twins. Rows only.

Errors, and how they were obtained, as the papers and fb.resnet.torch have them.
"""

from collections.abc import Callable
from functools import partial

from ..networks.resnet import cifar_resnet, imagenet_resnet
from ..networks.stages import UnitMaker, plain, residual, share_after_activated_stem
from ..parts.arrangements import BN_AFTER_ADD, PREACT, RELU_BEFORE_ADD, RELU_PREACT
from ..parts.branches import basic, bottleneck, bottleneck_late_stride
from ..parts.init import HE_FAN_IN, HE_FAN_OUT
from ..parts.shortcuts import option_a, option_b, option_b_bare
from .family import Family, Preset
from .published import Published

HE15 = "He et al. 2015, Deep Residual Learning"
HE16 = "He et al. 2016, Identity Mappings"
FB = "fb.resnet.torch"
MODELS = "He et al. 2015, released models"
MEDIAN = "median of 5"
LATE = "stride in the 3x3, as fb.resnet.torch and torchvision; the paper has it in the first 1x1"
EARLY = "stride in the first 1x1"
UNNAMED = "depth not in the papers"

c10 = partial(Published, "CIFAR-10")
c100 = partial(Published, "CIFAR-100")
svhn = partial(Published, "SVHN")
top1 = partial(Published, "ImageNet top-1")
top5 = partial(Published, "ImageNet top-5")

BASIC = partial(residual, block=basic, shortcut=option_a)
BOTTLENECK = partial(residual, block=bottleneck, shortcut=option_b)
PRE_BASIC = partial(BASIC, arrangement=PREACT)
PRE_BOTTLENECK = partial(BOTTLENECK, shortcut=option_b_bare, arrangement=PREACT)
PLAIN = partial(plain, block=basic, shortcut=option_a)
PRE_PLAIN = partial(PLAIN, arrangement=PREACT)

LARGE_BASIC = partial(BASIC, shortcut=option_b, opening=share_after_activated_stem)
LARGE_BOTTLENECK = partial(LARGE_BASIC, block=bottleneck_late_stride)
LARGE_PRE_BASIC = partial(LARGE_BASIC, shortcut=option_b_bare, arrangement=PREACT)
LARGE_PRE_BOTTLENECK = partial(LARGE_PRE_BASIC, block=bottleneck_late_stride)
LARGE_PLAIN = partial(PLAIN, opening=share_after_activated_stem)


def changed(
    base: Callable[..., UnitMaker], change: Callable[[UnitMaker], UnitMaker]
) -> Callable[..., UnitMaker]:
    """A preset's maker from another's: the same options, its units changed."""
    return lambda **parts: change(base(**parts))


def cifar(
    name: str, depth: int, maker: partial, recipe: str, source: str, *published: Published, note=""
) -> Preset:  # fmt: skip
    start = HE_FAN_OUT if maker.keywords.get("arrangement") is PREACT else HE_FAN_IN
    network = partial(cifar_resnet, depth)
    return Preset(name, depth, source, network, maker, start, recipe, published, note)


def imagenet(
    name: str, depth: int, maker: partial, source: str, *published: Published, note=""
) -> Preset:  # fmt: skip
    network, start = partial(imagenet_resnet, depth), HE_FAN_OUT
    recipe = "imagenet-he" if maker is LARGE_PLAIN else "imagenet-fb"
    return Preset(name, depth, source, network, maker, start, recipe, published, note, 224, 1000)


def _twin(depth: int) -> Preset:
    note = f"twin of preresnet{depth}: the same branches, every shortcut severed"
    return cifar(f"preplain{depth}", depth, PRE_PLAIN, "preact-cifar", "this project", note=note)


T1, T2, T4 = (f"{HE16}, table {n}" for n in (1, 2, 4))
T6, PLAINS = HE15 + ", table 6", HE15 + ", sec. 4.2"
CURVES = "fig. 6 left shows curves only"
PRE = HE16 + ", fig. 4e"
SMALL_BATCH = "batches of 64; often quoted as the error of the recipe, which is 4.92 with 128"
X4 = "Xie et al. 2017, table 4"
AGAIN = {101: (top1(22.0, "single crop", X4, "1x64d"), top5(6.0, "single crop", X4, "1x64d"))}
RIVALS = "quoted elsewhere with 2.5M parameters, which a network of basic units has; counted 1.7M"

ROWS = (
    cifar("resnet20", 20, BASIC, "he-cifar", T6, c10(8.75, source=T6)),
    cifar("resnet32", 32, BASIC, "he-cifar", T6, c10(7.51, source=T6)),
    cifar("resnet44", 44, BASIC, "he-cifar", T6, c10(7.17, source=T6)),
    cifar("resnet56", 56, BASIC, "he-cifar", T6, c10(6.97, source=T6)),
    cifar("resnet110", 110, BASIC, "he-cifar-warm", T6, c10(6.61, MEDIAN, T1),
          c10(6.43, "best of 5", T6), c10(6.61, "mean of 5", T6, "+- 0.16")),
    cifar("resnet1202", 1202, BASIC, "he-cifar-warm", T6, c10(7.93, source=T6)),
    cifar("resnet164", 164, BOTTLENECK, "preact-cifar", T2 + "a",
          c10(5.93, MEDIAN, T2 + "a"), c100(25.16, MEDIAN, T4), note=RIVALS),
    cifar("resnet1001", 1001, BOTTLENECK, "preact-cifar", T4,
          c10(7.61, MEDIAN, T4), c100(27.82, MEDIAN, T4)),

    *(cifar(f"preresnet{depth}", depth, PRE_BASIC, "preact-cifar", PRE, note=UNNAMED)
      for depth in (20, 32, 44, 56)),
    cifar("preresnet110", 110, PRE_BASIC, "preact-cifar", T2 + "e", c10(6.37, MEDIAN, T2 + "e"),
          c10(6.1, "", "Veit et al. 2016, sec. 4", "their own training")),
    cifar("preresnet164", 164, PRE_BOTTLENECK, "preact-cifar", T2 + "e",
          c10(5.46, MEDIAN, T2 + "e"), c100(24.33, MEDIAN, T4), note=RIVALS),
    cifar("preresnet1001", 1001, PRE_BOTTLENECK, "preact-cifar", T4,
          c10(4.62, MEDIAN, T4, SMALL_BATCH + "; mean 4.69 +- 0.20"),
          c10(4.92, MEDIAN, T4, "batches of 128; mean 4.89 +- 0.14"),
          c100(22.71, MEDIAN, T4, "mean 22.68 +- 0.22"),
          note="the paper says 10.2M parameters; counted 10.3M"),
    cifar("preresnet1202", 1202, PRE_BASIC, "preact-cifar", PRE, note="depth of He et al. 2015"),

    *(cifar(f"resnet{depth}-{order.name}", depth, partial(maker, arrangement=order),
            "preact-cifar", T2 + order.letter, c10(error, MEDIAN, T2 + order.letter))
      for order, *errors in (
          (BN_AFTER_ADD, 8.17, 6.50), (RELU_BEFORE_ADD, 7.84, 6.14), (RELU_PREACT, 6.71, 5.91))
      for depth, maker, error in zip((110, 164), (BASIC, BOTTLENECK), errors, strict=True)),

    *(row for depth in (20, 32, 44, 56) for row in (
        cifar(f"plain{depth}", depth, PLAIN, "he-cifar", PLAINS, note=CURVES), _twin(depth))),
    cifar("plain110", 110, PLAIN, "he-cifar-warm", PLAINS,
          c10("fail", MEDIAN, T1, "constant scaling 0/1; an error above 20 % is a failure there"),
          c10("fail", "", HE15 + ", fig. 6", "above 60 %, not drawn")),
    _twin(110),

    imagenet("resnet18", 18, LARGE_BASIC, HE15, top1(30.43, "single crop", FB)),
    imagenet("resnet34", 34, LARGE_BASIC, HE15, top1(26.73, "single crop", FB),
             top1(24.52, "ten crops", HE15 + ", table 3", "option B; 25.03 with A, 24.19 with C")),
    imagenet("plain18", 18, LARGE_PLAIN, HE15, top1(27.94, "ten crops", HE15 + ", table 2")),
    imagenet("plain34", 34, LARGE_PLAIN, HE15, top1(28.54, "ten crops", HE15 + ", table 2")),
    *(imagenet(f"resnet{depth}", depth, LARGE_BOTTLENECK, HE15, top1(late, "single crop", FB),
               top1(single, "single crop", MODELS, EARLY), top1(ten, "ten crops", MODELS, EARLY),
               *AGAIN.get(depth, ()), note=LATE)
      for depth, late, single, ten in (
          (50, 24.01, 24.7, 22.9), (101, 22.44, 23.6, 21.8), (152, 22.16, 23.0, 21.4))),
    *(imagenet(f"preresnet{depth}", depth, maker, f"{HE16}; layout of {FB}")
      for maker, depths in ((LARGE_PRE_BASIC, (18, 34)), (LARGE_PRE_BOTTLENECK, (50, 101, 152)))
      for depth in depths),
    imagenet("preresnet200", 200, LARGE_PRE_BOTTLENECK, HE16 + ", sec. 5",
             top1(21.66, "single crop", FB),
             top1(21.7, "single crop", X4, "1x64d; the same training, rounded"),
             top5(5.8, "single crop", X4, "1x64d"),
             top1(20.7, "single crop of 320", HE16 + ", table 5"),
             top1(20.1, "single crop of 320", HE16 + ", table 5", "with aspect-ratio augmentation"),
             note="used by Veit et al. 2016, fig. 4"),
)  # fmt: skip


def _family(prefix: str, maker: partial, recipe: str, step: int = 6, suffix: str = "") -> Family:
    source = f"{step}n+2 family of He et al."

    def member(name: str, depth: int) -> Preset:
        return cifar(name, depth, maker, recipe, source, note=UNNAMED)

    return Family(prefix, step, member, suffix)


FAMILIES = (
    _family("resnet", BASIC, "he-cifar"),
    _family("preresnet", PRE_BASIC, "preact-cifar"),
    _family("plain", PLAIN, "he-cifar"),
    _family("preplain", PRE_PLAIN, "preact-cifar"),
    _family("resnet", BOTTLENECK, "preact-cifar", 9, "-bottleneck"),
    _family("preresnet", PRE_BOTTLENECK, "preact-cifar", 9, "-bottleneck"),
)
