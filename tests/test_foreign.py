"""Models that nobody prepared, edited at their sums: lesions, verification, sweeps, gradients."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import MENAGERIE, image_batch, labels
from foreign import CASES, RUN, STEPS, VECTORS, Case, Wide, lively, ready, tokens
from torch import nn
from torch.nn.modules import module as hooks

import residuum
from residuum import anatomy
from residuum.anatomy import applied, intact, sweep, without
from residuum.anatomy.sweeps import naive
from residuum.errors import UsageError
from residuum.task import logits
from residuum.views.export import program
from residuum.views.foreign import ForeignView
from residuum.views.inputs import call
from residuum.views.view import DELETE, Delete, Put


class Squares:
    """A loss of every output."""

    def loss(self, output, targets):
        return logits(output).flatten(1).square().sum(1)

    def right(self, output, targets):
        return logits(output).flatten(1).sum(1) > 0


def unraveled(model: nn.Module, inputs) -> ForeignView:
    return (
        residuum.unravel(model, **inputs)
        if isinstance(inputs, dict)
        else residuum.unravel(model, inputs)
    )


# ---- what a deletion leaves ----


@pytest.mark.parametrize("step", STEPS)
def test_a_row_without_its_branches(step):
    torch.manual_seed(0)
    model, (x,) = Wide(STEPS[step]).eval(), VECTORS
    view = residuum.unravel(model, x)
    kept = model(x)
    with applied(view, without(view, range(3))):
        left = model(x)
    share = 8 if step in ("halved", "stacked mean", "scaled shortcut") else 1
    torch.testing.assert_close(left, (x / share).tanh())
    torch.testing.assert_close(model(x), kept, rtol=0, atol=0)
    assert not torch.allclose(left, kept)
    with view.edited({1: DELETE}):  # by hand: the branch of the middle unit gives zeros
        one = model(x)
    row = copy.deepcopy(model)
    if "highway" in step:  # a closed gate
        nn.init.zeros_(row.gates[1].weight)
        nn.init.constant_(row.gates[1].bias, -1e9)
    nn.init.zeros_(row.branches[1].weight)
    nn.init.zeros_(row.branches[1].bias)
    if step == "two terms":  # the other branch is sigmoid
        nn.init.zeros_(row.gates[1].weight)
        nn.init.constant_(row.gates[1].bias, -1e9)
    torch.testing.assert_close(one, row(x))


@pytest.mark.parametrize("step", ["highway", "highway, lerp"])
def test_a_strict_deletion_keeps_the_gate(step):
    torch.manual_seed(0)
    model, (x,) = Wide(STEPS[step], units=1).eval(), VECTORS
    with residuum.unravel(model, x).edited({0: Delete(strict=True)}):
        left = model(x)
    torch.testing.assert_close(left, ((1 - torch.sigmoid(model.gates[0](x))) * x).tanh())


def test_the_shortcut_of_a_projection_stays():
    model, x = ready("cnn")
    view = residuum.unravel(model, x)
    at = [unit.name for unit in view.units].index("layer2.0")
    twin = copy.deepcopy(model)
    twin.layer2[0].bn2 = nn.Sequential(twin.layer2[0].bn2, Zero())
    with view.edited({at: DELETE}):
        torch.testing.assert_close(model(x), twin(x), rtol=0, atol=0)


class Zero(nn.Module):
    """Nothing, in the shape of its input."""

    def forward(self, x):
        return torch.zeros_like(x)


# ---- verification ----

PROVEN = ("encoder", "bert", "gptj", "mixtral", "t5", "mamba", "highway", "over")


@pytest.mark.parametrize("name", [*PROVEN, *RUN, *STEPS])
def test_verified_by_numbers(name):
    torch.manual_seed(0)
    if name in RUN:
        model, inputs = ready(name, 2)
        view = unraveled(model, inputs)
    else:
        case = CASES[name] if name in CASES else Case(lambda: Wide(STEPS[name]), 3, VECTORS)
        given = [torch.randn_like(x) for x in case.inputs]
        view = residuum.unravel(lively(case.build()), *given, **case.keywords)
    found = view.verify()
    assert found.holds, found
    assert found.proven == len(view.units)
    for proof, unit in zip(found.units, view.units, strict=True):
        assert proof.adds_up
        assert proof.matters
        assert proof.parameters_free is (True if unit.removable else None)
    if name in ("cnn", "vit", "decoder", "bert", "mamba", "sum", "in place"):
        assert all(proof.by_submodule for proof in found.units)


def test_what_is_false_is_told():
    """A unit whose parameters are claimed to be removable and are not."""
    from dataclasses import replace

    view = residuum.unravel(Wide(STEPS["sum"]).eval(), *VECTORS)
    wrong = replace(view.units[0], removable=("branches.1.weight",))
    view.units._units = (wrong, *view.units[1:])
    found = view.verify()
    assert not found.holds
    assert "unit 0 (branches.0): its removable parameters reach the output" in str(found)
    silent = Wide(STEPS["sum"]).eval()
    nn.init.constant_(silent.branches[1].bias, -1e9)
    unproven = residuum.unravel(silent, *VECTORS).verify()
    assert unproven.holds
    assert unproven.unproven == (
        "unit 1 (branches.1): deleting it changes nothing on these inputs",
    )


def test_what_was_not_tried_is_counted_apart():
    """Silencing where no submodule gives the branch alone, parameters where none is removable."""
    found = residuum.unravel(lively(CASES["shared"].build()), *VECTORS).verify()
    assert (found.holds, found.proven) == (True, 3)
    assert str(found) == (
        "3 of 3 units hold; not tried: removable parameters (there are none) of 3 units"
    )
    highway = residuum.unravel(Wide(STEPS["highway"]), *VECTORS).verify()
    assert highway.untried == ("silencing a submodule of 3 units",)
    assert highway.proven == 3
    nothing = residuum.unravel(nn.Linear(8, 8), *VECTORS).verify()
    assert str(nothing) == "no residual units, nothing to prove"


# ---- traps ----


def test_fused_transformer_layers_are_run_as_they_are_written():
    """In evaluation mode without gradients the layer is one operation, and the sums vanish."""
    torch.manual_seed(0)
    model, x = CASES["encoder"].build().eval(), torch.randn(2, 5, 32)
    view = residuum.unravel(model, x)
    with torch.no_grad():
        plain = model(x)
        with view.edited({}):
            torch.testing.assert_close(model(x), plain)
        with view.edited({3: DELETE}):
            assert not torch.allclose(model(x), plain)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.filterwarnings("ignore:Using `torch.compile")
def test_lesions_reach_through_wrappers():
    torch.manual_seed(0)
    model, (x,) = Wide(STEPS["sum"]).eval(), VECTORS
    for wrapped in (nn.DataParallel(model), torch.compile(model)):
        view = residuum.unravel(wrapped, x)
        with view.edited(dict.fromkeys(range(3), DELETE)):
            torch.testing.assert_close(wrapped(x), x.tanh())


def test_a_deleted_sum_is_a_tensor_of_its_own():
    """What the model writes into it must not reach a stream that it kept."""

    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

        def forward(self, x):
            kept = []
            for layer in self.layers:
                kept.append(x)
                x = (x + layer(x)).relu_()
            return x + sum(kept)

    torch.manual_seed(0)
    model, (x,) = Keeps().eval(), VECTORS
    view = residuum.unravel(model, x)
    assert len(view.units) == 2
    variants = [without(view, [0, 1])]
    with applied(view, variants[0]):
        torch.testing.assert_close(model(x), 2 * x.relu() + x)
    torch.testing.assert_close(sweep(view, x, variants)[0], 2 * x.relu() + x)


def test_sums_in_custom_functions():
    class Sum(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, f):
            return x + f

    torch.manual_seed(0)
    model, (x,) = Wide(lambda x, branch, gate: Sum.apply(x, branch(x))).eval(), VECTORS
    view = residuum.unravel(model, x)
    with view.edited(dict.fromkeys(range(3), DELETE)):
        torch.testing.assert_close(model(x), x.tanh())


def test_what_cannot_be_edited_says_so():
    class Foreach(Wide):
        def forward(self, x):
            for branch in self.branches:
                (x,) = torch._foreach_add([x], [branch(x).relu()])
            return x

    view = residuum.unravel(Foreach(STEPS["sum"]), *VECTORS)
    assert len(view.units) == 3
    with pytest.raises(UsageError, match=r"unit 1 \(branches.1\) cannot be edited"):
        view.edited({1: DELETE}).__enter__()
    assert "its sum cannot be answered otherwise" in str(view.verify())
    with pytest.raises(UsageError, match="no unit 3"):
        view.edited({3: DELETE}).__enter__()


@pytest.mark.parametrize("name", [*RUN, *STEPS])
def test_a_graph_of_operations_has_the_units_of_its_model(name):
    """A program of torch.export, in the words of aten, that knows no submodules and no modes."""
    torch.manual_seed(0)
    known = name in RUN
    model, inputs = ready(name) if known else (Wide(STEPS[name]).eval(), torch.randn(3, 8))
    given, named = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
    graph = program(model, given, named, functional=False).module()
    views = unraveled(model, inputs), unraveled(graph, inputs)
    ours, theirs = (
        [(u.shortcut, u.merge, u.terms, u.shape_out, u.removable_parameters) for u in view.units]
        for view in views
    )
    assert theirs == ours
    assert views[1].verify().proven == len(ours)
    for number in range(len(ours)):
        outputs = []
        for view in views:
            with view.edited({number: DELETE}), torch.no_grad():
                outputs.append(logits(call(view.model, inputs)))
        torch.testing.assert_close(outputs[1], outputs[0])


def test_a_graph_in_training_mode_is_refused():
    for layer in (nn.BatchNorm1d(8), nn.Dropout()):
        model = nn.Sequential(layer, Wide(STEPS["sum"]))
        graph = torch.export.export(model.train(), VECTORS).module()
        for given in (graph, nn.Sequential(graph)):
            with pytest.raises(UsageError, match=r"in training mode .* Call model.eval\(\) and"):
                residuum.discover(given, *VECTORS)
        assert residuum.discover(torch.export.export(model.eval(), VECTORS).module(), *VECTORS)
    always = nn.Sequential(nn.BatchNorm1d(8, track_running_stats=False), Wide(STEPS["sum"]))
    assert residuum.discover(torch.export.export(always.eval(), VECTORS).module(), *VECTORS)


def test_a_program_is_told_how_to_be_given():
    exported = torch.export.export(Wide(STEPS["sum"]).eval(), VECTORS)
    with pytest.raises(UsageError, match=r"not ExportedProgram: give its \.module\(\)"):
        residuum.discover(exported, *VECTORS)


def test_a_sum_that_a_pass_does_not_reach():
    class Sometimes(Wide):
        def forward(self, x):
            return super().forward(x) if len(x) > 1 else x.tanh()

    model, (x,) = Sometimes(STEPS["sum"]), VECTORS
    with pytest.raises(UsageError, match="was not reached in this pass"):
        with residuum.unravel(model, x).edited({0: DELETE}):
            model(x[:1])


def test_no_unit_at_all():
    model, x = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(4, 8)
    view = residuum.unravel(model, x)
    assert len(view.units) == 0
    assert view.verify().holds
    torch.testing.assert_close(sweep(view, x, [()])[0], model(x))
    assert anatomy.count_paths(view).counts == (1,)


# ---- anatomy on a foreign view ----


@pytest.mark.parametrize("name", RUN)
def test_a_sweep_is_the_naive_loop_to_the_bit(name, told):
    model, inputs = ready(name, 4)
    view = unraveled(model, inputs)
    n = len(view.units)
    variants = [intact(view), *(without(view, [unit]) for unit in range(n)), without(view, [0, 2])]
    found = sweep(view, inputs, variants, memory=1 << 24)
    assert told == ["the model is not cut at its units; each pass begins at its first edit"]
    assert torch.equal(found, naive(view, inputs, variants))
    torch.testing.assert_close(found[0], logits(call(model, inputs)).detach())
    assert all(not torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("step", STEPS)
def test_a_sweep_over_every_way_to_write_a_sum(step):
    torch.manual_seed(0)
    view = residuum.unravel(Wide(STEPS[step]).eval(), *VECTORS)
    variants = [intact(view), *(without(view, [unit]) for unit in range(3)), without(view, [1, 2])]
    x = torch.randn(5, 8)
    assert torch.equal(sweep(view, x, variants), naive(view, x, variants))


def test_a_replay_computes_nothing_ahead_of_its_cut(monkeypatch):
    """Counted in matrix products."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        products = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            Count.products += func is torch.ops.aten.addmm.default
            return func(*args, **(kwargs or {}))

    torch.manual_seed(0)
    view = residuum.unravel(Wide(STEPS["sum"], units=8).eval(), *VECTORS)
    with Count():
        sweep(view, torch.randn(2, 8), [without(view, [unit]) for unit in range(8)])
    # what a pass costs, a plan and a record, 8 each; behind the cut of unit i are 7 - i branches
    assert Count.products == 3 * 8 + sum(range(8))


