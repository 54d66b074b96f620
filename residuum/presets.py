"""The papers' own names: `preset("preresnet110", classes=10)`. One row a network, each a call to its family's builder.

Errors are test errors in percent as published; counts and depths are checked by the golden numbers of the tests.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .errors import UsageError, nearest
from .networks.resnet import IMAGENET_UNITS, cifar_resnet, imagenet_resnet
from .networks.stacks import vgg
from .parts.branches import ARRANGEMENTS, PREACT, bottleneck, bottleneck_late_stride
from .parts.init import Fan, he_normal
from .parts.shortcuts import option_a, option_a_average, option_b, option_b_bare, option_c, severed
from .units import ResidualNetwork

SHORTCUTS = {"A": option_a, "A-avg": option_a_average, "B": option_b, "B-bare": option_b_bare, "C": option_c}


@dataclass(frozen=True)
class Preset:
    """One published network. `build(classes=...)` makes it without initial weights of its own; `preset` adds them."""

    name: str
    build: Callable[..., ResidualNetwork]
    depth: int
    source: str
    fan: Fan
    size: int = 32
    classes: int = 10
    published: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """The keyword arguments that `preset` takes for this network."""
        taken = set(inspect.signature(self.build).parameters) - {"classes"}
        return tuple(o for o in ("shortcut", "arrangement", "size") if o in taken)


HE15 = "He et al. 2015, Deep Residual Learning"
HE16 = "He et al. 2016, Identity Mappings"
VEIT = "Veit et al. 2016, Residual Networks Behave Like Ensembles"
FB = "; layout and error of fb.resnet.torch, one 224 crop"


def _cifar(name: str, depth: int, source: str, published: dict[str, float], note: str = "", /, **parts: Any) -> Preset:
    fan: Fan = "out" if parts.get("arrangement") is PREACT else "in"
    return Preset(name, partial(cifar_resnet, depth, **parts), depth, source, fan, published=published, note=note)


def _imagenet(name: str, depth: int, source: str, published: dict[str, float], note: str = "", /, **parts: Any) -> Preset:
    build = partial(imagenet_resnet, depth, **parts)
    return Preset(name, build, depth, source, "out", 224, 1000, published, note)


def _catalogue() -> dict[str, Preset]:
    c10, c100, top1 = "CIFAR-10", "CIFAR-100", "ImageNet top-1"
    rows: list[Preset] = []

    for depth, error in {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}.items():
        note = "6.61 is the median of 5 (He et al. 2016); best 6.43, mean 6.61 +- 0.16" if depth == 110 else ""
        rows.append(_cifar(f"resnet{depth}", depth, HE15 + ", table 6", {c10: error}, note))
    post = {"shortcut": option_b, "block": bottleneck}
    rows.append(_cifar("resnet164", 164, HE16 + ", tables 2 and 4", {c10: 5.93, c100: 25.16}, **post))
    rows.append(_cifar("resnet1001", 1001, HE16 + ", table 4", {c10: 7.61, c100: 27.82}, **post))

    pre = {"arrangement": PREACT}
    pre_bottleneck = {"shortcut": option_b_bare, "block": bottleneck, **pre}
    for depth in (20, 32, 44, 56):
        rows.append(_cifar(f"preresnet{depth}", depth, HE16 + ", fig. 4e", {}, "depth not in the paper", **pre))
    note = "Veit et al. 2016 report 6.10 for theirs"
    rows.append(_cifar("preresnet110", 110, HE16 + ", table 2e", {c10: 6.37}, note, **pre))
    rows.append(_cifar("preresnet164", 164, HE16 + ", table 2e", {c10: 5.46, c100: 24.33}, **pre_bottleneck))
    note = "4.62 with batches of 64; 4.92 with 128. The paper says 10.2M parameters; counted 10.3M"
    rows.append(_cifar("preresnet1001", 1001, HE16 + ", table 4", {c10: 4.62, c100: 22.71}, note, **pre_bottleneck))
    rows.append(_cifar("preresnet1202", 1202, HE16 + ", fig. 4e", {}, "depth of He et al. 2015", **pre))

    table2 = {"bn_after_add": (8.17, 6.50), "relu_before_add": (7.84, 6.14), "relu_preact": (6.71, 5.91)}
    for kind, (error110, error164) in table2.items():
        where, arrangement = f"{HE16}, table 2{ARRANGEMENTS[kind].letter}", ARRANGEMENTS[kind]
        rows.append(_cifar(f"resnet110-{kind}", 110, where, {c10: error110}, arrangement=arrangement))
        rows.append(_cifar(f"resnet164-{kind}", 164, where, {c10: error164}, arrangement=arrangement, **post))

    cut = {"shortcut": severed(option_a)}
    for depth in (20, 32, 44, 56, 110):
        rows.append(_cifar(f"plain{depth}", depth, HE15 + ", sec. 4.2", {}, "fig. 6 left shows curves only", **cut))
        twin = f"twin of preresnet{depth}: the same branches, every shortcut severed"
        rows.append(_cifar(f"preplain{depth}", depth, "this project", {}, twin, **cut, **pre))

    for depth, error in {18: 30.43, 34: 26.73}.items():
        rows.append(_imagenet(f"resnet{depth}", depth, HE15 + FB, {top1: error}))
    cut = {"shortcut": severed(option_a)}
    for depth, error in {18: 27.94, 34: 28.54}.items():
        rows.append(_imagenet(f"plain{depth}", depth, HE15 + ", table 2", {top1 + ", 10 crops": error}, "", **cut))
    late = {"block": bottleneck_late_stride}
    for depth, error in {50: 24.01, 101: 22.44, 152: 22.16}.items():
        note = "stride in the 3x3, as fb.resnet.torch and torchvision; the paper has it in the first 1x1"
        rows.append(_imagenet(f"resnet{depth}", depth, HE15 + FB, {top1: error}, note, **late))
    for depth in IMAGENET_UNITS:
        bare = {"shortcut": option_b_bare, **pre} | (late if depth >= 50 else {})
        published, note = ({top1: 21.66}, "used by Veit et al. 2016, fig. 4") if depth == 200 else ({}, "")
        source = HE16 + (", sec. 5" + FB if depth == 200 else "; layout of fb.resnet.torch")
        rows.append(_imagenet(f"preresnet{depth}", depth, source, published, note, **bare))

    note = "15 layers, 128 channels everywhere; groups 2-2-3-3-3 and two linear layers are this project's reading"
    rows.append(Preset("vgg15", vgg, 15, VEIT + ", sec. 4.1", "in", note=note))
    return {row.name: row for row in rows}


CATALOGUE = _catalogue()

_FAMILIES: dict[str, dict[str, Any]] = {
    "resnet": {},
    "preresnet": {"arrangement": PREACT},
    "plain": {"shortcut": severed(option_a)},
    "preplain": {"shortcut": severed(option_a), "arrangement": PREACT},
}


def find(name: str) -> Preset:
    """The catalogue's row, or a CIFAR network of a depth 6n+2 that no paper names (`resnet26`).

    UsageError: an unknown name (with the nearest), or a depth that no such network has.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    match = re.fullmatch(r"([a-z]+)(\d{1,4})", name)
    if not match or match[1] not in _FAMILIES:
        raise UsageError(f"unknown preset {name!r}.{nearest(name, CATALOGUE)} `residuum ls` lists all")
    family, depth = match[1], int(match[2])
    if depth < 8 or (depth - 2) % 6:
        near = min((n for n in CATALOGUE if re.fullmatch(family + r"\d+", n)), key=lambda n: abs(CATALOGUE[n].depth - depth))
        raise UsageError(
            f"{name}: a CIFAR ResNet has depth 6n+2 (20, 32, 44, 56, 110; with bottlenecks 9n+2: 164, 1001), "
            f"not {depth}; an ImageNet one {', '.join(map(str, IMAGENET_UNITS))}. The nearest is {near!r}"
        )
    return _cifar(name, depth, "6n+2 family of He et al.", {}, "depth not in the papers", **_FAMILIES[family])


