"""Precise batch normalisation: running statistics replaced by true averages over many images."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data import Dataset
from ..data.augment import Pixels, generator
from ..data.augmentation import Normalisation
from ..data.normalise import fit
from ..errors import UsageError
from ..parts.modes import in_evaluation
from .evaluation import BATCH

if TYPE_CHECKING:
    from .loop import Trainer


def precise_bn(
    network: nn.Module,
    data: Dataset,
    images: int,
    normalisation: Normalisation = "channel",
    seed: int = 0,
) -> None:
    """Replace the statistics of every batch normalisation by those over `images` training images.

    For a trained network, ahead of testing (the released networks of He et al. 2015 have it): the
    running averages lag behind the last weights and count the last batches alone. The images are
    drawn without replacement, a function of the seed, and not augmented; `normalisation` is that of
    the recipe. All but batch normalisation works as in testing (no dropout). Changes the network.

    UsageError: fewer than 2 images or more than there are; no batch normalisation.
    """
    require_statistics(network, data, images)
    device = next(network.parameters()).device
    chosen = Pixels(data.train, fit(data.train, normalisation), device)
    replace_statistics(network, drawn(chosen, images, seed))


def require_statistics(
    network: nn.Module, data: Dataset, images: int | None, held_out: int = 0
) -> None:
    """UsageError, before anything is trained: statistics that could not be taken."""
    if images is None:
        return
    there = len(data.train) - held_out
    if not 2 <= images <= there:
        range_ = f"2 to {there}, the training images of {data.name}"
        raise UsageError(f"precise statistics of {images} images: must be {range_}")
    if not _layers(network):
        raise UsageError("precise statistics: this network has no batch normalisation")


def take_statistics(trainer: "Trainer") -> None:
    """At the end of a run whose recipe asks for it, ahead of the last test."""
    images, seed = trainer.recipe.precise_statistics, trainer.recipe.seed
    if images is not None and trainer.step == trainer.total_steps:
        replace_statistics(trainer.network, drawn(trainer.train_pixels, images, seed))


def drawn(pixels: Pixels, images: int, seed: int) -> Iterator[Tensor]:
    """So many images in batches of about 500, shuffled: one class after the other would not do."""
    order = torch.randperm(len(pixels), generator=generator(seed, "precise statistics"))[:images]
    for part in order.tensor_split(-(-images // BATCH)):
        yield pixels.batch(part)[0]


@torch.no_grad()
def replace_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Mean and variance (that of a sample, as torch's) of all that each layer is given.

    Each batch is normalised by its own statistics on the way, as in training; what layers are given
    is pooled over all of them, so variances count what differs between batches too.
    """
    pools = {layer: _Pool() for layer in _layers(network)}
    with ExitStack() as stack:
        stack.enter_context(_by_batch(network))
        for layer, pool in pools.items():
            stack.callback(layer.register_forward_pre_hook(pool).remove)
        for batch in batches:
            network(batch)
    for layer, pool in pools.items():
        if pool.n > 1:  # else it stands in a road that carries nothing
            layer.running_mean.copy_(pool.mean)  # type: ignore[union-attr]
            layer.running_var.copy_(pool.squares / (pool.n - 1))  # type: ignore[union-attr]


class _Pool:
    """Mean and sum of squared deviations over batches, by channel (Chan et al. 1979)."""

    n: int = 0
    mean: Any = 0.0
    squares: Any = 0.0

    def __call__(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = given[0].detach().float().transpose(0, 1).flatten(1)
        variance, mean = (t.cpu().double() for t in torch.var_mean(x, 1, correction=0))
        n, total = x.shape[1], self.n + x.shape[1]
        apart = mean - self.mean
        self.squares = self.squares + n * variance + apart.square() * (self.n * n / total)
        self.mean = self.mean + apart * (n / total)
        self.n = total


def _layers(network: nn.Module) -> list[_BatchNorm]:
    found = (m for m in network.modules() if isinstance(m, _BatchNorm))
    return [layer for layer in found if layer.running_mean is not None]


@contextmanager
def _by_batch(network: nn.Module) -> Iterator[None]:
    """In evaluation mode, but batch normalisation by each batch, whose counters stand still."""
    layers = _layers(network)
    with in_evaluation(network):
        try:
            for layer in layers:
                layer.training, layer.track_running_stats = True, False
            yield
        finally:
            for layer in layers:
                layer.track_running_stats = True
