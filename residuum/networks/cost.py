"""What a network costs, counted on meta tensors: parameters, FLOPs, depth, units; and
whether images pass it at all."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..errors import UsageError, first_line, out_of_memory
from ..parts.wrappers import Companion
from ..units import ResidualNetwork, ResidualUnit, Row

Shape = torch.Size | None  # None: a road that carries nothing
Pass = Callable[..., tuple[int, Shape]]  # (part, shapes given) -> FLOPs, shape


@dataclass(frozen=True)
class Cost:
    """`parameters`: those in use; what helps in training alone (`Companion`) is not counted.

    `flops`: 2 x MACs of the forward pass of one image.

    `depth`: convolutions and linear layers on the way through the branches.
    `units`: the innermost ones.
    """

    parameters: int
    flops: int
    depth: int
    units: int


def cost(network: ResidualNetwork, size: int) -> Cost:
    """The cost of a network on images of size x size pixels, as torch's FLOP counter has it.

    A unit that stands in several places is looked at once and counted in each, so a network built
    by `once(maker)` costs what the whole one does. The network must be on the meta device; it is
    left in evaluation mode.
    UsageError: two roads that cannot be added.
    """

    @cache
    def passed(part: nn.Module, *shapes: Shape) -> tuple[int, Shape]:
        with FlopCounterMode(display=False) as counter:
            out = _shape(part, *shapes)
        return counter.get_total_flops(), out

    network = network.eval()
    image, parts = torch.Size((1, 3, size, size)), (network.stem, *network.units, network.head)
    beside = [m for name, m in network.named_children() if name not in ("stem", "units", "head")]
    if type(network).forward is ResidualNetwork.forward:
        stem, shape = passed(network.stem, image)
        units, shape = _through_row(network.units, shape, passed, "units")
        flops = stem + units + passed(network.head, shape)[0]
    else:
        flops, _ = passed(network, image)
    return Cost(
        parameters=sum(map(cache(_parameters), (*parts, *beside))),
        flops=flops,
        depth=sum(map(cache(_layers), parts)),
        units=sum(map(cache(_innermost), network.units)),
    )


def require_size(network: nn.Module, image: tuple[int, int], name: str) -> None:
    """UsageError before any work where images (height, width) do not pass the network: which roads
    cannot be added, else which part fails. The network stays as it is."""
    _require_sums(network, torch.Size((3, *image)), name)
    part, images = "layers", black(network, image)
    try:
        with looking(network):
            if isinstance(network, ResidualNetwork):
                part = "stem"
                signal = network.stem(images)
                for number, unit in enumerate(network.units):
                    part = f"unit {number}"
                    signal = unit(signal)
                part = "head"
            network(images)  # its own way: a head may read more than the signal
    except (RuntimeError, AssertionError) as error:
        if out_of_memory(error):
            raise
        what = f"images of {image[0]}x{image[1]} pixels do not pass its {part}"
        raise UsageError(f"{name}: {what} ({first_line(error)})") from error


def black(network: nn.Module, image: tuple[int, int]) -> torch.Tensor:
    """One image of zeros, where the network is."""
    device = next((parameter.device for parameter in network.parameters()), None)
    return torch.zeros(1, 3, *image, device=device)


@contextmanager
def looking(network: nn.Module) -> Iterator[None]:
    """Passes in evaluation mode, without gradients; every part's own mode returns."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _require_sums(network: nn.Module, image: torch.Size, name: str) -> None:
    """UsageError where a unit's roads cannot be added, for an image (C, H, W); nothing is computed.

    Other faults are left to a pass with values, which tells more of them.
    """
    if not isinstance(network, ResidualNetwork):
        return

    def passed(part: nn.Module, *shapes: Shape) -> tuple[int, Shape]:
        return 0, _shape(part, *shapes)

    outline = copy.deepcopy(network).to("meta").eval()
    try:
        stem = _shape(outline.stem, torch.Size((1, *image)))
        _through_row(outline.units, stem, passed, "units")
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    except Exception:
        return


@torch.no_grad()
def _shape(part: nn.Module, *shapes: Shape) -> Shape:
    """Of what the part, on the meta device, gives for tensors of these shapes."""
    out = part(*(None if s is None else torch.empty(s, device="meta") for s in shapes))
    return None if out is None else out.shape


def _through_row(row: Row, shape: Shape, passed: Pass, name: str) -> tuple[int, Shape]:
    flops = 0
    for number, unit in enumerate(row):
        more, shape = _through(unit, shape, passed, f"{name}.{number}")
        flops += more
    return flops, shape


def _through(unit: ResidualUnit, shape: Shape, passed: Pass, name: str) -> tuple[int, Shape]:
    """Leaves whole, so that what counts them is asked once; nests and what fails road by road."""
    if not isinstance(unit.branch, Row):
        try:
            return passed(unit, shape)
        except RuntimeError as error:
            failed = error
    else:
        failed = None
    before, z = passed(unit.before, shape)
    around, h = _along(unit.shortcut, z, passed, f"{name}.shortcut")
    through, f = _along(unit.branch, z, passed, f"{name}.branch")
    try:
        merged, out = passed(unit.merge, h, f, z)
    except RuntimeError as error:
        roads = f"the shortcut gives {_words(h)}, the branch {_words(f)}"
        raise UsageError(
            f"{name}: {roads}: {type(unit.merge).__name__} cannot join them"
        ) from error
    if failed is not None:
        raise failed
    after, out = passed(unit.after, out)
    return before + around + through + merged + after, out


def _along(road: nn.Module, z: Shape, passed: Pass, name: str) -> tuple[int, Shape]:
    return _through_row(road, z, passed, name) if isinstance(road, Row) else passed(road, z)


def _words(shape: Shape) -> str:
    """Without the batch: "16x32x32"."""
    return "nothing" if shape is None else "x".join(map(str, shape[1:]))


def _parameters(module: nn.Module) -> int:
    """Of what is deployed: no companions' heads. A nest's units are counted where they stand,
    however often."""
    if isinstance(module, ResidualUnit) and isinstance(module.branch, Row):
        own = (module.before, module.merge, module.after)
        rows = [r if isinstance(r, Row) else [r] for r in (module.shortcut, module.branch)]
        return sum(map(_parameters, (*own, *chain(*rows))))
    heads = [m.head for m in module.modules() if isinstance(m, Companion)]
    helping = {p for head in heads for p in head.parameters()}
    return sum(p.numel() for p in module.parameters() if p not in helping)


def _layers(module: nn.Module) -> int:
    """Convolutions and linear layers; shortcuts and merges are not on the way.

    Of two rows side by side, the branch's: it is the longer one.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        return 1
    if isinstance(module, Companion):
        return _layers(module.road)
    if isinstance(module, ResidualUnit):
        return sum(_layers(part) for part in (module.before, module.branch, module.after))
    if isinstance(module, Row):
        return sum(map(_layers, module))
    return sum(_layers(part) for part in module.children())


def _innermost(unit: nn.Module) -> int:
    rows = [road for road in (unit.shortcut, unit.branch) if isinstance(road, Row)]
    return sum(_innermost(inner) for row in rows for inner in row) if rows else 1