def preset(name: str, classes: int | None = None, seed: int | None = None, **options: Any) -> ResidualNetwork:
    """The network of that name with initial weights by its paper, in training mode.

    `classes` defaults to the paper's own (10 or 1000); `seed` makes the weights a function of it (None: torch's global
    generator). Options where the network has them: `shortcut` ("A", "A-avg", "B", "B-bare", "C"), `arrangement`
    ("original", "bn_after_add", "relu_before_add", "relu_preact", "preact") and, for VGG, `size` in pixels.

    UsageError: unknown name, option or value (with the nearest valid one); fewer than 2 classes.
    """
    row = find(name)
    classes = row.classes if classes is None else classes
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
        raise UsageError(f"{name}: classes must be a whole number of at least 2, not {classes!r}")
    try:
        network = row.build(classes=classes, **_parts(row, options))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error
    return he_normal(network, row.fan, seed)  # type: ignore[return-value]


def _parts(row: Preset, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the builder's parts: names become functions and arrangements."""
    parts: dict[str, Any] = {}
    for option, value in options.items():
        if option not in row.options:
            valid = f" It takes: {', '.join(row.options) or 'none'}."
            raise UsageError(f"{row.name} has no option {option!r}.{nearest(option, row.options) if row.options else valid}")
        match option:
            case "shortcut":
                road = _choose(option, value, SHORTCUTS)
                parts[option] = severed(road) if "plain" in row.name else road
            case "arrangement":
                parts[option] = _choose(option, value, ARRANGEMENTS)
            case _:
                parts[option] = value
    return parts


def _choose(option: str, value: str, table: Mapping[str, Any]) -> Any:
    if value not in table:
        raise UsageError(f"unknown {option} {value!r}.{nearest(str(value), table)}")
    return table[value]
