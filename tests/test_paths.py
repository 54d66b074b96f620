"""Path counting against brute force, closed forms and the numbers of the paper."""

import itertools
from fractions import Fraction
from math import comb

import pytest
from conftest import nested
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from residuum.anatomy.paths import count_paths, polynomial, remaining
from residuum.errors import UsageError
from residuum.networks.fractalnet import fractalnet
from residuum.parts.shortcuts import Severed
from residuum.presets import preset
from residuum.units import ResidualNetwork, ResidualUnit, Row
from residuum.views.notation import read, write
from residuum.views.own import express, leaves
from residuum.views.view import Leaf, Parallel, Series


def leaf(plain: bool = False) -> ResidualUnit:
    return ResidualUnit(nn.Identity(), Severed() if plain else None)


def nest(units: list[ResidualUnit], plain: bool = False) -> ResidualUnit:
    return ResidualUnit(Row(units), Severed() if plain else None)


shapes = st.recursive(
    st.booleans(),
    lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=3), st.booleans()),
    max_leaves=6,
)


def build(shape) -> ResidualUnit:
    if isinstance(shape, bool):
        return leaf(shape)
    return nest([build(s) for s in shape[0]], shape[1])


def walk(units: list[ResidualUnit], gone: set[int]) -> list[int]:
    """The length of every path, one by one."""

    def of_unit(unit: ResidualUnit) -> list[int]:
        if not isinstance(unit.branch, Row):
            if id(unit) in gone:
                return [0]
            return [1] if unit.plain else [0, 1]
        return ([] if unit.plain else [0]) + walk(list(unit.branch), gone)

    return [sum(choice) for choice in itertools.product(*(of_unit(u) for u in units))]


def counted(lengths: list[int], n: int) -> list[int]:
    return [lengths.count(k) for k in range(n + 1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(shapes, min_size=1, max_size=3), st.randoms())
def test_polynomial_and_deletions_equal_a_walk_of_all_paths(forms, source):
    row = Row(build(f) for f in forms)
    network = ResidualNetwork(nn.Identity(), row, nn.Identity())
    every = list(leaves(network))
    expression = express(network.units)
    n = len(every)
    gone = [u for u in every if source.random() < 0.4]
    for deleted in ([], gone):
        found = list(polynomial(expression, [every.index(u) for u in deleted]))
        assert found + [0] * (n + 1 - len(found)) == counted(
            walk(list(row), {id(u) for u in deleted}), n
        )
    d = min(2, n)
    whole, total = counted(walk(list(row), set()), n), [0] * (n + 1)
    for chosen in itertools.combinations(every, d):
        total = [
            a + b
            for a, b in zip(
                total, counted(walk(list(row), {id(u) for u in chosen}), n), strict=True
            )
        ]
    expected = [
        Fraction(t, w * comb(n, d)) if w else None for t, w in zip(total, whole, strict=True)
    ]
    found = list(remaining(network, d))
    assert found + [None] * (n + 1 - len(found)) == expected


def test_numbers_of_the_paper():
    paths = count_paths(preset("preresnet110", seed=0))
    assert paths.total == 2**54
    assert paths.mean == 27
    assert round(100 * float(paths.share(19, 35)), 2) == 98.02
    assert round(100 * float(paths.share(5, 17)), 4) == 0.4537
    assert [c == comb(54, k) for k, c in enumerate(paths.counts)] == [True] * 55
    assert sum(paths.distribution()) == pytest.approx(1)


def test_equation_8_to_the_last_digit():
    network = preset("preresnet110", seed=0)
    for d in (0, 1, 10, 20, 54):
        assert remaining(network, d) == tuple(
            Fraction(comb(54 - d, x), comb(54, x)) for x in range(55)
        )
    found = [round(float(remaining(network, 10)[x]), 3) for x in (5, 11, 17)]
    assert found == [0.343, 0.080, 0.015]


def test_plain_networks_have_one_path_and_nests_more():
    assert count_paths(preset("plain20", seed=0)).counts == (0,) * 9 + (1,)
    expected = count_paths(nested())
    stage = [2, 2, 1]  # 1 + (1 + t)^2, with t^0 twice: round the stage, and round both units
    product = [1]
    for _ in range(3):
        product = [
            sum(product[i] * stage[k - i] for i in range(len(product)) if 0 <= k - i < 3)
            for k in range(len(product) + 2)
        ]
    product[0] += 1
    assert expected.counts == tuple(product)


def test_expressions_are_written_short():
    nest_of_two = nest([leaf(), leaf()])
    network = ResidualNetwork(
        nn.Identity(), [leaf(), leaf(), leaf(plain=True), nest_of_two], nn.Identity()
    )
    expression = express(network.units)
    assert write(expression) == [[2, "1+t"], "t", {"around": [2, "1+t"]}]
    assert write(express(Row([leaf()]))) == "1+t"
    assert read(write(expression)) == expression
    columns = express(fractalnet(10, 3, (4,), (0,)).units)
    two = {"roads": ["t|0", [2, "t|0"]]}
    assert write(columns) == {"roads": ["t|0", [2, two]]}
    assert read(write(columns)) == columns
    paths = count_paths(
        expression
    )  # (1 + t)^2 t (1 + (1 + t)^2): 20 paths, of 2.8 branches on average
    assert (paths.total, paths.mean) == (20, Fraction(56, 20))
    for wrong in ("1-t", [2], {"round": "t"}, 3):
        with pytest.raises(ValueError, match="not an expression"):
            read(wrong)


@settings(max_examples=40, deadline=None)
@given(st.lists(shapes, min_size=1, max_size=3))
def test_what_is_written_counts_the_same(forms):
    expression = express(Row(build(f) for f in forms))
    again = read(write(expression))
    assert count_paths(again) == count_paths(expression)
    assert remaining(again, 1) == remaining(expression, 1)


def test_thousands_of_units_are_counted_at_once():
    series = Series(tuple(Parallel((Series(), Leaf(i))) for i in range(5000)))
    paths = count_paths(series)
    assert paths.total == 2**5000
    assert paths.counts[2500] == comb(5000, 2500)


@pytest.mark.parametrize("d", [-1, 55])
def test_impossible_deletions(d):
    with pytest.raises(UsageError, match="cannot delete"):
        remaining(preset("preresnet110", seed=0), d)
