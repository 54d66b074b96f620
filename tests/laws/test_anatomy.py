"""Laws of lesions, orders and sweeps over the menagerie: equalities that a wrong program breaks."""

import pytest
import torch
import torch.nn.functional as F
from conftest import (
    MENAGERIE,
    Zeroed,
    convolution,
    fingerprint,
    gated_nest,
    headed,
    highway,
    image_batch,
    labels,
    leaf_units,
    lively,
    narrow,
    nested,
    ordinary_gradient,
    same_fingerprint,
)
from torch import nn

from residuum import anatomy
from residuum.anatomy import (
    applied,
    count_paths,
    intact,
    reordered,
    replace,
    sweep,
    unravel,
    without,
)
from residuum.anatomy.sweeps import naive
from residuum.anatomy.walk import cost
from residuum.errors import UsageError
from residuum.parts.shortcuts import Severed
from residuum.units import ResidualNetwork, ResidualUnit, Row
from residuum.views.edits import Nothing
from residuum.views.own import NetworkStages
from residuum.views.view import DELETE, KEEP, Leaf, Parallel, Put, Series, rows

LEFT = {
    "Sum": lambda h: h,
    "Gate": lambda h: h,
    "Concat": lambda h: F.pad(h, (0, 0, 0, 0, 0, 4)),
    "Mean": lambda h: h / 2,
}


def test_a_lesion_leaves_the_way_round(specimen):
    """Written out a second time for each merge, unit by unit."""
    view, x = unravel(specimen), image_batch(2)
    inputs = {}
    for number, unit in enumerate(leaf_units(specimen)):
        unit.register_forward_pre_hook(
            lambda module, args, number=number: inputs.setdefault(number, args[0])
        )
    with torch.no_grad():
        specimen(x)
    for number, unit in enumerate(leaf_units(specimen)):
        road = unit.shortcut.road if isinstance(unit.shortcut, Severed) else unit.shortcut
        expected = unit.after(LEFT[type(unit.merge).__name__](road(unit.before(inputs[number]))))
        name = view.units[number].name
        with view.edited({number: DELETE}), torch.no_grad():
            assert torch.equal(specimen.get_submodule(name)(inputs[number]), expected)


def outputs_of_units(network, x):
    """Of the innermost units and of the nests, as torch itself sees them."""
    found, hooks = {}, []
    for name, unit in network.named_modules():
        if isinstance(unit, ResidualUnit) and name.rpartition(".")[2].isdigit():
            hook = lambda module, args, out, name=name: found.__setitem__(name, out)  # noqa: E731
            hooks.append(unit.register_forward_hook(hook))
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return found


def taped_values(crossings, prefix="units"):
    for number, crossing in enumerate(crossings):
        yield f"{prefix}.{number}", crossing.value
        if crossing.inner is not None:
            yield from taped_values(crossing.inner, f"{prefix}.{number}.branch")


def closing(name, last):
    """The outermost nest that ends with the leaf of this name: its output is the stream behind the
    leaf."""
    while name.endswith(f".branch.{last[name.rpartition('.')[0]]}"):
        name = name.rpartition(".branch")[0]
    return name


