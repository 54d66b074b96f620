"""How other libraries name the modules of the same networks: one rule a layout.

A rule walks stem, units and head and says for each module that has tensors what the other library
calls it. Names follow from where a unit stands and from how many convolutions and normalisations
come before, so no table of names is kept, and nothing but the names is taken from the library.

(Pairing modules in the order in which two models execute them was the alternative. It needs the
other model built and run, and it cannot tell apart what has one shape: the last convolution of the
first bottleneck and its projection are both 64 -> 256, and run in either order.)
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from torch import nn

from ..errors import UsageError, nearest
from ..parts.merges import Concat, Merge, Sum
from ..parts.shortcuts import AveragePad, Pad, Severed
from ..units import ResidualNetwork, ResidualUnit, Row

Named = tuple[str, nn.Module]
Pair = tuple[str, str]  # a module's name there, and here
OURS = (ResidualNetwork, Row, ResidualUnit, Sum, Concat, Pad, AveragePad, Severed)


@dataclass(frozen=True)
class Layout:
    """`library`: who names modules so; `rule`: how, `merge`: of what units (None: plain ones).

    `flat_head`: False where the linear layer is a 1x1 convolution there.
    """

    library: str
    rule: Callable[[ResidualNetwork], Iterator[Pair]]
    merge: type[Merge] | None = Sum
    flat_head: bool = True

    def names(self, network: ResidualNetwork) -> dict[str, str]:
        """By the name of each of our modules that has tensors: its name there.

        UsageError: a part that this layout has no name for.
        """
        for name, module in network.named_modules():
            if type(module) not in OURS and not type(module).__module__.startswith("torch."):
                raise UsageError(f"{name} is a {type(module).__name__}, unknown there")
        for number, unit in enumerate(network.units):
            kind = None if unit.plain else type(unit.merge)
            if kind is not self.merge or isinstance(unit.branch, Row):
                raise UsageError(f"units.{number} is {_word(unit)}")
        found = {here: there for there, here in self.rule(network)}
        ours = [name for name, _ in holders(network, "")]
        for name in ours:
            if name not in found:
                raise UsageError(f"{name} has no name there")
        if len({found[name] for name in ours}) < len(ours):
            raise UsageError("two of its parts would have one name there")
        return found


def holders(module: nn.Module, name: str) -> list[Named]:
    """The modules inside that hold tensors themselves, in the order of the signal."""
    parts = ((f"{name}.{inner}".strip("."), part) for inner, part in module.named_modules())
    return [(where, part) for where, part in parts if part._parameters or part._buffers]


def numbered(here: str, parts: list[Named], conv: str, norm: str) -> Iterator[Pair]:
    """here.conv1, here.bn1, here.conv2, ...: each kind counted from 1."""
    counts = Counter[str]()
    for name, part in parts:
        word = conv if isinstance(part, nn.Conv2d) else norm
        counts[word] += 1
        yield f"{here}.{word}{counts[word]}", name


def inline(theirs: str, parts: list[Named]) -> Iterator[Pair]:
    """Names one by one; what is over has no name there."""
    yield from zip(theirs.split(), (name for name, _ in parts), strict=False)


class Standing(NamedTuple):
    """A unit with its name here, its stage and its place in the stage, counted from 0."""

    unit: ResidualUnit
    name: str
    stage: int
    block: int

    def road(self, *words: str) -> list[Named]:
        """What holds tensors in these parts of the unit."""
        return [
            found
            for word in words
            for found in holders(getattr(self.unit, word), f"{self.name}.{word}")
        ]


def standing(network: ResidualNetwork) -> Iterator[Standing]:
    """The units. Behind the first, a stage begins where the shape of the signal changes."""
    stage = block = 0
    for number, unit in enumerate(network.units):
        convolutions = [m for m in unit.branch.modules() if isinstance(m, nn.Conv2d)]
        if number and convolutions and _reshapes(convolutions):
            stage, block = stage + 1, 0
        yield Standing(unit, f"units.{number}", stage, block)
        block += 1


def _word(unit: ResidualUnit) -> str:
    if isinstance(unit.branch, Row):
        return "a nest"
    return "plain" if unit.plain else f"a unit of {type(unit.merge).__name__}"


def _reshapes(convolutions: list[nn.Conv2d]) -> bool:
    strided = any(set(c.stride) != {1} for c in convolutions)
    return strided or convolutions[0].in_channels != convolutions[-1].out_channels


def resnet(network: ResidualNetwork) -> Iterator[Pair]:
    """torchvision's, also of ResNeXt and wide ResNets, and timm's of these."""
    yield from inline("conv1 bn1", holders(network.stem, "stem"))
    for at in standing(network):
        here = f"layer{at.stage + 1}.{at.block}"
        yield from numbered(here, at.road("before", "branch"), "conv", "bn")
        yield from inline(f"{here}.downsample.0 {here}.downsample.1", at.road("shortcut"))
    yield from inline("fc", holders(network.head, "head"))


def resnetv2(network: ResidualNetwork) -> Iterator[Pair]:
    """timm's of pre-activation networks."""
    yield from inline("stem.conv", holders(network.stem, "stem"))
    for at in standing(network):
        here = f"stages.{at.stage}.blocks.{at.block}"
        yield from numbered(here, at.road("before", "branch"), "conv", "norm")
        yield from inline(f"{here}.downsample.conv", at.road("shortcut"))
    yield from inline("norm head.fc", holders(network.head, "head"))


