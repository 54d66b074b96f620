"""Models that nobody prepared: by their names in torchvision, timm and transformers, with the
number of units that was counted by hand, and some written here."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Case(NamedTuple):
    """`build()` gives the model, `inputs`, `keywords` what its forward takes."""

    build: Callable[[], nn.Module]
    units: int
    inputs: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = MappingProxyType({})


class Wide(nn.Module):
    """Rows of units written in every way that a sum can be; `step(x, F, T)` is one."""

    def __init__(self, step: Callable[..., Tensor], units: int = 3, width: int = 8):
        super().__init__()
        self.step = step
        self.branches = nn.ModuleList(nn.Linear(width, width) for _ in range(units))
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(units))

    def forward(self, x: Tensor) -> Tensor:
        for branch, gate in zip(self.branches, self.gates, strict=True):
            x = self.step(x, lambda z, b=branch: b(z).relu(), lambda z, g=gate: torch.sigmoid(g(z)))
        return x.tanh()


def in_place(x, branch, gate):
    y = branch(x)
    y += x
    return y


def into_the_stream(x, branch, gate):
    x = x.clone()
    return x.add_(branch(x))


def stacked(x, branch, gate):
    return torch.stack([branch(x), x], -1).sum(-1)


def stacked_mean(x, branch, gate):
    return torch.stack([x, branch(x)]).mean(0)


def slice_wise(x, branch, gate):
    x = x.clone()
    x[:, :4] += branch(x)[:, :4]
    return x


def highway(x, branch, gate):
    t = gate(x)
    return branch(x) * t + x * (1 - t)


def highway_lerp(x, branch, gate):
    return torch.lerp(x, branch(x), gate(x))


def two_terms(x, branch, gate):
    return x + branch(x) + gate(x)


def matrix_product(x, branch, gate):
    return torch.addmm(x, branch(x), torch.eye(8) + 1)


STEPS: dict[str, Callable[..., Tensor]] = {
    "sum": lambda x, branch, gate: x + branch(x),
    "difference": lambda x, branch, gate: x - branch(x),
    "scaled branch": lambda x, branch, gate: torch.add(x, branch(x), alpha=0.5),
    "scaled shortcut": lambda x, branch, gate: torch.add(branch(x), x, alpha=0.5),
    "halved": lambda x, branch, gate: (x + branch(x)) / 2,
    "addcmul": lambda x, branch, gate: torch.addcmul(x, branch(x), gate(x)),
    "in place": in_place,
    "into the stream": into_the_stream,
    "stacked": stacked,
    "stacked mean": stacked_mean,
    "slice by slice": slice_wise,
    "highway": highway,
    "highway, lerp": highway_lerp,
    "two terms": two_terms,
    "matrix product": matrix_product,
}


class Shared(nn.Module):
    """One layer, used three times."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + self.layer(x).relu()
        return x


