"""Items shown from JSON: the numbers that claims name, what turns a verdict, and that none of it
needs torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from residuum.anatomy.statistics import Rate
from residuum.errors import CheckpointError
from residuum.experiments.probe import MEASUREMENTS, Deletions, Probe, delete_each
from residuum.reader import build, plain
from residuum.results import Study
from residuum.studies import STUDIES
from residuum.studies.study import (
    CONTROL,
    PLAIN,
    RESIDUAL,
    VGG,
    Setting,
    Values,
    each_unit,
    network_map,
)

FIXTURE = Path(__file__).parent / "fixtures" / "veit2016.json"
PAPER = STUDIES["veit2016"]
ITEMS = {item.name: item for item in PAPER.items}


def frozen(value):
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def read_fixture() -> tuple[Setting, Values]:
    """Three seeds, as tests/fixtures/write.py says."""
    content = json.loads(FIXTURE.read_text())
    setting = build(content["setting"], Setting, "setting", CheckpointError)
    found = {}
    for entry in content["values"]:
        arguments = tuple(sorted((name, frozen(v)) for name, v in entry["arguments"].items()))
        probe = Probe(entry["what"], arguments)
        found[entry["role"], probe] = tuple(map(probe.read, entry["values"]))
    return setting, Values(found)


SETTING, VALUES = read_fixture()


def shown(name: str, setting: Setting = SETTING, values: Values = VALUES):
    return ITEMS[name].show(setting, values)


def changed(name: str, role: str, change, seeds=(0, 1, 2), what: str = "") -> Values:
    """The fixture with the value of an item's need of this role replaced, for some seeds."""
    need = next(n for n in ITEMS[name].needs(SETTING) if n[0] == role and what in n[1].what)
    values = tuple(change(v) if i in seeds else v for i, v in enumerate(VALUES.found[need]))
    return Values(VALUES.found | {need: values})


def verdicts_of(name: str, role: str, change, what: str = "") -> tuple[str, str]:
    """With the change in every seed, and in the second one alone."""
    return tuple(
        shown(name, values=changed(name, role, change, seeds, what)).claim.verdict
        for seeds in ((0, 1, 2), (1,))
    )


OPEN = "not decidable at this scale"


def test_the_fixture_is_what_the_items_need():
    assert set(PAPER.needs(SETTING)) == set(VALUES.found)


def test_values_survive_json():
    for (_, probe), values in VALUES.found.items():
        for value in values:
            assert probe.read(json.loads(json.dumps(plain(value)))) == value


def test_the_fixture_is_what_its_program_writes(tmp_path, monkeypatch):
    from tests.fixtures import write

    monkeypatch.setattr(write, "__file__", str(tmp_path / "write.py"))
    write.main()
    assert (tmp_path / "veit2016.json").read_text() == FIXTURE.read_text()


def test_every_claim_names_its_seeds():
    for name in ITEMS:
        found = shown(name)
        assert found.n == "exact" or "seeds 7, 8, 9" in found.n
    alone = replace(SETTING, seeds=(7,))
    values = Values({need: found[:1] for need, found in VALUES.found.items()})
    assert "seed 7;" in shown("figure 3", alone, values).n
    assert shown("figure 3", alone, values).claim.verdict == "reproduced"
    assert shown("learning curves", alone, values).claim.verdict == OPEN


def test_every_item_bears_its_name_and_shows_the_same_twice():
    for name, item in ITEMS.items():
        assert item.show(SETTING, VALUES).item == name
        assert item.show(SETTING, VALUES) == item.show(SETTING, VALUES)


# ---- figure 3 ----


def test_figure_3():
    found = shown("figure 3")
    assert found.claim.verdict == "reproduced"
    assert "one of the 4 units that keep the resolution" in found.finding
    assert "of preresnet14 by +0.65 points" in found.finding
    assert "vgg6 errs on 82 % to 91 % without one layer" in found.finding
    row = ("preresnet14", 7, 6, "10.00 %", "0.75 %", "15.00 % (unit 2)", 6)
    assert found.table.rows[0] == row
    assert [r[:2] for r in found.table.rows[5:7]] == [("preplain14", 9), ("vgg6", 7)]
    series = found.figure.series[0]
    assert series.x == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert series.y[5] == pytest.approx((10.8 + 10.9 + 11.0) / 3)
    assert series.low[5] == pytest.approx(100 * Rate(216, 2000).interval[0])
    assert series.high[5] == pytest.approx(100 * Rate(220, 2000).interval[1])
    assert "16.2" not in series.labels[5]
    assert "10.8 [" in series.labels[5]
    assert found.figure.series[1].y == pytest.approx((10.05, 10.05))


def worse(unit: int, by: int):
    def change(value: Deletions) -> Deletions:
        one = value.each[unit]
        more = replace(one.change, worse=one.change.worse + by)
        mended = replace(one, change=more, error=Rate(one.error.count + by, one.error.n))
        return replace(value, each=(*value.each[:unit], mended, *value.each[unit + 1 :]))

    return change


