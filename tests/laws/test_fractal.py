"""Laws of fractal networks: columns, joins, what a deletion leaves, drop-path."""

import pytest
import torch
from conftest import columns, image_batch, labels, lively, ordinary_gradient
from test_gradients import enumerate_paths
from torch import nn

from residuum import anatomy
from residuum.anatomy import count_paths, sweep, unravel, without
from residuum.anatomy.sweeps import naive
from residuum.errors import UsageError
from residuum.networks.fractalnet import DropPath, FractalNetwork, fractalnet, joins
from residuum.parts.merges import Gate, Mean
from residuum.units import ResidualUnit, Row
from residuum.views.view import DELETE


def test_paths_of_a_block():
    found = [count_paths(fractalnet(10, c, (4,), (0,))).total for c in (1, 2, 3, 4, 5)]
    assert found == [1, 2, 5, 26, 677]
    assert count_paths(fractalnet(10, 3, (4, 4), (0, 0))).total == 25


def layers(block: ResidualUnit) -> dict[str, nn.Module]:
    """Of a block of three columns, named by hand: the layers with their pools."""
    first, second = block.branch
    named = {
        "a": block.shortcut[0],
        "b1": first.shortcut[0], "b2": second.shortcut[0],
        "c1": first.branch[0], "c2": first.branch[1],
        "c3": second.branch[0], "c4": second.branch[1],
    }  # fmt: skip
    return {k: nn.Sequential(unit.branch, unit.after) for k, unit in named.items()}


def test_joins_are_the_flat_means_of_the_paper():
    """Drawn by hand from fig. 1: a join of two columns, then one of three."""
    network, x = lively(columns()), image_batch(3)
    f = layers(network.units[0])
    with torch.no_grad():
        middle = (f["b1"](x) + f["c2"](f["c1"](x))) / 2
        end = (f["a"](x) + f["b2"](middle) + f["c4"](f["c3"](middle))) / 3
        torch.testing.assert_close(network(x), network.head(end))
    assert [[j.roads for j in chain] for chain in joins(network.units[0])] == [[2], [3, 2]]


@pytest.mark.parametrize("gone", range(7))
def test_a_deleted_layer_leaves_zeros_and_its_join_keeps_counting(gone):
    network, x, targets = lively(columns()).double(), image_batch(3).double(), labels(3)
    f, order = layers(network.units[0]), ["a", "b1", "c1", "c2", "b2", "c3", "c4"]
    part = f[order[gone]]
    f[order[gone]] = lambda x: torch.zeros_like(part(x))
    with torch.no_grad():
        middle = (f["b1"](x) + f["c2"](f["c1"](x))) / 2
        end = (f["a"](x) + f["b2"](middle) + f["c4"](f["c3"](middle))) / 3
        expected = network.head(end)
    view = unravel(network)
    with view.edited({gone: DELETE}):
        torch.testing.assert_close(network(x), expected)
        found = anatomy.gradient_by_length(network, x, targets)
        whole = ordinary_gradient(network, x, targets)
    torch.testing.assert_close(found.sum(0), whole, rtol=1e-9, atol=1e-12)
    left = anatomy.polynomial(view.expression, deleted=[gone])
    alive = [k for k, count in enumerate(left) if count]
    assert [k for k in range(8) if found[k].any()] == alive
    leaf = view.slots[gone].unit
    through = [
        edits for _, edits in enumerate_paths(network) if any(u is leaf for u, _, _ in edits)
    ]
    assert sum(left) == 5 - len(through)


def test_pairs_of_deletions_in_a_sweep():
    network, x = lively(columns()), image_batch(4)
    variants = [without(network, s) for s in ([0, 3], [1, 2], [0, 1, 2], list(range(7)))]
    expected = naive(network, x, variants)
    torch.testing.assert_close(sweep(network, x, variants), expected, rtol=1e-4, atol=1e-5)
    head = network.head(torch.zeros(4, 6, 8, 8))
    torch.testing.assert_close(expected[3], head.detach())  # nothing is left


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_single_column_is_a_plain_stack(column):
    torch.manual_seed(0)
    network, x = lively(fractalnet(10, 3, (6, 8), (0, 0.1))), image_batch(3)
    with torch.no_grad():
        signal = x
        for block in network.units:
            f = layers(block)
            for name in (("a",), ("b1", "b2"), ("c1", "c2", "c3", "c4"))[column]:
                signal = f[name](signal)
        torch.testing.assert_close(network(x, column=column), network.head(signal))
        whole = network(x)  # the choice does not stand
        assert not torch.allclose(whole, network.head(signal), atol=1e-3)
        torch.testing.assert_close(whole, network(x))
    for wrong in (3, -1, 1.5):
        with pytest.raises(UsageError, match="columns 0 to 2"):
            network(x, column=wrong)


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_drop_path_never_drops_all_and_drops_as_often_as_it_says(per):
    drop, generator = DropPath(0.4, 0.0, per), torch.Generator().manual_seed(0)
    draws = 600 if per == "batch" else 1
    found = []
    for _ in range(draws):
        drop.draw(generator)
        found.append(drop.alive(1 if per == "batch" else 4000, 3, [3, 2]))
    for at, n in enumerate((3, 2)):
        alive = torch.cat([f[at] for f in found])
        assert alive.any(1).all()
        # all are dropped with chance 0.4^n, and one of n then returns
        expected = 0.6 + 0.4**n / n
        error = 5 * (expected * (1 - expected) / len(alive)) ** 0.5
        assert (alive.double().mean(0) - expected).abs().max() < error


