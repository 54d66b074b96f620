"""Networks of exponential linear units, without normalisation (Clevert et al. 2016)."""

from collections.abc import Sequence

from torch import nn

from ..units import ResidualNetwork
from .stacks import Convolution, Item, classified, dropout, max_pool, stack

Stacks = Sequence[Sequence[tuple[int, int]]]  # (width, kernel) of every layer, stack by stack

ELU18: Stacks = (
    ((384, 3),),
    ((384, 1), (384, 2), (640, 2), (640, 2)),
    ((640, 1), (768, 2), (768, 2), (768, 2)),
    ((768, 1), (896, 2), (896, 2)),
    ((896, 3), (1024, 2), (1024, 2)),
    ((1024, 1), (1152, 2)),
    ((1152, 1),),
)
ELU11: Stacks = (
    ((192, 5),),
    ((192, 1), (240, 3)),
    ((240, 1), (260, 2)),
    ((260, 1), (280, 2)),
    ((280, 1), (300, 2)),
    ((300, 1),),
)
DROPOUT = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0)


def elu_network(
    classes: int, stacks: Stacks = ELU18, rates: Sequence[float] = (), pools: int = 5
) -> ResidualNetwork:
    """The stacks and a 1x1 convolution to the classes. (N, 3, 32, 32) -> (N, K).

    `rates`: dropout behind the last layer of each stack; none where left out.
    `pools`: 2x2 max-pools, behind the first so many stacks. The paper pools behind every stack;
    of 32 pixels five leave one, so that there are no more is this project's interpretation, as is
    the padding of 2x2 kernels on the right and below.
    """
    items: list[Item] = []
    for number, layers in enumerate(stacks):
        items += [Convolution(width, kernel) for width, kernel in layers]
        if number < len(rates) and rates[number]:
            items.append(dropout(rates[number]))
        if number < pools:
            items.append(max_pool())
    return stack(items, classified(stacks[-1][-1][0], classes), nn.ELU)
