"""h, the shortcut round the branch: identity, options A, B, C, a stream's, and the cut one.

Options are those of He et al. 2015, sec. 3.3. Each maker takes (c_in, c_out, stride) and gives h
for that shape; `None` stands for the identity. (N, C_in, H, W) -> (N, C_out, H/stride, W/stride).
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError

Shortcut = Callable[[int, int, int], nn.Module | None]


class Pad(nn.Module):
    """Option A: pick every stride-th pixel, append zero channels (He et al. 2015, sec. 4.2)."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.extra, self.stride = c_out - c_in, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))

    def extra_repr(self) -> str:
        return f"extra={self.extra}, stride={self.stride}"


class AveragePad(Pad):
    """Option A with average pooling in place of picking (Huang et al. 2016, code and sec. 4)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(F.avg_pool2d(x, self.stride), (0, 0, 0, 0, 0, self.extra))


class Severed(nn.Module):
    """A shortcut that is there and carries nothing, `None`. The unit that it stands in is plain.

    `road` is what would flow, were it open; deleting a plain unit opens it.
    """

    def __init__(self, road: nn.Module | None = None):
        super().__init__()
        self.road = nn.Identity() if road is None else road

    def forward(self, x: Tensor) -> None:
        return None


class Zeros(nn.Module):
    """What a severed road carries, once it opens, where there is no way: zeros in `c_out` channels.

    A layer in a column of a fractal network leaves nothing behind when it is deleted.
    """

    def __init__(self, c_out: int):
        super().__init__()
        self.c_out = c_out

    def forward(self, x: Tensor) -> Tensor:
        # no channel of x, padded: still a function of it, so that gradients are zero and not absent
        return F.pad(x[:, :0], (0, 0) * (x.ndim - 2) + (0, self.c_out))

    def extra_repr(self) -> str:
        return f"c_out={self.c_out}"


def projection(c_in: int, c_out: int, stride: int, normalise: bool = True) -> nn.Module:
    """A strided 1x1 convolution; `normalise` except in front of pre-activation units."""
    conv = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out)) if normalise else conv


def same_shape(c_in: int, c_out: int, stride: int) -> bool:
    return c_in == c_out and stride == 1


def option_a(c_in: int, c_out: int, stride: int) -> nn.Module | None:
    """Identity; zero channels where the shape changes. Adds no parameter."""
    return _padded(Pad, c_in, c_out, stride)


def option_a_average(c_in: int, c_out: int, stride: int) -> nn.Module | None:
    """Option A, the image averaged over stride x stride pixels instead of thinned out."""
    return _padded(AveragePad, c_in, c_out, stride)


def _padded(pad: type[Pad], c_in: int, c_out: int, stride: int) -> nn.Module | None:
    if c_out < c_in:
        said = f"it cannot go from {c_in} to {c_out}. Use option B"
        raise UsageError(f"option A appends channels; {said}")
    return None if same_shape(c_in, c_out, stride) else pad(c_in, c_out, stride)


def option_b(c_in: int, c_out: int, stride: int) -> nn.Module | None:
    """Identity; a projection with batch normalisation where the shape changes."""
    return None if same_shape(c_in, c_out, stride) else projection(c_in, c_out, stride)


def option_b_bare(c_in: int, c_out: int, stride: int) -> nn.Module | None:
    """Option B of pre-activation networks: no batch normalisation (He et al. 2016)."""
    return None if same_shape(c_in, c_out, stride) else projection(c_in, c_out, stride, False)


def option_c(c_in: int, c_out: int, stride: int) -> nn.Module | None:
    """A projection in every unit."""
    return projection(c_in, c_out, stride)


class FirstStream(nn.Module):
    """[r, t] -> [road(r), 0]: of two streams side by side the first passes, the second does not.

    Resnet in Resnet (Targ et al. 2016, fig. 1): r has a shortcut, t none. r is the first half of
    the channels, before and after.
    """

    def __init__(self, road: nn.Module | None = None):
        super().__init__()
        self.road = nn.Identity() if road is None else road

    def forward(self, x: Tensor) -> Tensor:
        carried = self.road(x[:, : x.shape[1] // 2])
        return F.pad(carried, (0, 0, 0, 0, 0, carried.shape[1]))


def first_stream(road: Shortcut) -> Shortcut:
    """The road for the first of two streams of equal width; zeros for the second.

    UsageError: an odd number of channels.
    """

    def make(c_in: int, c_out: int, stride: int) -> nn.Module:
        if c_in % 2 or c_out % 2:
            raise UsageError(f"{c_in} and {c_out} channels: two streams take an even number")
        return FirstStream(road(c_in // 2, c_out // 2, stride))

    return make


def severed(road: Shortcut) -> Shortcut:
    """The same roads, cut: turns a maker of shortcuts into one of plain layers."""
    return lambda c_in, c_out, stride: Severed(road(c_in, c_out, stride))