def test_figure_3_where_the_residual_network_suffers():
    assert verdicts_of("figure 3", RESIDUAL, worse(3, 200)) == ("not reproduced", OPEN)
    assert verdicts_of("figure 3", RESIDUAL, worse(3, 26)) == (OPEN, OPEN)
    found = shown("figure 3", values=changed("figure 3", RESIDUAL, worse(3, 200), (1,)))
    assert "none / 3 (+10.7) / none" in found.finding


def test_units_that_halve_the_resolution_may_cost_more():
    assert verdicts_of("figure 3", RESIDUAL, worse(2, 500)) == ("reproduced", "reproduced")


def test_figure_3_where_vgg_survives_or_did_not_learn():
    assert verdicts_of("figure 3", VGG, worse(1, -500)) == ("not reproduced", OPEN)
    unlearned = verdicts_of("figure 3", VGG, lambda v: replace(v, intact=Rate(890, 2000)))
    assert unlearned == (OPEN, OPEN)


# ---- figure 5 ----


def errors(change):
    """Every deletion's or order's count of errors, as a function of it."""

    def changed(value):
        name = "each" if hasattr(value, "each") else "orders"
        rows = tuple(replace(d, error=Rate(change(d), d.error.n)) for d in getattr(value, name))
        return replace(value, **{name: rows})

    return changed


def test_figure_5a():
    found = shown("figure 5a")
    assert found.claim.verdict == "reproduced"
    assert found.finding.startswith("Deleting 1 of 6 units at random gives 19.7 [")
    assert "With unit 2 kept, the one that matters most, it is 14.8 % with 1" in found.finding
    curve, kept, intact = found.figure.series
    with_it, without = (200 + 680 + 15) / 20, (200 + 80 + 15) / 20
    at_one = with_it / 6 + without * 5 / 6
    assert curve.y[1] == pytest.approx(at_one + 0.05)  # the middle seed has one error more
    assert kept.y[1] == pytest.approx(without + 0.05)
    assert curve.x == kept.x == (0, 1, 2, 3)
    assert intact.y == pytest.approx((10.0, 10.0))


def test_figure_5a_needs_an_error_that_rises_and_stays_low():
    falls = errors(lambda d: 200 + 100 * (3 - len(d.deleted)) + d.error.count % 7)
    assert verdicts_of("figure 5a", RESIDUAL, falls) == ("not reproduced", OPEN)
    high = errors(lambda d: d.error.count + (1200 if d.deleted else 0))
    assert verdicts_of("figure 5a", RESIDUAL, high) == ("not reproduced", OPEN)
    unlearned = verdicts_of("figure 5a", RESIDUAL, lambda v: replace(v, intact=Rate(880, 2000)))
    assert unlearned == (OPEN, OPEN)


def test_figure_5b():
    found = shown("figure 5b")
    assert found.claim.verdict == "reproduced"
    assert "1.000 and 35 %" in found.claim.ours
    points, curve, kept, intact = found.figure.series
    assert len(points.x) == 4 * 8
    assert curve.x == (0.855, 0.755, 0.555, 0.355)
    assert curve.y[0] == pytest.approx((200 + 80 + 22.5 + 1) / 20)
    assert kept.y[0] == pytest.approx((200 + 80 + 25 + 1) / 20)
    assert intact.x == (0.355, 0.855)


def test_figure_5b_needs_a_smooth_rise():
    jumps = errors(lambda r: r.error.count + (600 if r.swaps > 1 else 0))
    assert verdicts_of("figure 5b", RESIDUAL, jumps, "reorder") == ("not reproduced", OPEN)
    falls = errors(lambda r: 1200 - r.error.count)
    assert verdicts_of("figure 5b", RESIDUAL, falls, "reorder") == ("not reproduced", OPEN)


# ---- paths ----


def test_exact_items():
    assert shown("figure 6a").claim.ours == "98.02 %"
    assert sum(shown("figure 6a").figure.series[0].y) == pytest.approx(100)
    assert shown("figure 7").table.rows[1] == (10, "0.343", "0.080", "0.015", "0.000")
    rows = shown("numbers in the text").table.rows
    assert rows[1][2] == "0.4537 %"
    assert rows[2][2] == "2^44, 9.77e-04"
    assert rows[4][2].startswith("10.00 % [8.76, 11.39] / 10.05 %")
    assert rows[4][3] == "another network or data: not one scale"


def scaled(by):
    """Path norms times by(length)."""

    def change(value):
        norms = tuple(
            tuple(tuple(v * by(k) for k, v in enumerate(row)) for row in rows)
            for rows in value.norms
        )
        return replace(value, norms=norms)

    return change


