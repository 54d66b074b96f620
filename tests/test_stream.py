"""The stream as a sum, what units add to the output, the lens: each by another way."""

import pytest
import torch
import torch.nn.functional as F
from conftest import fingerprint, image_batch, lively, same_fingerprint
from foreign import ready
from torch import nn

import residuum
from residuum import anatomy
from residuum.anatomy import stream
from residuum.errors import UsageError
from residuum.networks.resnet import cifar_resnet
from residuum.networks.stages import residual
from residuum.parts.arrangements import ORIGINAL, PREACT
from residuum.task import logits
from residuum.views.export import program
from residuum.views.inputs import take


def resnet(arrangement=PREACT, depth=8):
    maker = residual(arrangement=arrangement)
    return lively(cifar_resnet(depth, 10, maker, 4)), image_batch(5, 8)


def decoder(n=4):
    model, inputs = ready("decoder", n)
    return residuum.unravel(model, **take(inputs, slice(2))), inputs


class Plain(nn.Module):
    """Pre-norm units and a head, by hand: root mean square norms written out."""

    def __init__(self, width=6, units=3):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(units))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 4)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)).tanh()
        return self.head(self.norm(x))


# ---- activations ----


def test_activations_are_those_of_hooks():
    network, x = resnet()
    seen = {}
    handles = [
        unit.branch.register_forward_hook(lambda m, a, y, k=k: seen.setdefault(k, y.clone()))
        for k, unit in enumerate(network.units)
    ]
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    ((_, found),) = anatomy.activations(network, x)
    for number, each in enumerate(found):
        assert each.number == number
        torch.testing.assert_close(each.branch, seen[number])


@pytest.mark.parametrize("kind", ["own", "decoder"])
def test_memory_bounds_what_is_given(kind):
    model, x = resnet() if kind == "own" else decoder(5)
    ((_, whole),) = anatomy.activations(model, x, [1])
    one = sum(t[:1].nbytes for t in whole[0][1:])
    parts = list(anatomy.activations(model, x, [1], memory=2 * one + 1))
    assert [at for at, _ in parts] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    together = torch.cat([found[0].after for _, found in parts])
    torch.testing.assert_close(together, whole[0].after, rtol=1e-4, atol=1e-5)
    assert len(list(anatomy.activations(model, x, [1], memory=0))) == 5
    with pytest.raises(UsageError, match="no unit 9"):
        next(anatomy.activations(model, x, [9]))


def test_the_model_is_as_it_was_between_batches():
    network, x = resnet()
    network.train()
    before = fingerprint(network)
    for _ in anatomy.activations(network, x, memory=0):
        assert same_fingerprint(before, fingerprint(network))


# ---- the stream as a sum ----


def test_the_stream_of_a_decoder_adds_up():
    view, inputs = decoder()
    found = anatomy.decomposition(view, inputs, memory=0)
    assert found.first == 0
    assert len(found.links) == len(view.units) - 1
    assert all(link.whole for link in found.links)
    assert found.gap < 1e-5
    with torch.no_grad():
        embedded = view.model.model.embed_tokens(inputs["input_ids"])
    ((_, parts),) = anatomy.activations(view, inputs)
    torch.testing.assert_close(parts[0].before, embedded)
    total = embedded + sum(part.branch for part in parts)
    torch.testing.assert_close(parts[-1].after, total, rtol=1e-4, atol=1e-5)


def test_where_it_does_not_add_up_is_said():
    pre, x = resnet(PREACT, 14)
    found = anatomy.decomposition(pre, x)
    assert found.first == 4  # the second projection
    assert [link.whole for link in found.links] == [True, False, True, False, True]
    post, x = resnet(ORIGINAL, 14)
    found = anatomy.decomposition(post, x)
    assert found.first == 5
    assert not any(link.whole for link in found.links)
    assert found.links[1].gap is None  # another shape
    assert found.links[0].gap > 0.01  # a ReLU


# ---- contributions ----


def test_contributions_of_a_norm_and_a_linear_head_by_hand():
    torch.manual_seed(0)
    model, x, targets = Plain().eval(), torch.randn(5, 6), torch.arange(5) % 4
    found = anatomy.contributions(residuum.unravel(model, x[:2]), x, targets, memory=400)
    with torch.no_grad():
        parts = [x]
        for layer in model.layers:
            stream = sum(parts)
            parts.append(layer(F.rms_norm(stream, (6,), eps=1e-6)).tanh())
        scale = 1 / (sum(parts).var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        rows = model.head.weight[targets]
        by_hand = [
            (((p - p.mean(-1, keepdim=True)) * scale * model.norm.weight) * rows).sum(-1)
            for p in parts
        ]
        constant = (model.norm.bias * rows).sum(-1) + model.head.bias[targets]
        value = model(x)[torch.arange(5), targets]
    torch.testing.assert_close(found.value.float(), value)
    torch.testing.assert_close(found.ahead.float(), by_hand[0])
    torch.testing.assert_close(found.units.float(), torch.stack(by_hand[1:]))
    torch.testing.assert_close(found.constant.float(), constant)
    assert found.gap < 1e-5


def test_norms_one_behind_the_other_are_held():
    torch.manual_seed(0)
    model, x = Plain().eval(), torch.randn(5, 6)
    model.head = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 4))
    found = anatomy.contributions(residuum.unravel(model, x[:2]), x, torch.arange(5) % 4)
    assert found.gap < 1e-5
    assert found.units.abs().min() > 1e-4