class Over(nn.Module):
    """The third unit's branch reads what came two units before."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, fourth, fifth = self.layers
        ahead = x
        x = x + first(x).relu()
        x = x + second(x).relu()
        x = x + fourth(third(ahead).relu())
        return x + fifth(x).relu()


class UNet(nn.Module):
    """Skips by concatenation, or by addition round residual units."""

    def __init__(self, adding: bool):
        super().__init__()
        self.adding = adding
        self.down = nn.ModuleList(nn.Conv2d(c, 8, 3, padding=1) for c in (3, 8, 8))
        self.up = nn.ModuleList(nn.Conv2d(8 if adding else 16, 8, 1) for _ in range(2))
        self.inner = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for layer in self.down:
            x = F.max_pool2d(layer(x).relu(), 2)
            levels.append(x)
        for layer in self.inner:
            x = x + layer(x).relu()
        for layer, level in zip(self.up, levels[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0)
            x = layer(level + x if self.adding else torch.cat([level, x], 1))
        return x


IMAGES = (torch.zeros(2, 3, 224, 224),)
TOKENS = {"input_ids": torch.arange(14).view(2, 7)}
VECTORS = (torch.linspace(-1, 1, 16).view(2, 8),)
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}


def torchvision(name: str, units: int, **options: Any) -> Case:
    def build() -> nn.Module:
        models = pytest.importorskip("torchvision.models")
        return models.get_model(name, weights=None, **options)

    return Case(build, units, IMAGES)


def timm(name: str, units: int) -> Case:
    return Case(lambda: pytest.importorskip("timm").create_model(name), units, IMAGES)


def transformers(name: str, config: str, units: int, **settings: Any) -> Case:
    """Of a small configuration."""

    def build() -> nn.Module:
        library = pytest.importorskip("transformers")
        small = {"vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2, **settings}
        return getattr(library, name)(getattr(library, config)(**small))

    return Case(build, units, (), TOKENS)


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 3)


T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4, "num_layers": 3}
VIT = {**SMALL, "num_hidden_layers": 6, "image_size": 32, "patch_size": 8}
LAYERS = {**SMALL, "num_hidden_layers": 4}

CASES: dict[str, Case] = {
    "resnet18": torchvision("resnet18", 8),
    "resnet50": torchvision("resnet50", 16),
    "convnext_tiny": torchvision("convnext_tiny", 18),
    "vit_b_16": torchvision("vit_b_16", 24),
    "swin_t": torchvision("swin_t", 24),
    "mobilenet_v2": torchvision("mobilenet_v2", 10),
    "efficientnet_b0": torchvision("efficientnet_b0", 9),
    "regnet_y_400mf": torchvision("regnet_y_400mf", 16),
    "densenet121": torchvision("densenet121", 0),
    "vgg11": torchvision("vgg11", 0),
    "fcn_resnet50": torchvision("fcn_resnet50", 16, weights_backbone=None),
    "resnetv2_50": timm("resnetv2_50", 16),
    "mixer_s32_224": timm("mixer_s32_224", 16),
    "seresnet50": timm("seresnet50", 16),
    "deit_tiny": timm("deit_tiny_patch16_224", 24),
    "poolformer_s12": timm("poolformer_s12", 24),
    "nfnet_l0": timm("nfnet_l0", 12),
    "dpn68": timm("dpn68", 22),
    "hiera_tiny": timm("hiera_tiny_224", 24),
    "crossvit_tiny": timm("crossvit_tiny_240", 36)._replace(inputs=(torch.zeros(2, 3, 240, 240),)),
    "gpt2": transformers("GPT2LMHeadModel", "GPT2Config", 24, n_embd=32, n_head=4),
    "llama": transformers("LlamaForCausalLM", "LlamaConfig", 8, **LAYERS),
    "bert": transformers("BertModel", "BertConfig", 12, **SMALL, num_hidden_layers=6),
    "vit": transformers("ViTModel", "ViTConfig", 12, **VIT)._replace(
        keywords={"pixel_values": torch.zeros(2, 3, 32, 32)}
    ),
    "bloom": transformers(
        "BloomForCausalLM", "BloomConfig", 8, hidden_size=32, n_head=4, n_layer=4
    ),
    "gpt-neox": transformers("GPTNeoXForCausalLM", "GPTNeoXConfig", 4, **LAYERS),
    "t5": transformers(
        "T5ForConditionalGeneration", "T5Config", 15, **T5, num_decoder_layers=3
    )._replace(keywords={**TOKENS, "decoder_input_ids": torch.arange(10).view(2, 5)}),
    "mixtral": transformers(
        *("MixtralForCausalLM", "MixtralConfig", 8),
        **LAYERS,
        num_key_value_heads=2,
        num_local_experts=4,
    ),
    "gpt_oss": transformers(
        *("GptOssForCausalLM", "GptOssConfig", 8),
        **LAYERS,
        num_key_value_heads=2,
        num_local_experts=4,
    ),
    "mamba": transformers(
        "MambaForCausalLM", "MambaConfig", 4, hidden_size=32, num_hidden_layers=4, state_size=4
    ),
    "gptj": transformers(
        "GPTJForCausalLM", "GPTJConfig", 3, n_embd=32, n_head=4, n_layer=3, rotary_dim=4
    ),
    "highway": Case(lambda: Wide(highway, 5), 5, VECTORS),
    "encoder": Case(encoder, 6, (torch.zeros(2, 5, 32),)),
    "shared": Case(Shared, 3, VECTORS),
    "over": Case(Over, 4, VECTORS),
}


def small_vit() -> nn.Module:
    models = pytest.importorskip("torchvision.models")
    model = models.VisionTransformer(16, 4, 3, 2, 16, 32, num_classes=10)
    nn.init.normal_(model.heads.head.weight, std=0.1)  # made as zeros
    return model


def lively(model: nn.Module) -> nn.Module:
    """Nothing at zero and statistics as after training, so that every unit does something."""
    source = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=source)
            module.running_var.uniform_(0.5, 1.5, generator=source)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.05, generator=source)
    return model


def images(n: int, size: int = 16) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(2))


def tokens(n: int) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(2)
    return {"input_ids": torch.randint(0, 100, (n, 7), generator=source)}


# a CNN, a ViT and a decoder, small enough to be run
RUN: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Any]]] = {
    "cnn": (CASES["resnet18"].build, lambda n: images(n, 32)),
    "vit": (small_vit, images),
    "decoder": (CASES["llama"].build, tokens),
}


def ready(name: str, n: int = 3) -> tuple[nn.Module, Any]:
    """The model in evaluation mode, with n examples."""
    torch.manual_seed(0)
    build, inputs = RUN[name]
    return lively(build()).eval(), inputs(n)