def test_figure_6b():
    found = shown("figure 6b")
    assert "local factors 0.50-0.50 a unit; untrained control 0.90-0.90" in found.claim.ours
    assert found.claim.verdict == "reproduced"
    mean, rms, uniform, control = found.figure.series
    sizes = 2**3.5  # geometric mean of 1, 2, ..., 128
    assert mean.y[0] == pytest.approx(2 * sizes)
    assert mean.y[3] == pytest.approx(2 * sizes / 8, rel=0.01)
    assert rms.y[0] == pytest.approx(3 * sizes)
    assert uniform.y == pytest.approx([60 * 0.5**k for k in range(7)])
    assert control.y[3] == pytest.approx(2 * sizes * 0.9**3, rel=0.02)


def test_figure_6b_needs_one_factor_below_one():
    grows = verdicts_of("figure 6b", RESIDUAL, scaled(lambda k: 4.0**k))
    assert grows == ("not reproduced", OPEN)
    bends = verdicts_of("figure 6b", RESIDUAL, scaled(lambda k: 0.3 ** max(0, k - 3)))
    assert bends == ("not reproduced", OPEN)


def test_figure_6c():
    found = shown("figure 6c")
    assert found.claim.verdict == "reproduced"
    assert found.claim.ours.startswith("published: 0-4 of 6; orthogonal: 0-4 of 6; exact")
    assert "at length 3 the gradient that arrives is 0.25 [0.25, 0.25] of" in found.finding
    assert "paper's 5-17 of 54 scale to 0.6-1.9" in found.finding
    assert found.figure.series[0].y[2] == pytest.approx(100 * 15 * 0.25 / 1.5**6, rel=0.01)
    assert "as many as 2.9 of 8" in found.notes[2]
    assert [span.first for span in found.figure.spans] == [0, 0, pytest.approx(5 / 9)]
    late = verdicts_of("figure 6c", RESIDUAL, scaled(lambda k: 6.0**k))
    assert late == ("not reproduced", OPEN)


# ---- other papers' items ----


def test_learning_curves():
    found = shown("learning curves")
    assert "20.00 % / 21.00 % / 22.00 % plain, 5.00 % / 6.00 %" in found.claim.ours
    assert found.claim.verdict == "reproduced"
    names = [s.name for s in found.figure.series[:2]]
    assert names == ["preresnet14, test", "preresnet14, train"]
    assert found.figure.series[1].y == pytest.approx((50, 25, 6))


def trained_to(error: float):
    def change(value):
        last = replace(value.epochs[-1], train_error=error)
        return replace(value, epochs=(*value.epochs[:-1], last))

    return change


def test_a_twin_is_compared_over_seeds_and_only_where_it_trained():
    assert verdicts_of("learning curves", PLAIN, trained_to(0.01)) == ("not reproduced", OPEN)
    assert verdicts_of("learning curves", PLAIN, trained_to(0.46)) == (OPEN, OPEN)
    assert verdicts_of("layer responses", PLAIN, trained_to(0.46), "record") == (OPEN, OPEN)


def test_first_layer_gradient():
    found = shown("first-layer gradient")
    assert found.claim.ours.split("; ")[2] == "vgg6 2.00e-02 to 5.00e-03"
    assert found.figure.series[2].x == (1, 2, 3)
    assert found.claim.verdict == "measured"


def test_layer_responses():
    found = shown("layer responses")
    assert found.claim.ours == "median 0.400 / 0.404 / 0.408 residual, 0.800 / 0.792 / 0.784 plain"
    assert found.claim.verdict == "reproduced"
    assert found.n.startswith("500 test images")


# ---- the rest ----


def test_the_map_of_units():
    residual = network_map(SETTING, SETTING.members[0], VALUES)
    assert (residual.test_error, residual.n, residual.parameters) == (10.0, 2000, 175000)
    assert residual.role == "residual, seed 7"
    assert residual.units[2].shape == "16x8x8 to 32x4x4"
    assert residual.units[2].error == 25.0
    assert residual.units[2].low < 25.0 < residual.units[2].high


def test_what_items_share_is_asked_for_once():
    from residuum.experiments.bench import union

    needs = PAPER.needs(SETTING)
    jobs = union((role, probe) for role, probe in needs)  # type: ignore[misc]
    assert [job.trial for job in jobs] == [RESIDUAL, PLAIN, VGG, CONTROL]
    asked = [probe.what for probe in jobs[0].probes]
    assert sorted(asked) == sorted(MEASUREMENTS)
    assert [probe.what for probe in jobs[3].probes] == ["record", "path gradients"]
    assert len(needs) > sum(len(job.probes) for job in jobs)
    assert each_unit(SETTING) == delete_each(examples=2000)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_items
results = test_items.PAPER.show(test_items.SETTING, test_items.VALUES)
print(len(results), "torch" in sys.modules, "residuum.training" in sys.modules)
"""


def test_showing_needs_no_torch():
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == [str(len(ITEMS)), "False", "False"], done.stderr[-2000:]


@pytest.mark.parametrize("name", ["digits-laptop", "cifar10-jpeg-laptop"])
def test_recorded_results_still_load(name):
    study = Study.load(Path(__file__).parents[1] / "results" / name / "study.json")
    assert [r.item for r in study.results] == list(ITEMS)
