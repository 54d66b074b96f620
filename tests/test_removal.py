"""Units removed for good: what is left computes what a lesion leaves, with the branches gone."""

from collections.abc import Callable

import pytest
import torch
from conftest import MENAGERIE, fingerprint, image_batch, lively, same_fingerprint
from foreign import CASES, SMALL, STEPS, VECTORS, Wide, transformers
from foreign import lively as stirred
from torch import nn

import residuum
from residuum.anatomy import applied, without
from residuum.errors import UsageError
from residuum.surgery import removed, without_branches
from residuum.surgery.removal import lesioned, on_inputs, without_layers
from residuum.units import ResidualNetwork, ResidualUnit, Row
from residuum.views.verify import close

# the graphs of older versions round otherwise, and know less
EXACT = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 15)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# ---- our own networks ----


@pytest.mark.parametrize("name", MENAGERIE)
def test_a_row_without_units_is_the_lesioned_network(name):
    network, x = lively(MENAGERIE[name]()), image_batch(3)
    view = residuum.unravel(network)
    n = len(view.units)
    before = fingerprint(network)
    for numbers in ([0], [n - 1], list(range(0, n, 2)), list(range(n))):
        with torch.no_grad(), applied(view, without(view, numbers)):
            expected = network(x)
        small = removed(network, numbers)
        with torch.no_grad():
            assert torch.equal(small(x), expected)
        gone = sum(view.units[number].removable_parameters for number in numbers)
        assert parameters(small) == parameters(network) - gone
        assert isinstance(small, ResidualNetwork)
        if not any(isinstance(unit.branch, Row) for unit in network.units):
            assert len(residuum.unravel(small).units) == n - len(numbers)
    assert same_fingerprint(before, fingerprint(network))
    assert not {id(p) for p in small.parameters()} & {id(p) for p in network.parameters()}


def test_what_is_left_of_a_unit_stands_beside_its_neighbours():
    network = residuum.preset("resnet20", seed=0, shortcut="B")
    small = removed(network, [3, 4, 8])  # a projection and its relu; nothing; nothing
    assert [type(part).__name__ for part in small.units[3].before] == ["Sequential", "ReLU"]
    assert len(small.units) == 6
    assert removed(network, range(9)).units is not network.units
    again = removed(removed(network, [4]), [0])
    assert [len(again.units), parameters(again)] == [7, parameters(removed(network, [0, 4]))]


def test_a_nest_that_is_emptied_keeps_what_is_left():
    network = lively(MENAGERIE["nested"]())
    (whole,) = removed(network, range(6)).units
    assert all(len(stage.branch) == 1 for stage in whole.branch)
    assert all(stage.branch[0].plain for stage in whole.branch)


def test_refused():
    network = residuum.preset("resnet20", seed=0)
    with pytest.raises(UsageError, match="no unit 9: this model has units 0 to 8"):
        removed(network, [9])
    with pytest.raises(UsageError, match="named twice"):
        removed(network, [1, 1])
    with pytest.raises(UsageError, match="its own forward reads every unit"):
        removed(residuum.preset("crmn28", seed=0), [1])
    shared = ResidualUnit(nn.Conv2d(8, 8, 1))
    twice = ResidualNetwork(nn.Conv2d(3, 8, 1), [shared, shared], nn.Flatten())
    with pytest.raises(UsageError, match="stands in several places"):
        removed(twice, [0])


# ---- models that nobody prepared ----


def torchvisions(name: str, *arguments, **settings) -> Callable[[], nn.Module]:
    return lambda: getattr(pytest.importorskip("torchvision.models"), name)(*arguments, **settings)


def resnet() -> nn.Module:
    models = pytest.importorskip("torchvision.models.resnet")
    return models.ResNet(models.BasicBlock, [1, 1, 1, 1], num_classes=10)


def timms(name: str, **settings) -> Callable[[], nn.Module]:
    return lambda: pytest.importorskip("timm").create_model(name, num_classes=10, **settings)


