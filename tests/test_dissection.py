"""A whole dissection: what it says against what is computed by hand, what is kept, what is told."""

import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import image_batch, lively, nested
from torch import nn

import residuum
from residuum.anatomy import Examples, applied, gradient_by_length, resume, without
from residuum.anatomy.statistics import student_mean
from residuum.cli import main
from residuum.dissection import Effort, dissect
from residuum.dissection.bench import Bench
from residuum.dissection.lesions import LESIONS
from residuum.dissection.structure import nests
from residuum.errors import NumericError, UsageError
from residuum.networks.resnet import cifar_resnet
from residuum.pages.dissection import Box, cell, render, tree
from residuum.results import Dissection, Nest, Unit
from residuum.storage import Lock
from residuum.subjects import Subject
from residuum.surgery import Target, greedy
from residuum.task import NextToken

SMALL = Effort(search_examples=6, gradient_examples=3, removals=2, draws=3)


def of_images(model: nn.Module, name: str = "small", n: int = 8) -> Subject:
    images, labels = image_batch(2 * n), torch.arange(2 * n) % 10
    train, test = (Examples(images[at], labels[at]) for at in (slice(n), slice(n, None)))
    return Subject(name, residuum.unravel(model, images[:2]), "noise", "image", train, test)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return lively(cifar_resnet(14, 10, width=4)).eval()


@pytest.fixture(scope="module")
def subject(network):
    return of_images(network)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dissection")


@pytest.fixture(scope="module")
def found(subject, folder):
    return dissect(subject, SMALL, folder)