def test_global_drop_path_takes_one_column_through_the_network():
    drop = DropPath(0.15, 1.0)
    torch.manual_seed(0)
    deep, middle = drop.alive(3000, 3, [3, 2])
    assert (deep.sum(1) == 1).all()
    share = deep.double().mean(0)
    assert (share - 1 / 3).abs().max() < 0.05
    within = ~deep[:, 0]  # a join of the two deeper columns
    assert torch.equal(middle[within], deep[within, 1:])
    half = DropPath(0.0, 0.5).alive(10, 3, [3])[0].sum(1)
    assert half.tolist() == [1] * 5 + [3] * 5


def test_a_draw_is_a_function_of_its_generator():
    drop = DropPath(per="batch")
    found = []
    for seed in (1, 1, 2, 3, 4):
        drop.draw(torch.Generator().manual_seed(seed))
        found.append([drop.alive(1, 3, [3, 2] * 10), drop.alive(1, 3, [3, 2] * 10)])
    assert all(torch.equal(a, b) for a, b in zip(*found[0], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(found[0][0], found[1][0], strict=True))
    assert any(
        not torch.equal(a, b) for f in found[2:] for a, b in zip(found[0][0], f[0], strict=True)
    )


class Fixed(DropPath):
    """Draws that were made by hand."""

    def __init__(self, masks):
        super().__init__()
        self.masks = [torch.tensor(mask, dtype=torch.bool) for mask in masks]

    def alive(self, examples, columns, roads):
        return self.masks


def test_means_are_taken_over_the_survivors():
    network, x = columns(), image_batch(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.Dropout):
            module.eval()  # while the network itself is in training mode
    network.drop_path = Fixed([
        [[True, True], [False, True], [True, False]],
        [[True, False, False], [False, True, True], [True, False, True]],
    ])  # fmt: skip
    network.training = True
    f = layers(network.units[0])
    with torch.no_grad():
        b, c = f["b1"](x), f["c2"](f["c1"](x))
        middle = torch.stack([(b[0] + c[0]) / 2, c[1], b[2]])
        a, b, c = f["a"](x), f["b2"](middle), f["c4"](f["c3"](middle))
        end = torch.stack([a[0], (b[1] + c[1]) / 2, (a[2] + c[2]) / 2])
        torch.testing.assert_close(network(x), network.head(end))
        assert all(j.drawn is None for chain in joins(network.units[0]) for j in chain)
        network.eval()
        whole = network(x)
        network.drop_path = None
        assert torch.equal(network(x), whole)  # nothing is dropped in a test


def test_a_network_with_drop_path_trains():
    torch.manual_seed(0)
    network = fractalnet(10, 3, (6, 8), (0, 0), drop_path=DropPath())
    assert isinstance(network, FractalNetwork)
    x, y = image_batch(8), torch.arange(8)
    optimiser = torch.optim.SGD(network.parameters(), 0.05)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-4:]) < sum(losses[:4])


def test_what_cannot_be_is_refused():
    row = Row([ResidualUnit(nn.Identity())])
    with pytest.raises(UsageError, match="goes with a branch that is one"):
        ResidualUnit(nn.Identity(), row, merge=Mean())
    with pytest.raises(UsageError, match="does not"):
        ResidualUnit(row, row, merge=Gate(nn.Identity()))
    with pytest.raises(UsageError, match="a rate a width"):
        fractalnet(10, 3, (6, 8), (0,))
    for wrong in ({"drop": 1.2}, {"single": -1}, {"per": "pixel"}):
        with pytest.raises(UsageError, match="drop-path"):
            DropPath(**wrong)
    with pytest.raises(UsageError, match="share"):
        Mean(1.5)