def texts(name: str, config: str, **settings) -> Callable[[], nn.Module]:
    return transformers(name, config, 0, **settings).build


def images(size: int):
    return (torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2)),)


TEXT = {"input_ids": torch.arange(10).view(2, 5)}
PAIR = TEXT | {"decoder_input_ids": torch.arange(6).view(2, 3)}
PIXELS = {"pixel_values": images(16)[0]}
TWO = {**SMALL, "num_hidden_layers": 2}
OLD = {"n_embd": 32, "n_head": 4, "n_layer": 2}
FIVE = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4}
HEADS = {"num_key_value_heads": 2}
EXPERTS = {"num_key_value_heads": 2, "num_local_experts": 2}
VIT = {**TWO, "image_size": 16, "patch_size": 8}
TINY_VIT = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2}
NARROW = {"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16)}
NEXT = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}
ALONE, PAIRED = ([0], [1], [2], [1, 2]), ([0], [2], [3], [0, 1])
SINGLE = ([0], [1], [2])
# a builder, inputs, sets of units that go together
MODELS = {
    "resnet": (resnet, images(16), ([0], [2], [3], [1, 3])),
    "swin": (
        torchvisions("SwinTransformer", [4, 4], 8, [2], [2], [2, 2], num_classes=10),
        images(16),
        PAIRED,
    ),
    "timm vit": (timms("vit_tiny_patch16_224", **TINY_VIT), images(16), PAIRED),
    "timm resnet": (timms("resnet10t", **NARROW), images(16), ALONE),
    "timm mixer": (
        lambda: pytest.importorskip("timm.models.mlp_mixer").MlpMixer(10, 16, 3, 8, 2, 16),
        images(16),
        PAIRED,
    ),
    "convnext": (timms("convnext_atto", **NEXT), images(32), ALONE),
    "llama": (texts("LlamaForCausalLM", "LlamaConfig", **TWO), TEXT, ([0], [1], [3], [2, 3])),
    "gpt2": (texts("GPT2LMHeadModel", "GPT2Config", **OLD), TEXT, PAIRED),
    "bert": (texts("BertModel", "BertConfig", **TWO), TEXT, ([0], [1], [3], [1, 2])),
    "t5": (
        texts("T5ForConditionalGeneration", "T5Config", **FIVE, num_layers=1),
        PAIR,
        ([0], [3], [4], [2, 4]),
    ),
    "bloom": (
        texts("BloomForCausalLM", "BloomConfig", hidden_size=32, n_head=4, n_layer=2),
        TEXT,
        PAIRED,
    ),
    "gpt-neox": (texts("GPTNeoXForCausalLM", "GPTNeoXConfig", **TWO), TEXT, ([0], [1], [0, 1])),
    "gptj": (texts("GPTJForCausalLM", "GPTJConfig", **OLD, rotary_dim=4), TEXT, ([0], [1], [0, 1])),
    "mixtral": (texts("MixtralForCausalLM", "MixtralConfig", **TWO, **EXPERTS), TEXT, PAIRED),
    "mamba": (
        texts("MambaForCausalLM", "MambaConfig", hidden_size=32, num_hidden_layers=3, state_size=4),
        TEXT,
        ALONE,
    ),
    "vit": (texts("ViTModel", "ViTConfig", **VIT), PIXELS, PAIRED),
    "qwen2": (texts("Qwen2ForCausalLM", "Qwen2Config", **TWO, **HEADS), TEXT, SINGLE),
    "olmo2": (texts("Olmo2ForCausalLM", "Olmo2Config", **TWO, **HEADS), TEXT, SINGLE),
    "opt": (
        texts("OPTForCausalLM", "OPTConfig", **TWO, ffn_dim=64, word_embed_proj_dim=32),
        TEXT,
        SINGLE,
    ),
    "distilbert": (
        texts("DistilBertModel", "DistilBertConfig", dim=32, n_heads=4, n_layers=2, hidden_dim=64),
        TEXT,
        SINGLE,
    ),
    "roberta": (texts("RobertaModel", "RobertaConfig", **TWO), TEXT, SINGLE),
    "regnet": (timms("regnetx_002"), images(32), SINGLE),
    "encoder": (CASES["encoder"].build, (torch.zeros(2, 5, 32),), PAIRED),
    "over": (CASES["over"].build, VECTORS, ALONE),
    "shared": (CASES["shared"].build, VECTORS, ALONE),
    "highway": (CASES["highway"].build, VECTORS, ([0], [3], [1, 4])),
}


