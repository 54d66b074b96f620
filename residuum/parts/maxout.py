"""Maxout: the largest of several linear pieces (Goodfellow et al. 2013)."""

from torch import Tensor, nn

from ..errors import UsageError


class Maxout(nn.Module):
    """Channel c is the largest of channels c * pieces ... c * pieces + pieces - 1.

    (N, C * pieces, ...) -> (N, C, ...). UsageError: fewer than one piece.
    """

    def __init__(self, pieces: int = 2):
        super().__init__()
        if pieces < 1:
            raise UsageError(f"maxout takes at least one piece, not {pieces}")
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.pieces)).amax(2)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"