class Decoder(nn.Module):
    """Reads tokens; two parallel branches in each unit."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.embedding = nn.Embedding(16, width)
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.head = nn.Linear(width, 16)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for first, second in zip(self.first, self.second, strict=True):
            x = x + first(x).tanh() + second(x).tanh()
        return self.head(x)


def of_tokens(model: nn.Module) -> Subject:
    tokens = torch.randint(0, 16, (12, 6), generator=torch.Generator().manual_seed(1))
    train, test = (Examples(part, part, NextToken()) for part in tokens.split(6))
    return Subject(
        "decoder", residuum.unravel(model, tokens[:2]), "tokens", "sequence", train, test
    )


def section(found: Dissection, item: str):
    return next(each for each in found.sections if each.item == item)


def losses(subject: Subject, units) -> torch.Tensor:
    test = subject.test
    with torch.no_grad(), applied(subject.model, without(subject.view, units)):
        return F.cross_entropy(subject.model(test.inputs), test.targets, reduction="none").double()


def test_lesions_are_those_computed_one_by_one(subject, found):
    base = losses(subject, [])
    assert found.loss[0] == pytest.approx(float(base.mean()), rel=1e-5)
    assert len(found.units) == 6
    for unit in found.units:
        difference = (losses(subject, [unit.number]) - base).numpy()
        expected = student_mean(difference, 7)  # intact and six lesions
        assert unit.change == pytest.approx((expected.value, expected.low, expected.high), rel=1e-3)
    series = section(found, "lesions").figure.series[0]
    assert series.y == tuple(unit.change[0] for unit in found.units)
    ranked = section(found, "lesions sorted").figure.series[0].y
    assert list(ranked) == sorted(series.y, reverse=True)


def test_the_gradient_by_length_is_that_of_the_polynomial(subject, found):
    test = subject.test.spread(3)
    whole = gradient_by_length(subject.model, test.inputs, test.targets)
    norms = whole.flatten(2).norm(dim=2)  # one is zero: no ReLU of the head is open to it
    expected = [float(row[row > 0].log().mean().exp()) for row in norms]
    assert len(section(found, "path product").notes) == int((norms == 0).any(1).sum())
    assert section(found, "path product").figure.series[0].y == pytest.approx(expected, rel=1e-4)
    counts = [math.comb(6, k) for k in range(7)]
    single = [value / count for value, count in zip(expected, counts, strict=True)]
    assert section(found, "path gradients").figure.series[0].y == pytest.approx(single, rel=1e-4)
    shares = [100 * count / 64 for count in counts]
    assert section(found, "path counts").figure.series[0].y == pytest.approx(shares)


def test_the_frontier_is_chosen_on_one_part_and_measured_on_the_other(subject, found):
    chosen = greedy(subject.view, subject.train.spread(6), Target(units=2))
    series = section(found, "frontier").figure.series[0]
    for step, y in zip(chosen, series.y[1:], strict=True):
        change = losses(subject, step.removed) - losses(subject, [])
        assert y == pytest.approx(float(change.mean()), rel=1e-3, abs=1e-6)
    whole = sum(p.numel() for p in subject.model.parameters())
    assert series.x == pytest.approx([100, *(100 * s.parameters / whole for s in chosen)])


def test_responses_are_the_sizes_of_what_meets_at_the_sum(subject, found):
    before, branch, after = section(found, "responses").figure.series
    for _, here in residuum.anatomy.activations(subject.view, subject.test.inputs):
        for number, each in enumerate(here):
            for series, tensor in zip(
                (before, branch, after), (each.before, each.branch, each.after), strict=True
            ):
                size = tensor.flatten(1).square().mean(1).sqrt().mean()
                assert series.y[number] == pytest.approx(float(size), rel=1e-4)


def test_what_is_kept_is_not_measured_again(subject, found, folder, told):
    assert dissect(subject, SMALL, folder) == found
    assert told == []
    parts = [json.loads(line)["what"] for line in (folder / "parts.jsonl").read_text().splitlines()]
    assert len(set(parts)) == len(parts) == 7
    (folder / "parts.jsonl").write_text(
        "".join((folder / "parts.jsonl").read_text().splitlines(True)[:3])
    )
    assert dissect(subject, SMALL, folder) == found  # stopped after three parts
    assert len(told) == 4


def test_a_part_that_was_stopped_goes_on_within(subject, tmp_path, monkeypatch):
    kept, seen, put = resume.Measured, [], resume.Measured.__setitem__
    whole = Bench(subject, None).value(LESIONS)

    def counted(self, number, value):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(self.names[number])
        put(self, number, value)

    monkeypatch.setattr(kept, "__setitem__", counted)
    with pytest.raises(KeyboardInterrupt):
        Bench(subject, tmp_path).value(LESIONS)
    assert [path.name for path in tmp_path.iterdir()] == [".sweeps"]
    first, seen = seen, []
    monkeypatch.setattr(kept, "__setitem__", lambda *each: (seen.append(each[1]), put(*each)))
    assert Bench(subject, tmp_path).value(LESIONS) == whole
    assert len(first) + len(seen) == len(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["parts.jsonl"]


def test_a_folder_is_of_one_model_and_one_data(subject, found, folder, tmp_path, monkeypatch):
    Bench(subject, folder).require_own()
    for change in ({"data": "other images"}, {"name": "large"}):
        with pytest.raises(UsageError, match=f"holds the dissection of small on {subject.data}"):
            Bench(replace(subject, **change), folder).require_own()
    (tmp_path / "model").mkdir()  # the folder of a model has many names
    monkeypatch.chdir(tmp_path)
    for name in ("model", "./model", "model/", str(tmp_path / "model")):
        assert Bench(replace(subject, name=name), None).title == f"model on {subject.data}"


def test_another_model_is_measured_anew(network, subject, found, folder, told):
    kept = replace(subject, train=subject.train.spread(6))
    assert Bench(kept, folder).value(LESIONS)[0].loss.value == found.loss[0]
    assert told == []
    changed = lively(cifar_resnet(14, 10, width=4)).eval()
    changed.load_state_dict(network.state_dict())
    with torch.no_grad():
        next(changed.parameters())[0] += 0.5
    other = replace(kept, view=residuum.unravel(changed, subject.test.inputs))
    assert Bench(other, folder).value(LESIONS)[0].loss.value != found.loss[0]
    Bench(replace(kept, test=subject.train), folder).value(LESIONS)  # other examples
    assert told == ["small: lesions"] * 2


def test_a_dissection_is_saved_and_read(found, tmp_path):
    found.save(tmp_path / "dissection.json")
    assert Dissection.load(tmp_path / "dissection.json") == found
    (tmp_path / "dissection.json").write_text('{"schema": 2}')
    with pytest.raises(UsageError, match="damaged"):
        Dissection.load(tmp_path / "dissection.json")


def test_text_has_a_loss_and_a_perplexity_and_no_error():
    torch.manual_seed(0)
    found = dissect(of_tokens(Decoder()), replace(SMALL, removals=1))
    assert found.error is None
    assert found.perplexity[0] == pytest.approx(math.exp(found.loss[0]))
    assert {unit.terms for unit in found.units} == {2}
    assert all(unit.error is None for unit in found.units)
    assert not [s.item for s in found.sections if "error" in s.item]
    assert section(found, "path counts").finding.startswith("27 paths")  # (1 + 2 t)^3
    page = render(found)
    assert "perplexity" in page
    assert "test error" not in page
    assert "2 branches" in page


def test_a_model_without_units_gets_a_page_that_says_so():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    plain(image_batch(1))
    found = dissect(of_images(plain.eval(), "plain"), SMALL)
    assert found.units == ()
    assert [s.item for s in found.sections] == ["structure"]
    assert "no residual unit" in found.summary[0]
    assert "no residual unit" in render(found)


class Unfollowed(nn.Module):
    """No gradient comes back through it; at its end it joins a tensor to what was made of it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        with torch.no_grad():
            for layer in self.layers:
                x = x + layer(x.relu())
            x = torch.cat([x, self.layers[0](x)], 1).mean((2, 3))
        return self.head(x)


