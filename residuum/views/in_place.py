"""ReLUs that write into what they are given, while a network is trained.

A ReLU may do so where nobody else needs its input: behind a batch normalisation, whose backward
pass reads its own input and not its output, and behind the sum of two roads. Each saves one pass
over the memory of an activation, forward and backward; the numbers are the same to the bit.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

from torch import nn
from torch.utils.hooks import RemovableHandle

from ..parts.merges import Road, Sum
from ..parts.wrappers import Dropped, Noisy, Scaled, Weighted
from ..units import ResidualNetwork, ResidualUnit, Row

NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)
WRAPPERS = (Scaled, Dropped, Noisy, Weighted)
OURS = (ResidualNetwork, ResidualUnit, Row, nn.Sequential, *WRAPPERS)


@contextmanager
def in_place(network: nn.Module) -> Iterator[None]:
    """Such ReLUs work in place; at the end they are as they were, so that nothing that keeps
    signals (a sweep, a tape, an edited unit) ever meets one.

    Only torch's own classes in our own containers are touched, and only without hooks and where
    they stand in one place: code of one's own may keep what a part gives.
    """
    places = Counter(id(m) for _, m in network.named_modules(remove_duplicate=False))
    found = [(r, u) for r, u in _safe(network) if not r.inplace and places[id(r)] == 1]
    with ExitStack() as stack:
        for relu, unit in found:
            stack.callback(setattr, relu, "inplace", False)
            if unit is None:
                relu.inplace = True
            else:
                stack.callback(_follow(unit, relu).remove)
        yield


def _safe(module: nn.Module) -> Iterator[tuple[nn.ReLU, ResidualUnit | None]]:
    """With the unit where that is for each pass to say: a road of it may be dropped."""
    if type(module) not in OURS:
        return
    parts = list(module.children())
    if type(module) is nn.Sequential:
        for first, second in pairwise(parts):
            if any(_is(first, kind) for kind in NORMALISATIONS) and _is(second, nn.ReLU):
                yield second, None  # type: ignore[misc]
    elif type(module) is ResidualUnit and _gives_a_new_tensor(module):
        after = module.after
        while type(after) is nn.Sequential and len(after):
            after = after[0]
        if _is(after, nn.ReLU):
            yield after, module if _may_drop(module) else None  # type: ignore[misc]
    for part in parts:
        yield from _safe(part)


def _gives_a_new_tensor(unit: ResidualUnit) -> bool:
    """Whether the merge does, when both roads carry something or one is severed: a sum of two
    roads, or what a normalisation gave alone.

    Only torch's own sequence and our row are sure to give something.
    """
    road: nn.Module = unit.branch
    while type(road) in WRAPPERS:
        road = road.road  # type: ignore[assignment]
    if not _is(unit.merge, Sum) or type(road) not in (nn.Sequential, Row):
        return False
    last: nn.Module | None = road[-1] if len(road) else None  # type: ignore
    return not unit.plain or (
        road is unit.branch and any(_is(last, kind) for kind in NORMALISATIONS)
    )


def _may_drop(unit: ResidualUnit) -> bool:
    roads = (*unit.branch.modules(), *unit.shortcut.modules())
    return any(type(part) is Dropped for part in roads)


def _follow(unit: ResidualUnit, relu: nn.ReLU) -> RemovableHandle:
    """At every pass: a sum of which one road carries nothing is the other's own tensor."""

    def ask(_: nn.Module, roads: tuple[Road, Road, object]) -> None:
        relu.inplace = roads[0] is not None and roads[1] is not None

    return unit.merge.register_forward_pre_hook(ask)


def _is(module: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Exactly of this class, with nothing hung on it."""
    hooks = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    return type(module) is kind and not any(getattr(module, hook) for hook in hooks)