def test_models_that_do_not_repeat_themselves_run_whole(told):
    class Again(Wide):
        calls = 0

        def forward(self, x):
            Again.calls += 1
            return super().forward(x + 0 if Again.calls % 2 else x)

    torch.manual_seed(0)
    view = residuum.unravel(Again(STEPS["sum"]).eval(), *VECTORS)
    variants = [without(view, [unit]) for unit in range(3)]
    x = torch.randn(4, 8)
    assert torch.equal(sweep(view, x, variants), naive(view, x, variants))
    assert any("run whole" in line for line in told)


def test_lesions_and_orders_of_a_foreign_model():
    model, x = ready("vit", 8)
    view = residuum.unravel(model, x)
    examples = anatomy.Examples(x, labels(8))
    base, deletions = anatomy.delete_each(view, examples)
    assert len(deletions) == 6
    _, grouped, _ = anatomy.delete_random(view, examples, [0, 6], repeats=2)
    assert grouped[0][0].error == base
    with applied(view, without(view, range(6))):
        error = (model(x).argmax(1) != labels(8)).sum()
    assert grouped[6][0].error.count == int(error)
    base, (kept, *orders) = anatomy.reorder_random(view, examples, [0, 3], repeats=1)
    assert kept.error == base
    # attention trades places with attention, and the MLPs with each other
    assert all(unit % 2 == at % 2 for at, unit in enumerate(orders[0].permutation))


