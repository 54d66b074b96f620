"""The whole way at smoke scale: two commands' worth of work, and what a stranger may put in."""

import json
import xml.etree.ElementTree as ET

import pytest

from residuum.data import load
from residuum.data.images import Dataset
from residuum.errors import UsageError
from residuum.experiments.bench import Bench
from residuum.pages.page import render
from residuum.results import Study
from residuum.studies.run import Request, run_study
from residuum.training import Machine
from residuum.verbs import plan, report, study

CPU = Machine(device="cpu", threads=1)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return study(
        "veit2016",
        scale="smoke",
        output=folder,
        machine=CPU,
        workers=2,
        store=folder.parent / "store",
    )


def test_every_figure_is_there_with_the_papers_value(done):
    found, page = done
    items = [r.item for r in found.results]
    wanted = [
        "figure 3",
        "figure 5a",
        "figure 5b",
        "figure 6a",
        "figure 6b",
        "figure 6c",
        "figure 7",
        "numbers in the text",
    ]
    assert items[:8] == wanted
    assert all(r.claim.paper and r.claim.ours and r.claim.verdict and r.n for r in found.results)
    assert [n.role for n in found.networks] == ["residual", "plain twin", "VGG"]
    assert [len(n.units) for n in found.networks] == [9, 9, 13]
    assert page.exists()


def test_exact_results_are_exact(done):
    by_item = {r.item: r for r in done[0].results}
    assert "98.02 %" in by_item["figure 6a"].claim.ours
    assert by_item["figure 7"].table.rows[1][1:4] == ("0.343", "0.080", "0.015")
    assert by_item["numbers in the text"].table.rows[1][2] == "0.4537 %"
    assert "9.77e-04" in by_item["numbers in the text"].table.rows[2][2]


def test_a_study_survives_json(done):
    found, page = done
    loaded = Study.load(page.parent / "study.json")
    assert json.dumps(json.loads((page.parent / "study.json").read_text())) == json.dumps(
        json.loads((page.parent / "study.json").read_text())
    )
    assert loaded.results[0].figure.series == found.results[0].figure.series
    assert render(loaded) == page.read_text()
    assert report(page.parent) == page


def test_a_second_study_trains_and_measures_nothing(done, tmp_path, monkeypatch):
    store = done[1].parent.parent / "store"
    log = (store / "jobs.jsonl").read_bytes()
    monkeypatch.setattr("residuum.training.loop.Trainer.advance", None)
    monkeypatch.setattr("residuum.experiments.probe.Probe.measure", None)
    again, _ = study(
        "veit2016", scale="smoke", output=tmp_path / "elsewhere", machine=CPU, store=store
    )
    assert again.results == done[0].results
    assert again.networks == done[0].networks
    assert (store / "jobs.jsonl").read_bytes() == log
    assert all(
        p.done and not p.to_measure
        for p in plan("veit2016", scale="smoke", machine=CPU, store=store)
    )


def test_the_studys_folder_holds_what_it_shows_and_nothing_else(done):
    folder = done[1].parent
    assert sorted(p.name for p in folder.iterdir()) == ["figures", "report.html", "study.json"]
    keys = [
        json.loads(line)["key"]
        for line in (folder.parent / "store" / "jobs.jsonl").read_text().splitlines()
    ]
    assert len(keys) == len(set(keys)) == 16


