"""Units found in models that nobody prepared: how many, of which kind, what is theirs."""

from collections import Counter
from contextlib import contextmanager
from functools import cache
from importlib import metadata

import foreign
import pytest
import torch
from foreign import CASES, STEPS, VECTORS, Case, UNet, Wide
from torch import nn
from torch._subclasses import FakeTensorMode

import residuum
from residuum.anatomy import count_paths
from residuum.errors import UsageError
from residuum.views import Units
from residuum.views.gradient_graph import graph
from residuum.views.second import compare
from residuum.views.trace import _fake
from residuum.views.view import Leaf, Parallel, Series

KINDS = {  # where they are not all the identity
    "resnet18": {"identity": 5, "projection": 3},
    "resnet50": {"identity": 12, "projection": 4},
    "resnetv2_50": {"identity": 12, "projection": 4},
    "seresnet50": {"identity": 12, "projection": 4},
    "fcn_resnet50": {"identity": 12, "projection": 4},
    "regnet_y_400mf": {"identity": 12, "projection": 4},
    "nfnet_l0": {"identity": 8, "projection": 4},
    "dpn68": {"sliced": 18, "projection": 4},
    "crossvit_tiny": {"identity": 30, "sliced": 6},
    "hiera_tiny": {"identity": 21, "projection": 3},
    "highway": {"gated": 5},
}
TERMS = {"gpt-neox": 2, "gptj": 2}


def found(case: Case) -> Units:
    """Of a model without weights, where it can be built so."""
    try:
        with torch.device("meta"):
            model = case.build()
    except (NotImplementedError, RuntimeError):  # its builder computes with tensors
        model = case.build()
    return residuum.discover(model, *case.inputs, **case.keywords)


def older(library: str, *version: int) -> bool:
    return tuple(map(int, metadata.version(library).split(".")[:3])) < version


@cache
def named(name: str) -> Units:
    try:
        return found(CASES[name])
    except UsageError as error:
        if "DynamicOutputShape" in str(error) and older("transformers", 5, 20):
            pytest.skip(f"experts of {name} are chosen by values in this version")
        raise


@contextmanager
def valueless(model):
    """The model of tensors without values, in the mode that makes them."""
    mode, made = FakeTensorMode(allow_non_fake_inputs=True), {}
    held = [d for m in model.modules() for d in (m._parameters, m._buffers)]
    before = [dict(each) for each in held]
    for each in held:
        for name, tensor in each.items():
            if tensor is not None:
                each[name] = made.setdefault(id(tensor), _fake(mode, tensor))
    yield mode
    for each, tensors in zip(held, before, strict=True):
        each.update(tensors)


@pytest.mark.parametrize("name", CASES)
def test_counts(name):
    """By both derivations, and the same parameters."""
    units = named(name)
    with valueless(units.model) as mode, mode:
        given = CASES[name].inputs, CASES[name].keywords
        told = compare(units, graph(units.model.eval(), *given))
    assert not told.contradicted
    assert not told.untold
    assert len(units) == CASES[name].units
    assert units.fake  # no weight was read
    kinds = KINDS.get(name, {"identity": len(units)} if units else {})
    if name == "dpn68" and older("timm", 1, 0, 31):  # its stream's two parts lie side by side
        kinds = {"identity": 18, "projection": 4}
    assert Counter(unit.shortcut for unit in units) == kinds
    assert {unit.terms for unit in units} <= {TERMS.get(name, 1)}
    assert all(unit.sums for unit in units)
    assert len({unit.name for unit in units}) == len(units)
    assert not units.notes
    assert not units.long_skips


@pytest.mark.parametrize("step", STEPS)
def test_every_way_to_write_a_sum(step):
    units = found(Case(lambda: Wide(STEPS[step]), 3, VECTORS))
    assert len(units) == 3
    assert all(unit.sums for unit in units)
    kinds = {"slice by slice": "sliced", "scaled shortcut": "scaled"}
    kind = "gated" if "highway" in step else kinds.get(step, "identity")
    assert {unit.shortcut for unit in units} == {kind}
    merge = {"halved": "scaled", "stacked mean": "scaled"}.get(step, "sum")
    assert {unit.merge for unit in units} == {"gate" if kind == "gated" else merge}
    assert {unit.terms for unit in units} == {2 if step == "two terms" else 1}