def test_a_unit_in_the_place_of_another():
    model, x = ready("vit")
    view, twin = residuum.unravel(model, x), copy.deepcopy(model)
    layers = twin.encoder.layers
    layers[0].mlp, layers[1].mlp = layers[1].mlp, layers[0].mlp
    layers[0].ln_2, layers[1].ln_2 = layers[1].ln_2, layers[0].ln_2
    before = model(x)
    with view.edited({1: Put(3), 3: Put(1)}):
        assert torch.equal(model(x), twin(x))
        assert not torch.equal(model(x), before)
    assert torch.equal(model(x), before)
    with pytest.raises(UsageError, match="the two compute different things"):
        view.edited({0: Put(1)}).__enter__()


def test_several_inputs_by_keyword_and_outputs_that_are_no_tensor():
    library = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = library.BertConfig(
        vocab_size=100,
        hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        intermediate_size=16,
        num_labels=5,
    )
    model = library.BertForSequenceClassification(config).eval()
    inputs = {**tokens(6), "attention_mask": torch.ones(6, 7)}
    view = residuum.unravel(model, **inputs)
    base, deletions = anatomy.delete_each(view, anatomy.Examples(inputs, torch.zeros(6).long()))
    assert base.count == int((model(**inputs).logits.argmax(1) != 0).sum())
    assert len(deletions) == 4
    with pytest.raises(UsageError, match=r"one example a row, all as many; these have 5, 6"):
        sweep(view, {**inputs, "attention_mask": torch.ones(5, 7)}, [intact(view)])


