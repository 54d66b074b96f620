"""Scale, Value, Repeat, and what meets at sums, on our own networks and on foreign ones."""

import copy

import pytest
import torch
from conftest import MENAGERIE, fingerprint, image_batch, lively, same_fingerprint
from foreign import RUN, STEPS, VECTORS, Wide, ready
from torch import nn

import residuum
from residuum import anatomy
from residuum.anatomy import sweep
from residuum.anatomy.sweeps import naive
from residuum.errors import UsageError
from residuum.networks.resnet import cifar_resnet
from residuum.networks.stages import residual
from residuum.parts.arrangements import ORIGINAL, PREACT
from residuum.task import logits
from residuum.views.discovery import discover
from residuum.views.foreign import ForeignView
from residuum.views.inputs import call, take
from residuum.views.view import DELETE, KEEP, Delete, Put, Repeat, Scale, Value

OWN = ["post-activation A", "pre-activation A", "C", "highway", "dense", "fractal", "nested"]
OWN += ["gated nest", "plain", "Swapout", "columns", "wrapped roads"]
FOREIGN = [*RUN, *STEPS]
GATED = ["highway, lerp", "two terms", "stacked", "into the stream"]


def specimen(name: str, n: int = 4):
    """A view, and n examples."""
    if name in MENAGERIE:
        network = lively(MENAGERIE[name]())
        return residuum.unravel(network), image_batch(n, 16)
    if name in STEPS:
        torch.manual_seed(0)
        model = Wide(STEPS[name]).eval()
        x = torch.randn(n, 8)
        return residuum.unravel(model, *VECTORS), x
    model, inputs = ready(name, n)
    few = take(inputs, slice(2))
    return (
        residuum.unravel(model, **few) if isinstance(few, dict) else residuum.unravel(model, few)
    ), inputs


@torch.no_grad()
def output(view, inputs, edits):
    with view.edited(edits):
        return logits(call(view.model, inputs)).clone()


def middle(view) -> int:
    return len(view.units) // 2


@pytest.mark.parametrize("name", OWN + FOREIGN)
def test_laws_of_scale_and_value(name):
    view, inputs = specimen(name)
    unit, before = middle(view), fingerprint(view.model)
    whole = output(view, inputs, {})
    close = {"rtol": 1e-4, "atol": 1e-4 * float(whole.abs().max())}
    assert torch.equal(output(view, inputs, {unit: Scale(1)}), whole)
    assert torch.equal(output(view, inputs, {unit: Repeat(1)}), whole)
    if view.units[unit].shortcut != "severed":
        strict = output(view, inputs, {unit: Delete(strict=True)})
        assert torch.equal(output(view, inputs, {unit: Scale(0)}), strict)
        assert not torch.allclose(strict, whole)
    ((at, (found,)),) = anatomy.activations(view, inputs, [unit])
    assert (at, found.number) == (slice(0, 4), unit)
    same = output(view, inputs, {unit: Value(found.branch)})
    torch.testing.assert_close(same, whole, **close)
    half = output(view, inputs, {unit: Scale(0.5)})
    torch.testing.assert_close(half, output(view, inputs, {unit: Value(found.branch / 2)}), **close)
    assert not torch.allclose(half, whole)
    if found.before is not None:
        torch.testing.assert_close(found.before + found.branch, found.after, rtol=1e-4, atol=1e-4)
    assert same_fingerprint(before, fingerprint(view.model))


@pytest.mark.parametrize("name", ["pre-activation A", "highway", "cnn", "decoder", *GATED])
def test_sweeps_with_values_are_naive_ones(name):
    """A mean for all, and the branch of other examples for each, over several batches."""
    view, inputs = specimen(name, 5)
    unit = middle(view)
    ((_, (found,)),) = anatomy.activations(view, inputs, [unit])
    edits = [Value(found.branch.mean(0, keepdim=True)), Value(found.branch.roll(1, 0)), Scale(2.0)]
    variants = [tuple(e if u == unit else KEEP for u in range(len(view.units))) for e in edits]
    variants += [tuple(e if u > 1 else DELETE for u, e in enumerate(v)) for v in variants]
    plain = naive(view, inputs, variants, 2)
    close = {"rtol": 1e-4, "atol": 1e-4 * float(plain.abs().max())}
    torch.testing.assert_close(sweep(view, inputs, variants), plain, **close)
    torch.testing.assert_close(sweep(view, inputs, variants, memory=1), plain, **close)
    torch.testing.assert_close(plain[1], output(view, inputs, {unit: edits[1]}), **close)
    with pytest.raises(UsageError, match="3 rows for 5"):
        sweep(view, inputs, [tuple(Value(found.branch[:3]) for _ in view.units)])


