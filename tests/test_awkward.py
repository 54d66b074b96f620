"""Models that are built or used in a way of their own: a right answer, or a clear message."""

from dataclasses import dataclass

import pytest
import torch
from foreign import STEPS, VECTORS, Wide
from torch import Tensor, nn

import residuum
from residuum import anatomy
from residuum.anatomy import Examples, intact, sweep, without
from residuum.errors import UsageError
from residuum.networks import fractalnet, resnet, stacks, stochastic
from residuum.views.view import DELETE

(X,) = VECTORS


def wide() -> Wide:
    torch.manual_seed(0)
    return Wide(STEPS["sum"])


def holds(model: nn.Module, *inputs, units: int = 3) -> None:
    """The right count, verified."""
    found = residuum.discover(model, *inputs)
    assert len(found) == units
    verified = found.verify()
    assert verified.holds, verified
    assert all(proof.matters for proof in verified.units)


class Keyword(Wide):
    def forward(self, x, *, scale):
        return super().forward(scale * x)


def test_keywords_that_the_model_needs():
    model = Keyword(STEPS["sum"])
    with pytest.raises(UsageError, match="required keyword-only argument: 'scale'"):
        residuum.discover(model, X)
    assert len(residuum.discover(model, X, scale=2.0)) == 3
    assert residuum.discover(model, X, scale=torch.ones(())).verify().holds


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types(kind):
    holds(wide().to(kind), X.to(kind))
    with pytest.raises(UsageError, match="must have the same dtype"):
        residuum.discover(wide().to(kind), X)


def test_integers_for_a_linear_layer_are_refused_in_the_words_of_the_model():
    with pytest.raises(UsageError, match="must have the same dtype, but got Long and Float"):
        residuum.discover(wide(), X.long())
    with torch.device("meta"):
        model = wide()
    with pytest.raises(
        UsageError, match=r"addmm of tensors of type torch\.float32 and torch\.int64"
    ):
        residuum.discover(model, X.long())


def test_a_model_without_weights_is_known_and_not_run():
    with torch.device("meta"):
        model = wide()
    view = residuum.unravel(model, X)
    assert len(view.units) == 3
    for action in (
        view.verify,
        lambda: sweep(view, X, [intact(view)]),
        lambda: anatomy.redundancy(view, X),
    ):
        with pytest.raises(UsageError, match="on the meta device"):
            action()


@dataclass
class Output:
    logits: Tensor
    extra: Tensor


class Gives(Wide):
    def __init__(self, form):
        super().__init__(STEPS["sum"])
        self.form = form

    def forward(self, x):
        return self.form(super().forward(x), x)


FORMS = {
    "a tuple": lambda y, x: (y, None),
    "a dictionary": lambda y, x: {"out": y, "aux": x.sum(1)},
    "a dataclass": lambda y, x: Output(y, x),
}


@pytest.mark.parametrize("form", FORMS)
def test_outputs_that_are_no_tensor(form):
    torch.manual_seed(0)
    model = Gives(FORMS[form])
    holds(model, X)
    view = residuum.unravel(model, X)
    with view.edited(dict.fromkeys(range(3), DELETE)):
        left = sweep(view, X, [intact(view)])[0]
    torch.testing.assert_close(left, sweep(view, X, [without(view, range(3))])[0])
    torch.testing.assert_close(left, X.tanh())


def test_a_model_that_gives_its_loss():
    model = Gives(lambda y, x: y.square().mean())
    holds(model, X)
    view = residuum.unravel(model, X)
    with pytest.raises(UsageError, match="one number for all examples"):
        sweep(view, X, [intact(view)])


def test_no_example():
    units = residuum.discover(wide(), X[:0])
    assert len(units) == 3
    assert len(units.verify().unproven) >= 3  # nothing shows on no example
    view = residuum.unravel(wide(), X)
    with pytest.raises(UsageError, match="no examples"):
        sweep(view, X[:0], [intact(view)])


def test_layers_whose_weights_are_computed():
    model = wide()
    for branch in model.branches:
        nn.utils.parametrizations.weight_norm(branch)
    holds(model, X)
    (first, *_) = residuum.discover(model, X)
    assert "branches.0.parametrizations.weight.original0" in first.removable


def test_a_model_made_for_inference():
    with torch.inference_mode():
        model, x = wide(), X.clone()
    units = residuum.discover(model, x)
    assert len(units) == 3
    found = units.verify()
    assert found.holds
    assert any("the pass with gradients fails" in line for line in found.unproven)
    with torch.inference_mode():
        holds(wide(), X)