def test_what_a_model_does_not_allow_is_told_and_the_rest_goes_on(told):
    found = dissect(of_images(Unfollowed().eval(), "unfollowed"), SMALL)
    refused = {s.item: s.refused for s in found.sections if s.refused}
    assert refused.keys() == {"path gradients"}
    assert any("gradients: not done" in line for line in told)
    assert section(found, "frontier").figure is not None
    rows = section(found, "structure").table.rows
    assert [row[0] for row in rows] == ["concatenation"]
    page = render(found)
    assert "Not done for this model." in page


def test_a_loss_that_is_not_finite_is_an_error():
    broken = lively(cifar_resnet(8, 10, width=4)).eval()
    with torch.no_grad():
        [*broken.parameters()][-1].fill_(torch.nan)
    with pytest.raises(NumericError, match="the intact model's loss is not finite"):
        dissect(of_images(broken, "broken"), SMALL)


def test_one_example_is_refused(subject):
    with pytest.raises(UsageError, match="interval needs two"):
        dissect(replace(subject, test=subject.test.spread(1)), SMALL)


def test_nests_are_boxes_in_boxes():
    boxes = list(nests(residuum.unravel(nested(units=2)).expression))
    assert [(n.first, n.last) for n in boxes] == [(0, 5), (0, 1), (2, 3), (4, 5)]
    units = [Unit(i, "1 to 1", 0, "identity, sum") for i in range(7)]
    (whole, last) = tree(units, boxes)
    assert isinstance(whole, Box)
    assert [[u.number for u in box.inside] for box in whole.inside] == [[0, 1], [2, 3], [4, 5]]
    assert last == units[6]
    assert tree(units[:2], [Nest(1, 1, "one")])[1].inside == [units[1]]


@pytest.mark.parametrize(
    ("change", "classes"),
    [
        (None, "unknown"),
        ((4.0, 3.0, 5.0), "h20"),
        ((1.0, 0.5, 1.5), "h10"),  # the root of a quarter
        ((0.0, -1.0, 1.0), "h0 quiet"),
        ((-1.0, -2.0, -0.5), "helps"),
    ],
)
def test_a_cell_shows_harm_doubt_and_help(change, classes):
    assert cell(Unit(0, "1 to 1", 0, "identity, sum", change=change), 4.0) == classes


def tiny() -> nn.Module:
    """The function that a command line names below."""
    torch.manual_seed(0)
    return lively(cifar_resnet(8, 10, width=4)).eval()


def call(capsys, *words) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["dissect", "test_dissection:tiny", *map(str, words)])
    return left.value.code, *capsys.readouterr()


def test_the_command_writes_a_page_and_goes_on_where_it_was_stopped(capsys, tmp_path, monkeypatch):
    # drawings take seconds; tests/test_browser.py looks at them
    monkeypatch.setattr("residuum.pages.dissection.write_figures", lambda *_: None)
    monkeypatch.setattr("residuum.pages.dissection.drawn_for_page", lambda *_: {})
    small = ["--examples", 8, "--search-examples", 6, "--gradient-examples", 2, "--draws", 2]
    code, out, err = call(capsys, "--data", "digits", "--output", tmp_path / "page", *small)
    assert code == 0, err
    assert out.splitlines()[-1] == f"page: {tmp_path / 'page' / 'report.html'}"
    assert "without 0" in out
    assert "error" in out.splitlines()[0]
    written = Dissection.load(tmp_path / "page" / "dissection.json")
    assert set(written.provenance) >= {"model", "weights", "data sha256"}
    assert (tmp_path / "page" / "report.html").read_text().startswith("<!doctype html>")
    lines = (tmp_path / "page" / "parts.jsonl").read_text()
    code, again, err = call(
        capsys, "--data", "digits", "--output", tmp_path / "page", *small, "--json"
    )
    assert "is replaced" not in err
    found = json.loads(again)
    assert (code, found["dissection"]["loss"][0]) == (0, written.loss[0])
    assert (tmp_path / "page" / "parts.jsonl").read_text() == lines
    monkeypatch.setattr("residuum.pages.write_dissection", lambda *_: None)
    with pytest.raises(UsageError, match="holds the dissection of test_dissection:tiny on digits"):
        residuum.dissect("preresnet8", data="digits", output=tmp_path / "page", examples=8)
    whole = dict(written.provenance) | {"weights": "others"}
    replace(written, provenance=whole).save(tmp_path / "page" / "dissection.json")
    assert (
        "of other weights or examples, and is replaced"
        in call(capsys, "--data", "digits", "--output", tmp_path / "page", *small)[2]
    )


def test_a_folder_with_something_else_is_left_alone(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    code, _, err = call(capsys, "--data", "digits", "--output", tmp_path)
    assert code == 2
    assert "holds something else" in err
    for wrong in (("--draws", 1), ("--examples", 1)):
        assert call(capsys, "--data", "digits", "--output", tmp_path / "new", *wrong)[0] == 2
    assert not (tmp_path / "new").exists()
    with Lock(tmp_path):
        (tmp_path / "parts.jsonl").write_text("")
        assert call(capsys, "--data", "digits", "--output", tmp_path)[0] == 8
