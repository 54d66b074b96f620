"""Sums that are written in parts, by rows of a joined tensor, or in ways that are not followed."""

import pytest
import torch
from foreign import VECTORS, Wide

import residuum
from residuum.errors import UsageError
from residuum.subjects.subject import require_units
from residuum.views.view import DELETE


def halves_written(x, branch, gate):
    x, f = x.clone(), branch(x)
    x[:, :4] += f[:, :4]
    x[:, 4:] += f[:, 4:]
    return x


def halves_joined(x, branch, gate):
    f = branch(x)
    return torch.cat([x[:, :4] + f[:, :4], x[:, 4:] + f[:, 4:]], 1)


def chunks(x, branch, gate):
    pairs = zip(x.chunk(2, 1), branch(x).chunk(2, 1), strict=True)
    return torch.cat([a + b for a, b in pairs], 1)


def examples(x, branch, gate):
    f = branch(x)
    return torch.stack([x[i] + f[i] for i in range(2)])


def list_in_place(x, branch, gate):
    x = x.clone()
    torch._foreach_add_([x], [branch(x)])
    return x


WEIGHTS = torch.tensor([1.0, 2.0])[:, None, None]
IN_PARTS = (halves_written, halves_joined, chunks, examples, list_in_place)
BY_ROWS = {
    "cat": lambda x, branch, gate: torch.cat([x[None], branch(x)[None]]).sum(0),
    "vstack": lambda x, branch, gate: torch.vstack([branch(x)[None], x[None]]).sum(0),
    "dstack": lambda x, branch, gate: torch.dstack([x, branch(x)]).sum(-1),
    "scaled": lambda x, branch, gate: (0.5 * torch.stack([x, branch(x)])).sum(0),
    "weighted": lambda x, branch, gate: (WEIGHTS * torch.stack([x, branch(x)])).sum(0),
}
ROWS = torch.arange(2)
NOT_FOLLOWED = {
    "index_add": lambda x, branch, gate: x.index_add(0, ROWS, branch(x)),
    "scatter_add": lambda x, branch, gate: x.scatter_add(0, ROWS[:, None].expand(2, 8), branch(x)),
    "index_put": lambda x, branch, gate: x.index_put((ROWS,), branch(x), accumulate=True),
    "bmm": lambda x, branch, gate: torch.einsum(
        "nbd,n->bd", torch.stack([x, branch(x)]), torch.ones(2)
    ),
    "cumsum": lambda x, branch, gate: torch.stack([x, branch(x)]).cumsum(0)[-1],
    "sum": lambda x, branch, gate: torch.cat([x, branch(x)], 0).view(2, -1, 8).sum(0),
}


def wide(step):
    torch.manual_seed(0)
    model = Wide(step).eval()
    return model, residuum.discover(model, *VECTORS)


@pytest.mark.parametrize("step", IN_PARTS)
def test_parts_of_one_sum_are_one_unit_which_is_not_edited(step):
    model, units = wide(step)
    assert [unit.removable for unit in units] == [
        (f"branches.{i}.bias", f"branches.{i}.weight") for i in range(3)
    ]
    assert [unit.shape_out for unit in units] == [(8,)] * 3
    found = units.verify()
    assert found.holds
    assert "its sum cannot be answered otherwise" in found.unproven[0]
    view = residuum.unravel(model, *VECTORS)
    with pytest.raises(UsageError, match="slice by slice"), view.edited({0: DELETE}):
        pass


@pytest.mark.parametrize("name", BY_ROWS)
def test_a_sum_over_joined_rows_is_one_over_a_stack(name):
    model, units = wide(BY_ROWS[name])
    found = units.verify()
    assert (len(units), found.contradicted, found.unproven) == (3, (), ())
    view = residuum.unravel(model, *VECTORS)
    with torch.no_grad(), view.edited({1: DELETE}):
        lesioned = model(*VECTORS)
    model.branches[1].weight.data.zero_()
    model.branches[1].bias.data.zero_()  # relu(0) is what a deleted branch gives
    with torch.no_grad():
        torch.testing.assert_close(lesioned, model(*VECTORS))


@pytest.mark.parametrize("name", NOT_FOLLOWED)
def test_what_may_be_a_sum_and_is_not_followed_is_said(name):
    _, units = wide(NOT_FOLLOWED[name])
    words = f"{name} may add a branch to its shortcut, which is not followed"
    assert len(units) == 0
    assert [words in note for note in units.notes] == [True]
    assert units.verify().unproven == units.not_followed


def test_what_a_model_has_in_place_of_units_is_named():
    class Dense(Wide):
        def forward(self, x):
            return torch.cat([x, self.branches[0](x)], 1)

    for model, words in (
        (Dense(None), "it joins up to 2 tensors in 1 concatenation"),
        (wide(NOT_FOLLOWED["bmm"])[0], "bmm may add a branch to its shortcut"),
    ):
        with pytest.raises(UsageError, match=f"no residual units.*{words}"):
            require_units(residuum.unravel(model, *VECTORS), "x")