def test_tape_sweep_step_and_unit_agree(specimen):
    """Whole, and with each unit deleted: three ways to the stream behind every unit."""
    x, view = image_batch(2), unravel(specimen)
    last = {
        row: len(specimen.get_submodule(row)) - 1
        for row in {u.name.rpartition(".")[0] for u in view.units}
    }
    last |= {n: len(m) - 1 for n, m in specimen.named_modules() if isinstance(m, Row)}
    stages = view.stages(x)
    for gone in [None, *range(len(view.units))]:
        edits = {} if gone is None else {gone: DELETE}
        with view.edited(edits):
            expected, output = outputs_of_units(specimen, x), specimen(x)
            tape = view.tape(x)
        for name, value in taped_values(tape.crossings):
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(tape.head.value.to(output), output, rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            signal = stages.begin(x)
            for place, unit in enumerate(view.units):
                kept = [t.clone() for t in signal]
                following = stages.step(place, signal, edits.get(place, KEEP))
                assert all(
                    torch.equal(a, b) for a, b in zip(kept, signal, strict=True)
                )  # prefixes stay intact
                signal = following
                wanted = expected[closing(unit.name, last)]
                scale = 1e-5 * wanted.abs().max().item()
                torch.testing.assert_close(signal[0], wanted, rtol=1e-4, atol=scale)
            assert len(signal) == 1
            torch.testing.assert_close(stages.finish(signal), output, rtol=1e-4, atol=1e-4)


@pytest.mark.row("S5")
def test_fast_sweep_equals_naive_sweep(specimen):
    n, x = len(leaf_units(specimen)), image_batch(5)
    sets = [[], *([i] for i in range(n)), [0, n - 1], list(range(n)), [1, 2]]
    variants = [without(specimen, s) for s in sets]
    expected = naive(specimen, x, variants)
    found = sweep(specimen, x, variants)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert torch.equal(found.argmax(2), expected.argmax(2))
    assert len({tuple(row.flatten().tolist()) for row in expected}) > n // 2  # deletions do differ


@pytest.mark.row("S5")
def test_sweep_is_the_same_in_little_memory(specimen):
    variants = [intact(specimen), without(specimen, [1]), without(specimen, [0, 2])]
    x = image_batch(7)
    small = sweep(specimen, x, variants, memory=1)
    torch.testing.assert_close(small, sweep(specimen, x, variants), rtol=1e-4, atol=1e-4)


def test_sweep_of_orders_equals_naive():
    network = lively(narrow(units=3))
    variants = [
        reordered(p)
        for p in ([0, 1, 2, 3, 4, 5], [0, 2, 1, 3, 5, 4], [0, 1, 2, 3, 5, 4], [2, 1, 0, 3, 4, 5])
    ]
    x = image_batch(4)
    torch.testing.assert_close(
        sweep(network, x, variants), naive(network, x, variants), rtol=1e-4, atol=1e-4
    )
    shared, alone = cost(variants)
    assert alone == 24
    assert shared < alone


def test_a_branch_that_gives_its_input_back_is_not_written_into():
    """Dropout does so in evaluation mode: a sum in place would change the prefix that other
    variants share."""
    units = [ResidualUnit(nn.Sequential(nn.Dropout())) for _ in range(3)]
    network, x = lively(headed(units, 8)), image_batch(3)
    variants = [without(network, s) for s in ([], [1], [2], [0, 1])]
    torch.testing.assert_close(
        sweep(network, x, variants), naive(network, x, variants), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("build", [MENAGERIE["pre-activation A"], nested], ids=["flat", "nested"])
def test_single_deletions_cost_half(build):
    network = build()
    n = len(unravel(network).units)
    variants = [without(network, [i]) for i in range(n)]
    assert cost(variants) == (n * (n + 1) // 2 - 1, n * (n - 1))


def test_prefixes_are_shared_inside_nests(monkeypatch):
    """Counted where it happens: units evaluated by a sweep of three images, its probes of one image
    left out."""
    network, evaluated = lively(nested()), 0
    variants = [without(network, [i]) for i in range(6)]
    step = NetworkStages.step

    def counted(self, place, signal, edit=KEEP):
        nonlocal evaluated
        if edit == KEEP and len(signal[0]) > 1:
            evaluated += len(signal[0]) // 3
        return step(self, place, signal, edit)

    monkeypatch.setattr(NetworkStages, "step", counted)
    sweep(network, image_batch(3), variants)
    assert evaluated == cost(variants)[0] == 20


@pytest.mark.row("S3")
def test_no_residue_even_after_an_error(specimen):
    x, targets = image_batch(4), labels(4)
    before, expected = fingerprint(specimen), specimen(x)
    examples = anatomy.Examples(x, targets)
    sweep(specimen, x, [without(specimen, [0])])
    anatomy.delete_each(specimen, examples)
    anatomy.layer_responses(specimen, x)
    anatomy.gradient_by_length(specimen, x, targets)
    anatomy.signed_sweep(specimen, x, targets, draws=1)
    anatomy.sampled_paths(specimen, x, targets, [1], 2)
    view = unravel(specimen)
    with (
        pytest.raises(RuntimeError, match="inside"),
        view.edited({0: DELETE, 1: DELETE}),
        view.edited({1: DELETE}),
    ):
        raise RuntimeError("inside")
    for call in (
        anatomy.layer_responses,
        lambda n, x: sweep(n, x, [intact(n)]),
        lambda n, x: anatomy.gradient_by_length(n, x, targets),
    ):
        with pytest.raises((RuntimeError, ValueError)):
            call(specimen, torch.zeros(2, 5, 16, 16))
    assert same_fingerprint(before, fingerprint(specimen))
    assert torch.equal(specimen(x), expected)


@pytest.mark.row("S6")
def test_modes_and_flags_return(specimen):
    specimen.train()
    specimen.stem.requires_grad_(False)
    before = fingerprint(specimen)
    anatomy.gradient_by_length(specimen, image_batch(2), labels(2))
    assert same_fingerprint(before, fingerprint(specimen))


# ---- parts that are not torch's own, or work in place ----


class Standardised(nn.Conv2d):
    """Weight standardisation: its own forward pass, which folding would pass over."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, padding=1)


class Loud(nn.ReLU):
    def forward(self, x):
        return x.relu() + 0.1


class Named(nn.Sequential):
    def forward(self, x):
        return self[1](self[0](x)) * 0.5


def hooked() -> nn.Module:
    norm = nn.BatchNorm2d(8)
    norm.register_forward_hook(lambda module, given, out: out + 1)
    return nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), norm)


PARTS = {
    "convolution of its own": lambda: nn.Sequential(
        Standardised(8, 8, 3, padding=1), nn.BatchNorm2d(8)
    ),
    "activation of its own": lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), Loud()),
    "row of its own": lambda: Named(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)),
    "hook": hooked,
    "no running statistics": lambda: nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 1)
    ),
    "in place at the start": lambda: nn.Sequential(
        nn.ELU(inplace=True), nn.Conv2d(8, 8, 3, padding=1)
    ),
    "a road that is broadcast": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1)),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_ones_own_are_measured_rightly(name):
    torch.manual_seed(0)
    units = [ResidualUnit(PARTS[name](), after=nn.ELU(inplace=i == 1)) for i in range(3)]
    network, x, targets = lively(headed(units, 8)), image_batch(3), labels(3)
    kept = x.clone()
    variants = [without(network, s) for s in ([], [0], [1], [2], [0, 1])]
    expected = naive(network, x, variants)
    torch.testing.assert_close(sweep(network, x, variants), expected, rtol=1e-4, atol=1e-4)
    # two variants that share one prefix: it is not joined with others, so not copied on the way
    pair = sweep(network, x, [variants[0], variants[3]])
    torch.testing.assert_close(pair, expected[[0, 3]], rtol=1e-4, atol=1e-4)
    assert torch.equal(x, kept)
    if name == "in place at the start":
        return  # autograd refuses the network itself: the activation ahead needs its output
    network, x = network.double(), x.double()
    found = anatomy.gradient_by_length(network, x, targets)
    expected = ordinary_gradient(network, x, targets)
    torch.testing.assert_close(found.sum(0), expected, rtol=1e-9, atol=1e-12)


def test_inputs_that_are_not_floats():
    torch.manual_seed(0)
    units = [ResidualUnit(nn.Linear(4, 4)) for _ in range(2)]
    network = ResidualNetwork(nn.Embedding(9, 4), units, nn.Linear(4, 3)).eval()
    x = torch.tensor([1, 5, 8])
    variants = [without(network, [0]), intact(network)]
    torch.testing.assert_close(sweep(network, x, variants), naive(network, x, variants))
    with pytest.raises(UsageError, match=r"torch\.int64, not floats"):
        anatomy.gradient_by_length(network, x, torch.tensor([0, 1, 2]))


def test_what_cannot_be_measured_is_refused():
    network, none = lively(narrow()), torch.zeros(0, 3, 16, 16)
    for call in (
        lambda: sweep(network, none, [intact(network)]),
        lambda: naive(network, none, [intact(network)]),
        lambda: anatomy.gradient_by_length(network, none, labels(0)),
        lambda: anatomy.sampled_paths(network, none, labels(0), [1], 1),
        lambda: anatomy.layer_responses(network, none),
    ):
        with pytest.raises(UsageError, match="no examples"):
            call()
    nest = ResidualUnit(Row([ResidualUnit(convolution(8, 8))]))
    with pytest.raises(UsageError, match="stands in two places"):
        unravel(headed([nest, nest], 8))
    silent = headed([ResidualUnit(convolution(8, 8), Nothing())], 8)
    with pytest.raises(UsageError, match="Severed"):
        sweep(silent.eval(), image_batch(1), [without(silent, [0])])


def test_a_nest_round_one_plain_unit():
    inner = Row([ResidualUnit(convolution(8, 8), Severed())])
    units = [ResidualUnit(convolution(8, 8)), ResidualUnit(inner), ResidualUnit(convolution(8, 8))]
    network = lively(headed(units, 8)).double()
    found = anatomy.path_gradients(network, image_batch(2, 8).double(), labels(2), 3, 2, 2)
    assert found.counts == (1, 3, 3, 1)


# ---- deletions and orders ----


@pytest.mark.parametrize("edits", [{0: None}, {0: "delete"}, {"0": DELETE}, {0.5: DELETE}])
def test_what_is_no_edit_is_refused(edits):
    """In a foreign model too: no lesion that would change nothing, in silence."""
    foreign = nn.Sequential(*(ResidualUnit(nn.Linear(4, 4)) for _ in range(2)))
    for view in (unravel(narrow()), unravel(foreign, torch.randn(2, 4))):
        with pytest.raises(UsageError, match=r"an edit is Delete|no unit"):
            view.edited(edits).__enter__()


def test_wrong_units_are_refused():
    network = narrow()
    for wrong in ([4], [-1], [1, 1]):
        with pytest.raises(UsageError, match=r"unit"):
            without(network, wrong)
    with pytest.raises(UsageError, match="no unit 4"), unravel(network).edited({0: Put(4)}):
        pass
    with pytest.raises(UsageError, match="another length"):
        sweep(network, image_batch(1), [()])
    one_each = narrow(units=1)
    with pytest.raises(UsageError, match="same shape"):
        anatomy.reorder_random(one_each, anatomy.Examples(image_batch(1), labels(1)), [1])
    with pytest.raises(UsageError, match="Linear cannot be unraveled"):
        unravel(nn.Linear(3, 3))
    empty = headed([ResidualUnit(Row([]))], 8)
    with pytest.raises(UsageError, match=r"units\.0: a nested unit whose row has no units"):
        unravel(empty)


@pytest.mark.row("S10")
def test_units_that_add_nothing_change_nothing():
    network, x = lively(narrow()), image_batch(2)
    still = ResidualUnit(Zeroed(nn.Identity()))
    with replace([(network.units, "1", still)]):
        expected = network(x)
    with unravel(network).edited({1: DELETE}):
        assert torch.equal(network(x), expected)


def test_only_units_of_the_same_shape_trade_places():
    network = lively(MENAGERIE["pre-activation A"]())
    examples = anatomy.Examples(image_batch(20), labels(20))
    base, found = anatomy.reorder_random(network, examples, [0, 1, 9], repeats=4)
    stage = [0, 0, 0, 1, 2, 2, 3, 4, 4]  # units 3 and 6 change the shape and stay
    assert all([stage[u] for u in r.permutation] == stage for r in found)
    assert all(
        r.tau == 1 and r.change.value == 0 and r.error == base for r in found if r.swaps == 0
    )
    assert all(r.tau < 1 for r in found if r.swaps == 1)
    assert len({r.permutation for r in found}) > 6


def test_orders_change_inside_innermost_rows():
    """A nest's units trade places with their neighbours inside it, never across its border."""
    network = lively(nested(units=3, width=8, halving=1))
    view, examples = unravel(network), anatomy.Examples(image_batch(12), labels(12))
    assert rows(view.expression) == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]
    base, found = anatomy.reorder_random(view, examples, [1, 6], repeats=5)
    assert all([u // 3 for u in r.permutation] == [0, 0, 0, 1, 1, 1, 2, 2, 2] for r in found)
    assert len({r.permutation for r in found}) > 5
    moved = found[-1]
    with applied(network, reordered(moved.permutation)), torch.no_grad():
        wrong = int((network(examples.inputs).argmax(1) != examples.targets).sum())
    assert moved.error.count == wrong
    assert base.n == 12


def test_the_units_of_a_nest_are_its_leaves():
    """Numbers, names and shapes belong together: unit 2 of a nest is the third leaf, not the third
    stage."""
    view = unravel(lively(nested()), image_batch(1, 16))
    assert [u.number for u in view.units] == list(range(6))
    assert [u.name for u in view.units[:3]] == [
        "units.0.branch.0.branch.0", "units.0.branch.0.branch.1", "units.0.branch.1.branch.0",
    ]  # fmt: skip
    assert [u.shape_out for u in view.units] == [(8, 16, 16)] * 2 + [(16, 8, 8)] * 2 + [
        (32, 4, 4)
    ] * 2
    for unit in view.units:
        with view.edited({unit.number: DELETE}):
            assert type(view.model.get_submodule(unit.name).merge).__name__ == "Bypassed"
    flat = unravel(preset_20 := MENAGERIE["pre-activation A"]())
    branches = [sum(p.numel() for p in u.branch.parameters()) for u in preset_20.units]
    assert [u.removable_parameters for u in flat.units] == branches
    assert {u.shortcut for u in flat.units} == {"identity", "resampled"}


def test_one_unit_in_two_places():
    """Shared weights: each place is a unit of its own, deleted and followed on its own."""
    torch.manual_seed(0)
    shared = ResidualUnit(convolution(8, 8))
    network = lively(headed([shared, ResidualUnit(convolution(8, 8)), shared], 8)).double()
    x, targets = image_batch(3, 8).double(), labels(3)
    assert count_paths(network).total == 8
    found = anatomy.gradient_by_length(network, x, targets)
    torch.testing.assert_close(
        found.sum(0), ordinary_gradient(network, x, targets), rtol=1e-9, atol=1e-12
    )
    with torch.no_grad():
        without_first = network.head(network.units[2](network.units[1](network.stem(x))))
    torch.testing.assert_close(
        sweep(network, x, [without(network, [0])])[0], without_first, rtol=1e-6, atol=1e-8
    )


def test_expressions_of_the_menagerie():
    round_unit = lambda i: Parallel((Series(), Leaf(i)))  # noqa: E731
    assert unravel(highway(2)).expression == Series((round_unit(0), round_unit(1)))
    plain = unravel(MENAGERIE["VGG"]()).expression
    assert plain.parts[:2] == (Leaf(0, opens=True), Leaf(1, opens=True))
    gated = unravel(gated_nest()).expression
    nest = Parallel((Series(), Series((round_unit(1),))))
    assert gated.parts[0] == Parallel((Series(), Series((round_unit(0), nest))))
    assert gated.parts[1] == Parallel((Series(), Series((round_unit(2),))))
    assert gated.parts[2] == Series((round_unit(3), round_unit(4)))


def test_random_deletions_are_a_function_of_the_seed():
    network, examples = lively(narrow()), anatomy.Examples(image_batch(8), labels(8))
    _, first, spread = anatomy.delete_random(network, examples, [1, 3], repeats=5, seed=2)
    _, again, _ = anatomy.delete_random(network, examples, [3], repeats=5, seed=2)
    assert first[3] == again[3]
    assert all(len(set(d.deleted)) == k for k, group in first.items() for d in group)
    assert spread[3].value == pytest.approx(sum(d.error.value for d in first[3]) / 5)
    for deletion in first[3]:
        with applied(network, without(network, deletion.deleted)), torch.no_grad():
            assert deletion.error.count == int(
                (network(examples.inputs).argmax(1) != examples.targets).sum()
            )


class Distance:
    """A task of one's own: regression, with no right and wrong."""

    def loss(self, output, targets):
        return (output - targets).square().sum(1)

    def right(self, output, targets):
        return None


def test_another_task():
    network, x = lively(narrow()).double(), image_batch(3).double()
    targets = torch.randn(3, 10).double()
    found = anatomy.gradient_by_length(network, x, targets, task=Distance())
    z = x.clone().requires_grad_()
    Distance().loss(network(z), targets).sum().backward()
    torch.testing.assert_close(found.sum(0), z.grad, rtol=1e-9, atol=1e-12)
    norms = anatomy.sampled_paths(network, x, targets, [0], 1, task=Distance())
    torch.testing.assert_close(norms[0, 0].double(), found[0].flatten(1).norm(dim=1))
    measured = anatomy.path_gradients(network, x, targets, 2, 3, 2, task=Distance())
    torch.testing.assert_close(
        torch.tensor(measured.exact, dtype=x.dtype), found.flatten(2).norm(dim=2).T
    )
    with pytest.raises(UsageError, match="no right and wrong"):
        anatomy.delete_each(network, anatomy.Examples(x, targets, Distance()))