def test_data_too_small_for_a_batch_is_refused_before_any_work(tmp_path, monkeypatch):
    digits = load("digits")
    few = Dataset("few", digits.train.first(16), digits.test.first(16), digits.classes)
    monkeypatch.setattr("residuum.presets.catalogue.Preset.build", None)  # nothing is built
    bench = Bench(tmp_path / "store", few, CPU)
    with pytest.raises(UsageError, match="larger than the training part of few, 16 images"):
        run_study(Request("veit2016", "smoke"), bench, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_a_plan_prices_and_writes_nothing(tmp_path):
    from residuum.cli.studies import Planned, _plan_words
    from residuum.verbs import Scope

    priced = plan("veit2016", scale="smoke", machine=CPU, store=tmp_path / "x")
    assert [p.trial.preset for p in priced] == ["preresnet20", "preplain20", "vgg15", "preresnet20"]
    assert [p.to_measure for p in priced] == [7, 4, 3, 2]
    assert all(p.seconds > 0 and p.flops > 1e9 and not p.done and not p.measured for p in priced)
    assert not (tmp_path / "x").exists()
    head, first, *_, total = _plan_words(Planned("veit2016", Scope(), priced)).splitlines()
    assert head.split()[:3] == ["network", "recipe", "seed"]
    assert "0 of 7" in first
    assert "with 1 worker;" in total


def test_provenance_lists_every_training(done):
    told = done[0].provenance
    assert told["seeds"] == [0]
    assert {"processor", "instructions"} < told["machine"].keys()
    trials = {trial["role"]: trial for trial in told["trials"]}
    assert [trial["seed"] for trial in trials.values()] == [0] * 4
    assert trials["untrained control"]["recipe"] == "untrained"
    assert len({trial["weights sha256"] for trial in trials.values()}) == 4


def test_the_control_has_its_initial_weights_and_settled_statistics(done):
    import torch

    from residuum.presets import preset
    from residuum.training import Run

    store = done[1].parent.parent / "store"
    runs = [Run.open(file.parent) for file in store.glob("*/done.json")]
    (control,) = (run for run in runs if run.recipe.name == "untrained")
    initial = preset("preresnet20", 10, seed=0).state_dict()
    for name, tensor in control.weights().items():
        if "running" in name:
            assert not torch.equal(tensor, initial[name])
        elif "num_batches" not in name:
            assert torch.equal(tensor, initial[name]), name


def test_seeds_are_trainings_of_their_own():
    from residuum.data import load
    from residuum.studies import Request

    digits = load("digits")
    assert len(Request("veit2016").trials(digits)) == 4 * 3
    request = Request("veit2016", "smoke", seed=5, seeds=2)
    trials = request.trials(digits)
    setting = request.setting(trials, digits)
    assert setting.seeds == (5, 6)
    assert setting.seed_words == "seeds 5, 6"
    assert [seed for _, seed in trials] == [5, 6] * 4
    assert [trial.recipe.seed for trial in trials.values()] == [5, 6] * 4
    jobs = request.jobs(setting, trials)
    assert [job.trial for job in jobs] == list(trials.values())
    assert jobs[0].probes == jobs[1].probes


def test_figures_are_images(done):
    figures = done[1].parent / "figures"
    for result in done[0].results:
        if result.figure is not None:
            svg, png = (figures / f"veit2016-{result.slug}.{kind}" for kind in ("svg", "png"))
            ET.parse(svg)
            assert png.read_bytes().startswith(b"\x89PNG")


def test_studies_from_strangers_are_refused(tmp_path):
    for content in (
        "",
        "[]",
        "{}",
        '{"schema": 1}',
        '{"schema": 9}',
        '{"schema": 1, "name": 3, "evil": 1}',
    ):
        (tmp_path / "study.json").write_text(content)
        with pytest.raises(UsageError):
            Study.load(tmp_path / "study.json")


def test_fewer_examples_are_of_every_class():
    """Class folders come sorted by class: a subset must be spread over them, or a figure shows one
    class alone."""
    import torch

    from residuum.anatomy import Examples

    targets = torch.arange(10).repeat_interleave(100)
    for n in (10, 37, 200, 1000, 5000):
        few = Examples(targets.float()[:, None], targets).spread(n)
        assert len(few.targets) == min(n, 1000)
        assert torch.equal(few.inputs[:, 0].long(), few.targets)
        counts = few.targets.bincount(minlength=10)
        assert counts.max() - counts.min() <= 1
    assert len(Examples(targets, targets).spread(None)) == 1000
