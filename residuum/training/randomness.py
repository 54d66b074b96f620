"""What draws during a step (dropout, say) draws from f(seed, step, rank): no state to lose."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..data.augment import derived_seed


@contextmanager
def drawing(device: str, *key: object) -> Iterator[None]:
    """Inside, torch's default generators (CPU and `device`) start from a hash of the key.

    Afterwards they are as before, so a caller's own draws are not disturbed. Costs microseconds.
    """
    seed, generators = derived_seed(*key), _generators(torch.device(device))
    before = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def _generators(device: torch.device) -> list[torch.Generator]:
    """Not torch.manual_seed and torch.random.fork_rng: they reach for every device there is."""
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return [torch.default_generator, torch.cuda.default_generators[index]]
    if device.type == "mps":
        return [torch.default_generator, torch.mps._get_default_mps_generator()]
    return [torch.default_generator]
