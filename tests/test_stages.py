"""Places, makers and words: what networks are composed of."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from residuum.errors import UsageError
from residuum.networks.resnet import cifar_resnet, cifar_stages, imagenet_resnet
from residuum.networks.stages import Place, Stage, UnitMaker, once, places, plain, residual, row
from residuum.parts.arrangements import ARRANGEMENTS, WORDS, Arrangement, modules
from residuum.parts.branches import basic, bottleneck, bottleneck_late_stride
from residuum.parts.shortcuts import option_a_average, option_b
from residuum.units import ResidualUnit


def visited(build) -> list[Place]:
    """The places at which a builder calls its maker."""
    seen: list[Place] = []

    def watched(maker: UnitMaker) -> UnitMaker:
        def make(place: Place) -> ResidualUnit:
            seen.append(place)
            return maker(place)

        return replace(maker, make=make)

    with torch.device("meta"):
        build(watched)
    return seen


BUILDERS = {
    "basic": lambda w: cifar_resnet(26, 10, w(residual())),
    "bottleneck": lambda w: cifar_resnet(29, 10, w(residual(bottleneck, option_b))),
    "plain": lambda w: cifar_resnet(20, 10, w(plain())),
    "imagenet 34": lambda w: imagenet_resnet(34, 10, w(residual(basic, option_b))),
    "imagenet 50": lambda w: imagenet_resnet(50, 10, w(residual(bottleneck_late_stride, option_b))),
    "one unit a stage": lambda w: list(row(8, [Stage(1, 8, 1), Stage(1, 16, 2)], w(residual()))),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_place_is_where_the_unit_stands(build):
    seen = visited(build)
    assert [p.number for p in seen] == list(range(len(seen)))
    assert {p.total for p in seen} == {len(seen)}
    stages = [[p for p in seen if p.stage == s] for s in range(seen[-1].stage + 1)]
    assert [place for stage in stages for place in stage] == seen
    for stage in stages:
        assert [p.index for p in stage] == list(range(len(stage)))
        assert {p.in_stage for p in stage} == {len(stage)}
        assert len({p.width for p in stage}) == len({p.c_out for p in stage}) == 1
        assert {p.stride for p in stage[1:]} <= {1}
    for before, after in pairwise(seen):
        assert after.c_in == before.c_out


@pytest.mark.parametrize("block", [basic, bottleneck])
def test_a_place_states_the_channels_that_its_unit_takes_and_gives(block):
    stages = [Stage(2, 4, 1), Stage(2, 8, 2)]
    maker = residual(block, option_b)
    for place in places(4, stages, block):
        out = maker(place)(torch.zeros(1, place.c_in, 8, 8))
        assert out.shape == (1, place.c_out, 8 // place.stride, 8 // place.stride)


class Halved(nn.Module):
    def __init__(self, branch: nn.Module, share: float):
        super().__init__()
        self.branch, self.share = branch, share

    def forward(self, x):
        return self.share * self.branch(x)


def scaled(maker: UnitMaker, share) -> UnitMaker:
    """A wrapper as later ones will be: the branch times a number that depends on the place."""

    def make(place: Place) -> ResidualUnit:
        unit = maker(place)
        unit.branch = Halved(unit.branch, share(place))
        return unit

    return replace(maker, make=make)


def test_makers_compose():
    def linear(place: Place) -> float:
        return 1 - (place.number + 1) / place.total / 2

    maker = scaled(scaled(residual(basic, option_a_average), linear), lambda place: 2.0)
    network = cifar_resnet(20, 10, maker)
    found = [(u.branch.share, u.branch.branch.share) for u in network.units]
    assert found == [(2.0, 1 - (n + 1) / 18) for n in range(9)]
    # what stands round the units follows the maker, wrapped or not
    preact = scaled(residual(arrangement=ARRANGEMENTS["preact"]), linear)
    assert len(cifar_resnet(20, 10, preact).stem) == 1


def test_once_builds_each_distinct_unit_once():
    units = list(row(16, cifar_stages(50), once(residual())))
    assert len(units) == 24
    # first of all, first of a stage, inner, last of a stage (of all): nothing is made twice
    assert len({id(u) for u in units}) == 9
    assert units[1] is units[6]
    assert units[0] is not units[1]


def test_a_word_of_ones_own_is_one_line(monkeypatch):
    monkeypatch.setitem(WORDS, "prelu", nn.PReLU)
    order = Arrangement("prelu", "-", "conv bn prelu", "conv bn", stem="conv prelu")
    network = cifar_resnet(20, 10, residual(arrangement=order))
    assert network.units[3].branch[2].weight.shape == (32,)
    assert isinstance(network.stem[1], nn.PReLU)


def test_unknown_words_are_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown word 'rely'\. Did you mean 'relu'"):
        modules("bn rely", 4)
    with pytest.raises(UsageError, match="unknown word 'conv'"):
        modules("conv bn", 4)


def test_an_imagenet_depth_and_its_block_must_agree():
    with pytest.raises(UsageError, match="50 layers are made of blocks of 3, not 2"):
        imagenet_resnet(50, 10, residual(basic, option_b))