def test_the_answer_of_an_output():
    x = torch.ones(2)
    assert logits((x, None)) is x
    assert logits({"out": x, "aux": x + 1}) is x
    with pytest.raises(UsageError, match=r"which tensor of this output \(dict: a, b\)"):
        logits({"a": x, "b": x})


# ---- gradients by path length ----


@pytest.mark.parametrize("name", ["pre-activation A", "B", "nested", "highway"])
def test_the_gradient_polynomial_by_shifting_is_that_of_our_tape(name):
    network, x = MENAGERIE[name]().double(), image_batch(3, 16).double()
    foreign = ForeignView(residuum.discover(network, x))
    ours = anatomy.gradient_by_length(network, x, labels(3))
    shifted = anatomy.gradient_by_length(foreign, x, labels(3))
    torch.testing.assert_close(shifted, ours, rtol=1e-9, atol=1e-12 * float(ours.abs().max()))
    assert anatomy.count_paths(foreign) == anatomy.count_paths(network)
    if name == "nested":
        with pytest.raises(UsageError, match="these are nested"):
            anatomy.signed_sweep(foreign, x, labels(3), draws=1)
    else:
        signed = [anatomy.signed_sweep(each, x, labels(3), draws=2) for each in (network, foreign)]
        torch.testing.assert_close(signed[1].double(), signed[0].double(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", RUN)
def test_the_gradient_polynomial_adds_up(name):
    model, inputs = ready(name, 2)
    model = model.double()
    if name == "decoder":
        x = model.get_input_embeddings()(inputs["input_ids"]).detach()
        whole = lambda z: model(inputs_embeds=z)  # noqa: E731
    else:
        inputs = x = inputs.double()
        whole = model
    view = unraveled(model, inputs)
    found = anatomy.gradient_by_length(view, inputs, labels(2), memory=1, task=Squares())
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(Squares().loss(whole(x), None).sum(), x)
    assert len(found) == len(view.units) + 1
    # the decoder normalises in float32, whatever its weights are
    tolerance = 1e-5 if name == "decoder" else 1e-10
    error = (found.sum(0) - gradient).abs().max() / gradient.abs().max()
    assert float(error) < tolerance
    short = anatomy.gradient_by_length(view, inputs, labels(2), longest=1, task=Squares())
    torch.testing.assert_close(short, found[:2])


def test_the_batch_need_not_come_first():
    """A transformer whose sequence comes first; as many steps as examples were discovered with."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16)

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x):
            return self.encoder(x.transpose(0, 1)).transpose(0, 1).mean(1)

    model, x = First().double().eval(), torch.randn(3, 3, 8, dtype=torch.double)
    view = residuum.unravel(model, x)
    found = anatomy.gradient_by_length(view, x, labels(3), task=Squares())
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Squares().loss(model(leaf), None).sum(), leaf)
    torch.testing.assert_close(found.sum(0), gradient)


class Looked(nn.Module):
    """Its table is no embedding."""

    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Parameter(torch.randn(10, 8)), nn.Linear(8, 8)

    def forward(self, tokens):
        x = self.table[tokens]
        return (x + self.layer(x).relu()).mean(1)


def test_gradients_that_cannot_be_taken():
    view = residuum.unravel(Looked(), torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(UsageError, match="reads integers without an embedding"):
        anatomy.gradient_by_length(view, torch.zeros(4, 3, dtype=torch.long), torch.zeros(4).long())
    model, inputs = ready("vit")
    view = residuum.unravel(model, inputs)
    with pytest.raises(UsageError, match="single paths cannot be followed"):
        anatomy.sampled_paths(view, inputs, labels(3), [1], 1)

    class Two(Wide):
        def forward(self, x, y):
            return super().forward(x + y)

    pair = (torch.randn(2, 8), torch.randn(2, 8))
    view = residuum.unravel(Two(STEPS["sum"]), *pair)
    with pytest.raises(UsageError, match="one floating input, and there are 2"):
        anatomy.gradient_by_length(view, pair, labels(2))


# ---- no trace ----


def state(model: nn.Module) -> list:
    """All that a call must leave as it was."""
    parts = [
        (name, id(p), p._version, p.requires_grad, p.grad) for name, p in model.named_parameters()
    ]
    modules = [
        (m.training, sorted(m.__dict__), len(m._forward_hooks), len(m._forward_pre_hooks))
        for m in model.modules()
    ]
    values = torch.cat([v.flatten().double() for v in model.state_dict().values()]).sum().item()
    world = [
        len(hooks._global_forward_hooks),
        len(hooks._global_forward_pre_hooks),
        torch.overrides._len_torch_function_stack(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.is_grad_enabled(),
        torch.get_rng_state().sum().item(),
    ]
    return [parts, modules, values, world]


class Keeper(Wide):
    """Keeps something of every pass, counts in a buffer, draws random numbers."""

    def __init__(self):
        super().__init__(STEPS["into the stream"])
        self.cache: dict[str, torch.Tensor] = {}
        self.last: torch.Tensor | None = None
        self.register_buffer("seen", torch.zeros(()))
        self.fail = False

    def forward(self, x):
        self.cache["x"] = self.last = x
        self.seen += len(x)
        if self.fail:
            raise ValueError("in the middle")
        return super().forward(x + 0 * torch.rand(()))


@pytest.mark.parametrize("fail", [False, True])
def test_nothing_is_left_behind(fail):
    torch.manual_seed(0)
    model, (x,) = Keeper(), VECTORS
    model.branches[1].eval()
    model.gates[0].weight.requires_grad_(False)
    before = state(model)
    view = residuum.unravel(model, x)
    assert state(model) == before
    assert model.cache == {}
    assert model.last is None
    view.verify()
    assert state(model) == before
    model.fail = fail
    calls = (
        lambda: residuum.discover(model, x),
        lambda: view.verify(),
        lambda: sweep(view, x, [without(view, [0])], keep=lambda output, at: output),
        lambda: anatomy.gradient_by_length(view, x, labels(2), task=Squares()),
    )
    for action in calls:
        random = torch.get_rng_state()
        if fail:
            with pytest.raises((ValueError, UsageError), match="in the middle"):
                action()
        else:
            action()
        model.seen.zero_()  # the passes are the model's own
        torch.set_rng_state(random)
        after = state(model)
        assert after[0] == before[0]
        assert [m[0] for m in after[1]] == [m[0] for m in before[1]]
        assert after[2:] == before[2:]


def test_on_half_precision():
    torch.manual_seed(0)
    model, x = Wide(STEPS["sum"]).half().eval(), VECTORS[0].half()
    view = residuum.unravel(model, x)
    variants = [intact(view), without(view, [1])]
    assert torch.equal(sweep(view, x, variants), naive(view, x, variants))
    assert view.verify().holds
    assert F.mse_loss(sweep(view, x, variants)[0], model(x).float()) == 0