def viewed(name: str):
    torch.manual_seed(0)
    build, inputs, sets = MODELS[name]
    keywords = inputs if isinstance(inputs, dict) or hasattr(inputs, "keys") else {}
    model = stirred(build()).eval()
    return residuum.unravel(model, *(() if keywords else inputs), **keywords), sets


def removed_of(view, numbers) -> nn.Module:
    try:
        return without_branches(view, numbers)
    except UsageError as error:
        if not EXACT and "GuardOnDataDependent" in str(error):
            pytest.skip("torch.export cannot follow it in this version")
        raise


# of these models no submodule gives a unit's branch alone, so that no hook can delete it
WITHOUT_HOOK = {"gpt-neox", "gptj", "highway"}


def hooked(view, number) -> list[torch.Tensor] | None:
    """The outputs where a plain forward hook gives zeros for the branch; None where no submodule
    that is called once gives it alone, as one tensor."""
    unit, calls = view.units[number], []
    if unit.tail is None or unit.merge != "sum" or len(unit.sums) != 1:
        return None
    (path, call), leaf = unit.tail

    def silence(module, given, output):
        calls.append(module)
        if len(calls) - 1 != call:
            return None
        if isinstance(output, torch.Tensor):
            return torch.zeros_like(output)
        return tuple(torch.zeros_like(o) if i == leaf else o for i, o in enumerate(output))

    handle = view.model.get_submodule(path).register_forward_hook(silence)
    try:
        return on_inputs(view, view.model)
    finally:
        handle.remove()


@pytest.mark.parametrize("name", MODELS)
def test_removing_deleting_by_hook_and_counting_agree(name):
    view, sets = viewed(name)
    whole, before = on_inputs(view, view.model), fingerprint(view.model)
    for numbers in sets:
        model = removed_of(view, numbers)
        deleted, left = lesioned(view, numbers), on_inputs(view, model)
        assert all(map(torch.equal if EXACT else close, deleted, left))
        if len(numbers) == 1:
            silent = hooked(view, *numbers)
            assert (silent is None) == (name in WITHOUT_HOOK)
            assert silent is None or all(map(close, silent, left))
        assert not all(map(torch.equal, whole, left))
        gone = view.units.removable(numbers)
        named = dict(view.model.named_parameters())
        first = {id(parameter): name for name, parameter in named.items()}  # of tied ones
        every = dict(view.model.named_parameters(remove_duplicate=False))
        there = {first[id(every[name])] for name, _ in model.named_parameters()}
        assert there == view.units.used - set(gone)
        used = sum(named[name].numel() for name in view.units.used)
        assert parameters(model) == used - sum(named[name].numel() for name in gone)
        layers = without_layers(view, numbers)
        if layers is not None:
            assert type(layers) is type(view.model)
            assert all(map(close, deleted, on_inputs(view, layers)))
    assert same_fingerprint(before, fingerprint(view.model))


@pytest.mark.parametrize("step", STEPS)
def test_a_sum_may_be_written_in_any_way(step):
    torch.manual_seed(0)
    view = residuum.unravel(Wide(STEPS[step]).eval(), *VECTORS)
    model = without_branches(view, [0, 2])
    assert all(map(torch.equal, lesioned(view, [0, 2]), on_inputs(view, model)))
    one = 36 * len(view.units[0].removable)  # of a weight and a bias; a gate has two more
    assert parameters(model) == one