def test_contributions_in_a_decoder_add_up():
    view, inputs = decoder()
    answer = lambda output, targets: output.logits[:, -1].gather(1, targets[:, None])[:, 0]  # noqa: E731
    found = anatomy.contributions(view, inputs, inputs["input_ids"][:, 0], answer)
    assert found.first == 0
    assert found.units.shape == (len(view.units), 4)
    assert found.gap < 1e-4
    torch.testing.assert_close(found.constant, torch.zeros_like(found.constant))  # no biases
    with pytest.raises(UsageError, match="answer of yours"):
        anatomy.contributions(view, inputs, inputs["input_ids"][:, 0])


@pytest.mark.parametrize("name", ["vit", "decoder"])
def test_contributions_in_a_graph_of_operations_are_those_of_its_model(name):
    """Its norms are called `layer_norm.default` and `rsqrt.default`."""
    model, inputs = ready(name, 4)
    given, named = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
    graph = program(model, given, named, functional=False).module()

    def answer(output, targets):
        found = logits(output)
        return (found[:, -1] if found.ndim == 3 else found).gather(1, targets[:, None])[:, 0]

    ours, theirs = (
        anatomy.contributions(
            residuum.unravel(each, *given, **named), inputs, torch.arange(4), answer
        )
        for each in (model, graph)
    )
    assert ours.gap < 1e-4
    torch.testing.assert_close(theirs.units, ours.units)


def test_a_relu_ahead_of_the_head_leaves_a_gap():
    network, x = resnet()
    found = anatomy.contributions(network, x, torch.arange(5))
    with torch.no_grad():
        expected = network(x)[torch.arange(5), torch.arange(5)]
    torch.testing.assert_close(found.value.float(), expected)
    assert found.first == 2
    assert found.gap > 1e-3


# ---- the lens ----


def test_the_lens_of_a_decoder_is_its_own_head():
    view, inputs = decoder()
    found = anatomy.lens(view, inputs, memory=200_000)
    ((_, parts),) = anatomy.activations(view, inputs)
    model = view.model
    with torch.no_grad():
        for part in parts:
            expected = model.lm_head(model.model.norm(part.after))
            torch.testing.assert_close(found[part.number], expected, rtol=1e-4, atol=1e-4)
        whole = model(**inputs).logits
    torch.testing.assert_close(found[len(view.units) - 1], whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arrangement", [PREACT, ORIGINAL])
def test_the_lens_of_ours_reads_what_fits(arrangement):
    network, x = resnet(arrangement, 14)
    found = anatomy.lens(network, x, memory=1)
    assert list(found) == [4, 5]
    with torch.no_grad():
        stream = network.stem(x)
        for unit in list(network.units)[:5]:
            stream = unit(stream)
        torch.testing.assert_close(found[4], network.head(stream), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[5], network(x), rtol=1e-4, atol=1e-5)
    predicted = anatomy.lens(network, x, lambda output, at: output.argmax(1))
    assert torch.equal(predicted[5], found[5].argmax(1))


@pytest.mark.parametrize("kind", ["own", "decoder"])
def test_no_trace_is_left(kind):
    if kind == "own":
        model, inputs = resnet()
        model.train()
        view, answer = residuum.unravel(model), stream.target_logit
    else:
        view, inputs = decoder()
        model = view.model
        answer = lambda output, targets: output.logits[:, -1, 0]  # noqa: E731
    before = fingerprint(model)
    anatomy.decomposition(view, inputs)
    anatomy.contributions(view, inputs, torch.arange(len(take_first(inputs))), answer)
    anatomy.lens(view, inputs)
    assert same_fingerprint(before, fingerprint(model))
    with pytest.raises(UsageError, match="one number an example"):
        anatomy.contributions(view, inputs, torch.arange(4), lambda output, targets: targets.sum())
    assert same_fingerprint(before, fingerprint(model))


def take_first(inputs):
    return inputs["input_ids"] if isinstance(inputs, dict) else inputs


def test_no_units_no_stream():
    with pytest.raises(UsageError, match="no residual units"):
        anatomy.lens(residuum.unravel(nn.Linear(3, 3), torch.zeros(2, 3)), torch.zeros(2, 3))