@pytest.mark.filterwarnings("ignore")
def test_quantised_layers():
    """Packed weights are layers; integers cannot be followed."""
    tools = pytest.importorskip("torch.ao.quantization")
    model = tools.quantize_dynamic(wide().eval(), {nn.Linear})
    assert len(residuum.discover(model, X)) == 3

    class Integers(Wide):
        def forward(self, x):
            return super().forward(torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize())

    with pytest.raises(UsageError, match="before it was quantised"):
        residuum.discover(Integers(STEPS["sum"]), X)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_script_is_refused():
    with pytest.raises(UsageError, match="hides its operations"):
        residuum.unravel(torch.jit.script(nn.Linear(8, 8)), X)


MISTAKES = {
    "4 inputs and 3 targets": lambda: Examples(torch.zeros(4, 8), torch.zeros(3).long()),
    "depth: expected `?int`?, got `?str": lambda: resnet.cifar_resnet("20", 10),  # type: ignore
    "a join: roads: .*at least 1": lambda: fractalnet.Join(0),
    "item 0: width: .*at least 1": lambda: stacks.stack([stacks.Convolution(0)], []),
    "item 1: stride: .*at least 1": lambda: stacks.stack(
        [stacks.Convolution(4), stacks.Convolution(4, stride=0)], []
    ),
    "survival of the last unit: .*at most 1": lambda: stochastic.linear(1.5),
    "survival: .*at least 0": lambda: stochastic.uniform(-0.5),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_told_in_a_message(words):
    with pytest.raises(UsageError, match=words):
        MISTAKES[words]()


POOLS = {
    "amax": lambda v: v.amax((3, 5)),
    "max": lambda v: v.max(5)[0].max(3).values,
    "sum": lambda v: v.sum((3, 5)),
    "logsumexp": lambda v: v.logsumexp((3, 5)),
}


class Pooled(nn.Module):
    """Units whose shortcut is pooled over places, a dimension at a time."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool
        self.branches = nn.ModuleList(nn.Conv2d(2, 2, 2, 2) for _ in range(3))

    def forward(self, x):
        for branch in self.branches:
            b, c, h, w = x.shape
            x = self.pool(x.view(b, c, h // 2, 2, w // 2, 2)) + branch(x).tanh()
        return x


@pytest.mark.parametrize("pool", POOLS)
def test_shortcuts_that_are_pooled_by_a_reduction(pool):
    torch.manual_seed(0)
    images = torch.randn(2, 2, 8, 8)
    holds(Pooled(POOLS[pool]), images)
    units = residuum.discover(Pooled(POOLS[pool]), images)
    assert {unit.shortcut for unit in units} == {"resampled"}


def test_losses_that_are_added_are_no_unit():
    model = Gives(lambda y, x: y.square().sum() + x.sum())
    holds(model, X)


class Experts(nn.Module):
    """Each branch has a bias that its router chooses by number."""

    def __init__(self):
        super().__init__()
        self.routers = nn.ModuleList(nn.Linear(8, 4) for _ in range(2))
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.biases = nn.ParameterList(torch.randn(4, 8) for _ in range(2))

    def forward(self, x):
        for router, layer, bias in zip(self.routers, self.layers, self.biases, strict=True):
            weight, chosen = router(x).max(-1, keepdim=True)
            x = x + weight * (layer(x) + bias[chosen[:, 0]])
        return x


def test_parameters_that_a_branch_chooses_by_number_are_its_own():
    torch.manual_seed(0)
    units = residuum.discover(Experts(), X)
    assert [unit.parameters for unit in units] == [
        tuple(f"{name}.{i}{leaf}" for name, leaf in LEAVES) for i in range(2)
    ]
    assert units[0].form == units[1].form
    holds(Experts(), X, units=2)


LEAVES = (
    *(("routers", ".bias"), ("routers", ".weight"), ("layers", ".bias"), ("layers", ".weight")),
    ("biases", ""),
)


class Recurrent(nn.Module):
    """Units whose branches are recurrences over a sequence."""

    def __init__(self, kind, **options):
        super().__init__()
        self.branches = nn.ModuleList(kind(8, 8, batch_first=True, **options) for _ in range(3))

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)[0]
        return x


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_recurrence_is_one_layer(kind, layers):
    """Though some of them are taken apart below, for one machine or one type."""
    torch.manual_seed(0)
    x = torch.randn(4, 5, 8)
    model = Recurrent(kind, num_layers=layers)
    holds(model, x)
    holds(model.double(), x.double())
    view = residuum.unravel(model.float(), x)
    assert not view.units.long_skips
    assert [unit.modules for unit in view.units] == [(f"branches.{i}",) for i in range(3)]
    left = sweep(view, x, [without(view, range(3))])[0]
    torch.testing.assert_close(left, x)


TRANSFORMS = {
    "vmap": lambda f, x: torch.vmap(f)(x),
    "grad": lambda f, x: torch.func.grad(lambda z: f(z).sum())(x),
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (x,))[1],
}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_hide_operations(name):
    class Transformed(Wide):
        def forward(self, x):
            return TRANSFORMS[name](super().forward, x)

    with pytest.raises(UsageError, match=r"uses a transform of torch.func \(vmap, .*without it$"):
        residuum.discover(Transformed(STEPS["sum"]), X)


class Normed(Wide):
    def __init__(self):
        super().__init__(STEPS["sum"])
        self.norm = nn.BatchNorm1d(8)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x):
        if torch.is_inference_mode_enabled():  # elsewhere it cannot be written into
            self.passes += 1
        return super().forward(self.norm(x))


@pytest.mark.parametrize("inside", [True, False])
def test_buffers_of_a_model_made_for_inference(inside):
    """They do not count who writes into them, and are left as they were."""
    torch.manual_seed(0)
    with torch.inference_mode():
        model, x = Normed(), X.clone()
    with torch.inference_mode(inside):
        units = residuum.discover(model, x)
        assert len(units) == 3
        assert units.verify().holds
    assert int(model.passes) == 0


def deletions(view, inputs):
    """The sweep's numbers of every single deletion."""
    return sweep(view, inputs, [without(view, [i]) for i in range(3)])


class Rewrites(Wide):
    """Writes into its stream, so that a recorded tensor is more than one."""

    def forward(self, x):
        x = x.clone()
        for branch in self.branches:
            x = torch.add(x, branch(x).relu())
            x.mul_(0.5)
        return x.tanh()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", [Wide, Rewrites])
def test_sweeps_and_gradients_where_the_caller_wants_none(mode, kind):
    torch.manual_seed(0)
    model, x = kind(STEPS["sum"]), torch.randn(6, 8)
    targets = torch.arange(6)
    view = residuum.unravel(model, x[:2])
    left = deletions(view, x)
    gradient = anatomy.gradient_by_length(view, x, targets)
    signed = anatomy.signed_sweep(view, x, targets)
    with mode():
        inside = residuum.unravel(model, x[:2])
        torch.testing.assert_close(deletions(inside, x.clone()), left)
        again = anatomy.gradient_by_length(inside, x.clone(), targets.clone())
        torch.testing.assert_close(again, gradient)
        torch.testing.assert_close(anatomy.signed_sweep(inside, x, targets), signed)
        anatomy.delete_each(inside, Examples(x.clone(), targets.clone()))


def test_gradients_of_our_own_networks_where_the_caller_wants_none():
    torch.manual_seed(0)
    view, x, y = residuum.unravel(resnet.cifar_resnet(8, 10)), torch.randn(2, 3, 16, 16), X[:, 0]
    y = y.long().abs()
    gradient = anatomy.gradient_by_length(view, x, y)
    paths = anatomy.sampled_paths(view, x, y, [1], 2)
    with torch.inference_mode():
        torch.testing.assert_close(anatomy.gradient_by_length(view, x.clone(), y.clone()), gradient)
        torch.testing.assert_close(anatomy.sampled_paths(view, x, y, [1], 2), paths)
        anatomy.path_gradients(view, x, y, particles=1, replicates=1)


def test_gradients_of_a_model_made_for_inference_are_refused():
    with torch.inference_mode():
        model = wide()
    with pytest.raises(UsageError, match=r"a model made under torch.inference_mode has no grad"):
        anatomy.gradient_by_length(residuum.unravel(model, X), X, torch.arange(2))


class Reversible(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(6))

    def forward(self, x):
        a, b = x.chunk(2, -1)
        for f, g in zip(self.layers[::2], self.layers[1::2], strict=True):
            a = a + f(b).tanh()
            b = b + g(a).tanh()
        return torch.cat([a, b], -1)


def test_streams_that_cross_are_told():
    torch.manual_seed(0)
    units = residuum.discover(Reversible(), X)
    (note,) = units.notes
    assert note.startswith("two streams read each other")
    assert note in units.verify().unproven
    assert not residuum.discover(wide(), X).notes
