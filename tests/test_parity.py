"""Our ImageNet networks against torchvision's, on copied weights: an independent implementation of
the same papers."""

import pytest
import torch
from conftest import lively

from residuum.networks.densenet import bottleneck_layer, densenet, shrink
from residuum.parts.stems import imagenet_stem
from residuum.presets import preset

models = pytest.importorskip("torchvision.models")


def theirs_to_ours(name: str, theirs: torch.nn.Module) -> dict[str, torch.Tensor]:
    """torchvision's state under our names: both list a unit's layers in signal order, the
    projection apart."""
    state, counts, unit = {}, [len(getattr(theirs, f"layer{s}")) for s in range(1, 5)], 0

    def copy(prefix: str, module: torch.nn.Module) -> None:
        state.update({f"{prefix}.{k}": v for k, v in module.state_dict().items()})

    copy("stem.0", theirs.conv1)
    copy("stem.1", theirs.bn1)
    for s, count in enumerate(counts, 1):
        for block in getattr(theirs, f"layer{s}")[:count]:
            layers = 3 if hasattr(block, "conv3") else 2
            for layer in range(layers):
                copy(f"units.{unit}.branch.{3 * layer}", getattr(block, f"conv{layer + 1}"))
                copy(f"units.{unit}.branch.{3 * layer + 1}", getattr(block, f"bn{layer + 1}"))
            if block.downsample is not None:
                copy(f"units.{unit}.shortcut.0", block.downsample[0])
                copy(f"units.{unit}.shortcut.1", block.downsample[1])
            unit += 1
    copy("head.2", theirs.fc)
    return state


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_same_logits_as_torchvision(name):
    torch.manual_seed(0)
    theirs = lively(getattr(models, name)(weights=None))
    ours = preset(name, seed=1).eval()
    ours.load_state_dict(theirs_to_ours(name, theirs))
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(
            ours(x), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item()
        )


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_same_parameter_counts_as_torchvision(name):
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in n.parameters()) for n in (preset(name), getattr(models, name)())
        ]
    assert counts[0] == counts[1]


DENSE = ["densenet121", "densenet161", "densenet169", "densenet201"]


def dense_to_ours(ours: torch.nn.Module, theirs: torch.nn.Module) -> dict[str, torch.Tensor]:
    """torchvision's DenseNet under our names: both list all layers in signal order."""
    pairs = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    return {name: value for (name, old), value in pairs if old.shape == value.shape}


def test_same_logits_as_torchvisions_densenet():
    """One growth and stem of either kind; the others differ in their counts of units alone."""
    torch.manual_seed(0)
    theirs = lively(models.DenseNet(16, (2, 3, 2, 2), 32, num_classes=20))
    stem = imagenet_stem(32)
    ours = densenet(20, stem, 32, (2, 3, 2, 2), 16, bottleneck_layer, shrink(0.5)).eval()
    ours.load_state_dict(dense_to_ours(ours, theirs))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(
            ours(x), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item()
        )


@pytest.mark.parametrize("name", DENSE)
def test_same_layers_as_torchvisions_densenet(name):
    with torch.device("meta"):
        ours, theirs = preset(name), getattr(models, name)()
    assert len(dense_to_ours(ours, theirs)) == len(theirs.state_dict())
