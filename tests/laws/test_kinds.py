"""Every preset takes a training step on its images, and is of kinds on which all laws run."""

from functools import cache

import pytest
import torch
from conftest import MENAGERIE
from torch import nn

from residuum.parts.wrappers import Companion, Dropped
from residuum.presets import CATALOGUE
from residuum.presets.write_index import on_meta
from residuum.units import ResidualUnit

built = cache(on_meta)


def kinds(network: nn.Module) -> set[tuple[str, ...]]:
    """Merge, shortcut and branch of its units, as words."""
    units = [m for m in network.modules() if isinstance(m, ResidualUnit)]
    return {tuple(type(p).__name__ for p in (u.merge, u.shortcut, u.branch)) for u in units}


@cache
def of_the_menagerie() -> set[tuple[str, ...]]:
    return set().union(*(kinds(build()) for build in MENAGERIE.values()))


@pytest.mark.parametrize("name", CATALOGUE)
def test_its_units_are_of_kinds_that_stand_in_the_menagerie(name):
    assert kinds(built(name)) <= of_the_menagerie()


@pytest.mark.parametrize("name", CATALOGUE)
def test_its_weights_fit_a_file_and_load_by_name(name):
    """No two names for one tensor, so that safetensors takes them as they are."""
    tensors = built(name).state_dict(keep_vars=True)
    assert len({id(t) for t in tensors.values()}) == len(tensors)


# deeper ones are made of units of the same kinds
SHALLOW = [name for name, row in CATALOGUE.items() if row.depth <= 60]


@pytest.mark.parametrize("name", SHALLOW)
def test_a_step_on_its_images_reaches_every_weight(name):
    """Without values: shapes, and what has a gradient. A companion's head has a loss of its own."""
    row, network = CATALOGUE[name], built(name).train()
    for part in network.modules():
        if isinstance(part, Dropped):
            part.drawn = True
    with torch.device("meta"):
        logits = network(torch.empty(2, 3, row.size, row.size))
        assert logits.shape == (2, row.classes)
        nn.functional.cross_entropy(logits, torch.zeros(2, dtype=torch.int64)).backward()
    heads = [m.head for m in network.modules() if isinstance(m, Companion)]
    aside = {p for head in heads for p in head.parameters()}
    reached = [p for p in network.parameters() if p.grad is not None]
    assert set(network.parameters()) - aside == set(reached)
    torch.optim.SGD(reached, 0.1).step()