def pre(n: int = 14):
    return lively(cifar_resnet(n, 10, residual(arrangement=PREACT), 4))


@pytest.mark.parametrize("kind", ["post", "pre", "highway"])
def test_repeating_is_passing_again(kind):
    """Ours by units in a row, the same network taken for a foreign one by further passes."""
    if kind == "highway":
        network, x = lively(MENAGERIE["highway"]()), image_batch(3, 16)
    else:
        arrangement = PREACT if kind == "pre" else ORIGINAL
        maker = residual(arrangement=arrangement)
        network, x = lively(cifar_resnet(14, 10, maker, 4)), image_batch(3, 8)
    own, foreign = residuum.unravel(network), ForeignView(discover(network, x[:2]))
    twin = copy.deepcopy(network)
    twin.units[1] = nn.Sequential(twin.units[1], twin.units[1], twin.units[1])
    expected = twin(x)
    torch.testing.assert_close(output(own, x, {1: Repeat(3)}), expected)
    torch.testing.assert_close(output(foreign, x, {1: Repeat(3)}), expected)
    two = {1: Repeat(3), 2 if kind == "highway" else 5: Repeat(2)}
    mixed = two | {0: Delete(strict=True)}
    torch.testing.assert_close(output(foreign, x, two), output(own, x, two))
    torch.testing.assert_close(output(foreign, x, mixed), output(own, x, mixed))
    assert "forward" not in network.__dict__


def test_repeating_a_layer_of_a_decoder():
    model, inputs = ready("decoder")
    view = residuum.unravel(model, **take(inputs, slice(2)))
    layer = model.model.layers[1]
    attention, mlp = copy.deepcopy(layer.self_attn), copy.deepcopy(layer.mlp)
    del attention
    last = 2 * 1 + 1  # the MLP unit of layer 1

    class Twice(nn.Module):
        def forward(self, x):  # mlp(norm(h)) and its shortcut, once more: h' = h + F(h)
            y = mlp(x)
            h = kept[-1] + y
            return y + mlp(layer.post_attention_layernorm(h))

    kept = []
    handle = layer.post_attention_layernorm.register_forward_pre_hook(
        lambda module, args: kept.append(args[0])
    )
    found = output(view, inputs, {last: Repeat(2)})
    kept.clear()
    layer.mlp = Twice()
    with torch.no_grad():
        expected = model(**inputs).logits
    handle.remove()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_repeated_is_said():
    view, _ = specimen("cnn")
    with pytest.raises(UsageError, match="no sum is ahead"), view.edited({0: Repeat(2)}):
        pass
    with pytest.raises(UsageError, match="changes the shape"), view.edited({2: Repeat(2)}):
        pass
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    post_norm = residuum.unravel(encoder, torch.zeros(2, 3, 8))
    with pytest.raises(UsageError, match="a layer with parameters"):
        with post_norm.edited({1: Repeat(2)}):
            pass
    own = residuum.unravel(pre(8))
    with pytest.raises(UsageError, match="cannot be repeated"):
        output(own, image_batch(2, 8), {1: Repeat(2)})
    for wrong in (lambda: Repeat(0), lambda: Scale(float("nan"))):
        with pytest.raises(UsageError):
            wrong()


@pytest.mark.parametrize("name", ["pre-activation A", "cnn"])
def test_values_that_do_not_fit_are_told(name):
    view, inputs = specimen(name)
    for tensor in (torch.zeros(3, 1, 1, 1), torch.zeros(1, 5, 1, 1), torch.zeros(8)):
        with pytest.raises(UsageError, match="value"):
            output(view, inputs, {1: Value(tensor)})


def test_an_error_in_a_repeated_pass_leaves_nothing():
    view, _ = specimen("sum")
    before = fingerprint(view.model)
    with pytest.raises(RuntimeError), view.edited({1: Repeat(3)}):
        view.model(torch.zeros(2, 5))
    assert same_fingerprint(before, fingerprint(view.model))
    assert "forward" not in view.model.__dict__
    with view.edited({1: Put(2)}):
        pass