def densenet(network: ResidualNetwork) -> Iterator[Pair]:
    """torchvision's and timm's. A transition stands in `after` of its block's last unit."""
    yield from inline("features.conv0 features.norm0", holders(network.stem, "stem"))
    block = layer = 1
    for at in standing(network):
        here = f"features.denseblock{block}.denselayer{layer}"
        yield from numbered(here, at.road("before", "branch"), "conv", "norm")
        layer += 1
        if transition := at.road("after"):
            there = f"features.transition{block}"
            yield from inline(f"{there}.norm {there}.conv", transition)
            block, layer = block + 1, 1
    yield from inline("features.norm5 classifier", holders(network.head, "head"))


def vgg(network: ResidualNetwork) -> Iterator[Pair]:
    """torchvision's: layers counted, those without weights too; a linear one is every third.

    Convolutions keep the size there: one with a stride has no name.
    """
    place = linear = 0
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            yield f"classifier.{3 * linear}", name
            linear += 1
        elif isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.ReLU | nn.MaxPool2d):
            if not isinstance(module, nn.Conv2d) or module.stride == (1, 1):
                yield f"features.{place}", name
            place += 1


def lua(network: ResidualNetwork, linear: str = "") -> Iterator[Pair]:
    """fb.resnet.torch's tree of modules, numbered from 0 as Lua's readers in Python do.

    A unit is [its first normalisation and ReLU, where both roads read them,] a table of branch and
    shortcut, the sum, [a ReLU]. `linear`: what the linear layer's name ends with.
    """
    stem, stages = len(list(network.stem.children())), 0
    for name, _ in holders(network.stem, ""):
        yield name, f"stem.{name}"
    for at in standing(network):
        here, stages = f"{stem + at.stage}.{at.block}", at.stage + 1
        table = len(list(at.unit.before.children()))
        there = {"before": here, "branch": f"{here}.{table}.0", "shortcut": f"{here}.{table}.1"}
        for road, place in there.items():
            for name, _ in at.road(road):
                yield name.replace(f"{at.name}.{road}", place), name
    for name, part in holders(network.head, ""):
        last = linear if isinstance(part, nn.Linear) else ""
        if not name.isdigit():
            raise UsageError(f"head.{name} has no name there")
        yield f"{stem + stages + int(name)}{last}", f"head.{name}"


LAYOUTS = (
    Layout("torchvision", resnet),
    Layout("torchvision", densenet, Concat),
    Layout("torchvision", vgg, None),
    Layout("timm", resnet),
    Layout("timm", resnetv2, flat_head=False),
    Layout("timm", densenet, Concat),
    Layout("fb", lua),
    # convert_torch_to_pytorch puts a reshaping ahead of every linear layer
    Layout("fb", partial(lua, linear=".1")),
)


def layout_of(network: ResidualNetwork, library: str) -> Layout:
    """The layout in which the library names the modules of such a network.

    UsageError: an unknown library; it has none, with the reason of each.
    """
    known, reasons = {layout.library for layout in LAYOUTS}, []
    if library not in known:
        raise UsageError(f"unknown library {library!r}.{nearest(library, known)}")
    for layout in LAYOUTS:
        if layout.library == library:
            try:
                layout.names(network)
                return layout
            except UsageError as error:
                reasons.append(str(error))
    raise UsageError(
        f"{library} has no names for this network: {'; '.join(dict.fromkeys(reasons))}"
    )
