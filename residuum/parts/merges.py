"""m, how the two roads of a unit meet: sum, gate, concatenation, mean of the roads that are there.

A merge is linear in its two roads, m(h, F; z) = m(h, 0; z) + m(0, F; z): that is what makes paths.
The derivative falls into a part that goes round the branch and a part that goes through it,
whatever the merge does with z.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from ..errors import UsageError
from ..reader import require

Probability = Annotated[float, Meta(ge=0, le=1)]
Road = Tensor | None  # what a road carries; None: nothing
TOLERANCE = 1e-4  # of the largest value: halves that add up differ from the whole by rounding
PROBE_SCALE = 3.0  # of the roads that a merge is tried on: beyond where most functions bend


class Merge(nn.Module):
    """Base of every merge. A new one states `forward`; what else it may state has a default.

    `around` is h(z), `through` is F(z), `z` is what both roads read. Shapes: (N, C, H, W), or any
    that the merge accepts. A road that carries nothing is `None`; a merge that is never given one
    need not expect it.
    `needs_input`: whether z is read; where it is not, a nest need not keep it.
    """

    needs_input = True

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        raise NotImplementedError

    def halves(self, around: Road, through: Road, z: Tensor) -> tuple[Road, Road]:
        """m(h, 0; z) and m(0, F; z), `None` for an empty road. Probed with zeros unless stated."""
        nothing_around = None if around is None else torch.zeros_like(around)
        nothing_through = None if through is None else torch.zeros_like(through)
        return (
            None if around is None else self(around, nothing_through, z),
            None if through is None else self(nothing_around, through, z),
        )

    def bypass(self, around: Tensor, z: Tensor, strict: bool = False) -> Road:
        """What is left when the branch is deleted; with `strict` always m(h, 0; z).

        None, unless stated: that half, which then costs an evaluation of the branch for its shape.
        """
        return None


class Sum(Merge):
    """h + F (He et al. 2015, eq. 1)."""

    needs_input = False

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        if around is None or through is None:
            return _only(around, through)
        return around + through

    def halves(self, around: Road, through: Road, z: Tensor) -> tuple[Road, Road]:
        return _alike(around, through)

    def bypass(self, around: Tensor, z: Tensor, strict: bool = False) -> Tensor:
        return around


class Gate(Merge):
    """(1 - T) h + T F, T = sigmoid(transform(z)): Srivastava et al. 2015, eq. 3, coupled.

    `transform` maps z to the shape of F; its bias decides how much passes at first. Deleting the
    branch closes the gate, T = 0, which leaves h itself.
    """

    def __init__(self, transform: nn.Module):
        super().__init__()
        self.transform = transform

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        if around is None or through is None:
            return _only(*self.halves(around, through, z))
        return torch.lerp(around, through, torch.sigmoid(self.transform(z)))

    def halves(self, around: Road, through: Road, z: Tensor) -> tuple[Road, Road]:
        gate = torch.sigmoid(self.transform(z))
        return (
            None if around is None else (1 - gate) * around,
            None if through is None else gate * through,
        )

    def bypass(self, around: Tensor, z: Tensor, strict: bool = False) -> Tensor:
        return (1 - torch.sigmoid(self.transform(z))) * around if strict else around


class GateConvolution(nn.Conv2d):
    """The transform of a gate: a convolution whose bias starts at `start`.

    -6 starts the gate at T = 0.0025, nearly shut (He et al. 2016, sec. 3.1).
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, start: float = 0):
        super().__init__(c_in, c_out, kernel, stride, kernel // 2)
        self.start = start
        self.reset()

    def reset(self) -> None:
        """Its initial bias."""
        assert self.bias is not None
        nn.init.constant_(self.bias, self.start)


class Concat(Merge):
    """[h, F] along the channels (Huang et al. 2017, eq. 2): a sum of roads padded with zeros.

    `growth` is the number of channels of F.
    """

    def __init__(self, growth: int):
        super().__init__()
        self.growth = growth

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        if around is None or through is None:
            return _only(*self.halves(around, through, z))
        return torch.cat([around, through], 1)

    def halves(self, around: Road, through: Road, z: Tensor) -> tuple[Road, Road]:
        channels = z.shape[1] if around is None else around.shape[1]
        return (
            None if around is None else self.bypass(around, z),
            None if through is None else self._padded(through, channels, 0),
        )

    def bypass(self, around: Tensor, z: Tensor, strict: bool = False) -> Tensor:
        return self._padded(around, 0, self.growth)

    @staticmethod
    def _padded(road: Tensor, before: int, behind: int) -> Tensor:
        return F.pad(road, (0, 0) * (road.ndim - 2) + (before, behind))

    def extra_repr(self) -> str:
        return f"growth={self.growth}"


class Mean(Merge):
    """The mean of the roads that are there: the join of Larsson et al. 2017, sec. 2.

    `None` is a road that is not there and does not count. A deleted branch does: its road is there
    and carries zero, which leaves share * h.

    `share`: of h; 1/C where the branch is itself the mean of C - 1 roads, so that all count alike.
    """

    needs_input = False

    def __init__(self, share: float = 0.5):
        super().__init__()
        require(share, Probability, "mean: share", UsageError)
        self.share = share

    def forward(self, around: Road, through: Road, z: Tensor) -> Tensor:
        if around is None or through is None:
            return _only(around, through)
        return self.share * around + (1 - self.share) * through

    def halves(self, around: Road, through: Road, z: Tensor) -> tuple[Road, Road]:
        around, through = _alike(around, through)
        if around is None or through is None:
            return around, through
        return self.share * around, (1 - self.share) * through

    def bypass(self, around: Tensor, z: Tensor, strict: bool = False) -> Tensor:
        return self.share * around

    def extra_repr(self) -> str:
        return f"share={self.share:.4g}"


def _alike(around: Road, through: Road) -> tuple[Road, Road]:
    """Both in the shape of their sum, where one is broadcast to the other."""
    if around is None or through is None or around.shape == through.shape:
        return around, through
    around, through = torch.broadcast_tensors(around, through)
    return around, through


def _only(around: Road, through: Road) -> Tensor:
    """The one road that carries something."""
    for road in (around, through):
        if road is not None:
            return road
    raise UsageError("neither road of this unit carries anything: shortcut and branch are both cut")


@torch.no_grad()
def probe(merge: Merge, around: Road, through: Road, z: Tensor, where: str) -> None:
    """Try the merge on random roads of these shapes: data may hide that it is not linear.

    UsageError: see `require_linear`.
    """
    if around is None or through is None:
        return
    source = torch.Generator().manual_seed(0)
    h, f = (
        PROBE_SCALE * torch.randn(road[:1].shape, generator=source).to(road)
        for road in (around, through)
    )
    require_linear(merge, merge.halves(h, f, z[:1]), merge(h, f, z[:1]), where)


def require_linear(merge: Merge, halves: tuple[Road, Road], whole: Tensor, where: str) -> None:
    """UsageError where the halves do not add up to the whole: such a merge has no paths."""
    if not bool(torch.isfinite(whole).all()):
        raise UsageError(f"{where}: the unit gives values that are not finite")
    parts = [half for half in halves if half is not None]
    total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    if total.shape == whole.shape:
        tolerance = max(TOLERANCE, 8 * torch.finfo(whole.dtype).eps)
        if bool((total - whole).abs().max() <= tolerance * whole.abs().max()):
            return
    raise UsageError(
        f"{where}: the merge {type(merge).__name__} is not linear in its two roads: "
        "m(h, 0) + m(0, F) is not m(h, F). Paths and lesions are defined for linear merges only "
        "(a sum, a gate, a concatenation, a mean)"
    )
