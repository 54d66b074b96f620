"""Training and evaluation mode of any model."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


def evaluating(model: nn.Module) -> nn.Module:
    """In evaluation mode. A graph of torch.export does not know modes: it computes what it did when
    it was exported."""
    try:
        return model.eval()
    except NotImplementedError:  # its answer
        for module in model.modules():
            module.training = False
        return model


@contextmanager
def in_evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every part's own mode returns."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        evaluating(model)
        yield
    finally:
        for part, mode in modes:
            part.training = mode