def test_what_a_unit_knows():
    units = named("resnet50")
    first, second = units[0], units[1]
    assert second.name == second.where == "layer1.1"
    assert second.modules[:2] == ("layer1.1.conv1", "layer1.1.bn1")
    assert first.shape_in == (64, 56, 56)
    assert first.shape_out == second.shape_in == second.shape_out == (256, 56, 56)
    assert second.removable_parameters == 70_400  # 256 * 64 + 64 * 64 * 9 + 64 * 256 + BN
    assert not any("downsample" in name for name in first.removable)
    names = [unit.name for unit in named("vit_b_16")][:2]
    layer = "encoder.layers.encoder_layer_0"
    assert names == [f"{layer}.self_attention", f"{layer}.mlp"]


def test_removable_by_liveness():
    """What another unit uses too stays, and so does a layer norm that all share."""
    assert all(unit.removable_parameters == 0 for unit in named("shared"))
    shared = named("t5")[0]  # the position bias of the first layer serves all layers
    assert not any("relative_attention_bias" in name for name in shared.removable)
    gate = named("highway")[0]
    assert gate.removable == (
        *("branches.0.bias", "branches.0.weight"),
        *("gates.0.bias", "gates.0.weight"),
    )


def test_an_8_billion_parameter_model_is_mapped_without_its_weights():
    library = pytest.importorskip("transformers")
    with torch.device("meta"):
        config = library.LlamaConfig(
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_key_value_heads=8,
            vocab_size=128256,
        )
        model = library.LlamaForCausalLM(config)
    units = residuum.discover(model, **foreign.TOKENS)
    assert len(units) == 64
    assert sum(unit.removable_parameters for unit in units) == 6_979_584_000


def test_long_skips_and_concatenations_are_attributes():
    images = (torch.zeros(2, 3, 16, 16),)
    adding = found(Case(lambda: UNet(adding=True), 2, images))
    assert len(adding) == 2
    assert len(adding.long_skips) == 2
    one = Parallel((Series(), Leaf(0)))
    two = Parallel((Series(), Leaf(1)))
    within = Series((Parallel((Series(), Series((one, two)))),))
    assert adding.expression == Series((Parallel((Series(), within)),))
    joining = found(Case(lambda: UNet(adding=False), 2, images))
    assert len(joining) == 2
    assert [(c.tensors, c.dense) for c in joining.concatenations] == [(2, False)] * 2
    dense = named("densenet121").concatenations
    assert [c.dense for c in dense] == [True] * 58


def test_path_counts():
    assert (
        count_paths(named("resnet18").expression).counts
        == count_paths(Series(tuple(Parallel((Series(), Leaf(i))) for i in range(8)))).counts
    )
    assert count_paths(named("gptj").expression).counts == (1, 6, 12, 8)  # (1 + 2t)^3
    # ((1 + t)^2 + t) (1 + t): the third branch goes round the first two units
    assert count_paths(named("over").expression).counts == (1, 4, 4, 1)


def test_our_own_networks_are_found_as_they_were_built():
    from conftest import MENAGERIE

    for name, units in {"pre-activation A": 9, "B": 9, "nested": 6, "highway": 4}.items():
        network = MENAGERIE[name]()
        assert len(residuum.discover(network, torch.zeros(2, 3, 32, 32))) == units, name
    network = MENAGERIE["nested"]()
    units = residuum.discover(network, torch.zeros(2, 3, 32, 32))
    assert len(units.long_skips) == 4
    assert units.expression == residuum.unravel(network).expression


def test_wrapped_models_are_the_models_inside():
    plain, images = CASES["encoder"].build(), CASES["encoder"].inputs
    for wrapped in (nn.DataParallel(plain), torch.compile(plain)):
        units = residuum.discover(wrapped, *images)
        assert [unit.name for unit in units] == [unit.name for unit in named("encoder")]


def test_half_precision_and_values_that_python_asks_for():
    half = Wide(STEPS["sum"]).half()
    assert len(residuum.discover(half, VECTORS[0].half())) == 3

    class Asks(Wide):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) > -1e9 else x

    units = residuum.discover(Asks(STEPS["sum"]), *VECTORS)
    assert len(units) == 3
    assert not units.fake


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_what_is_refused():
    model = Wide(STEPS["sum"])
    with pytest.raises(UsageError, match=r"none were given.*Give it what its forward takes"):
        residuum.discover(model)
    with pytest.raises(UsageError, match=r"does not run on these inputs \(\(2, 3\)\)"):
        residuum.discover(model, torch.zeros(2, 3))
    with pytest.raises(UsageError, match="hides its operations"):
        residuum.discover(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), torch.zeros(1, 2))
    with pytest.raises(UsageError, match=r"is a torch.nn.Module, not str"):
        residuum.discover("resnet50", torch.zeros(1))
