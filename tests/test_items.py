"""Items shown from JSON: the numbers that claims name, what turns a verdict, and that none of it
needs torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from residuum.anatomy.measures import PathGradients
from residuum.anatomy.statistics import Rate
from residuum.errors import CheckpointError
from residuum.experiments.probe import MEASUREMENTS, Deletions, Probe, delete_each
from residuum.reader import build, plain
from residuum.results import Study
from residuum.studies import STUDIES
from residuum.studies.study import PLAIN, RESIDUAL, VGG, Setting, Values, each_unit, network_map

FIXTURE = Path(__file__).parent / "fixtures" / "veit2016.json"
PAPER = STUDIES["veit2016"]
ITEMS = {item.name: item for item in PAPER.items}


def frozen(value):
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def read_fixture() -> tuple[Setting, Values]:
    content = json.loads(FIXTURE.read_text())
    setting = build(content["setting"], Setting, "setting", CheckpointError)
    found = {}
    for entry in content["values"]:
        arguments = tuple(sorted((name, frozen(v)) for name, v in entry["arguments"].items()))
        probe = Probe(entry["what"], arguments)
        found[entry["role"], probe] = probe.read(entry["value"])
    return setting, Values(found)


SETTING, VALUES = read_fixture()


def shown(name: str, setting: Setting = SETTING, values: Values = VALUES):
    return ITEMS[name].show(setting, values)


def changed(name: str, role: str, change) -> Values:
    """The fixture with the value of an item's first need of this role replaced."""
    need = next(n for n in ITEMS[name].needs(SETTING) if n[0] == role)
    return Values(VALUES.found | {need: change(VALUES.found[need])})


def test_the_fixture_is_what_the_items_need():
    assert set(PAPER.needs(SETTING)) == set(VALUES.found)


def test_values_survive_json():
    for (_, probe), value in VALUES.found.items():
        assert probe.read(json.loads(json.dumps(plain(value)))) == value


def test_every_item_bears_its_name_and_shows_the_same_twice():
    for name, item in ITEMS.items():
        assert item.show(SETTING, VALUES).item == name
        assert item.show(SETTING, VALUES) == item.show(SETTING, VALUES)


# ---- figure 3 ----


def test_figure_3():
    found = shown("figure 3")
    assert found.claim.verdict == "reproduced"
    assert (
        "by +2.00 points (median of 6 units) in preresnet14 and by +76.5 points in vgg6"
        in found.finding
    )
    assert "preresnet14: median +2.0 points, worst +10.0" in found.claim.ours
    assert found.table.rows[0] == ("preresnet14", 6, "10.00 %", "2.00 %", "10.00 % (unit 5)", 0)
    assert found.table.rows[2][:3] == ("vgg6", 4, "12.00 %")
    assert found.table.rows[2][5] == 4
    assert found.figure.series[0].x == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert found.figure.series[0].y == (11.0, 11.0, 12.0, 12.0, 13.0, 20.0)


def worse(value: Deletions, unit: int, by: int) -> Deletions:
    one = value.each[unit]
    change = replace(one.change, worse=one.change.worse + by)
    mended = replace(one, change=change, error=Rate(one.error.count + by, one.error.n))
    return replace(value, each=(*value.each[:unit], mended, *value.each[unit + 1 :]))


def test_figure_3_is_not_reproduced_where_the_residual_network_suffers():
    values = changed("figure 3", RESIDUAL, lambda v: worse(v, 2, 1))
    assert shown("figure 3", values=values).claim.verdict == "not reproduced"


def test_figure_3_is_not_decidable_where_vgg_did_not_learn():
    values = changed("figure 3", VGG, lambda v: replace(v, intact=Rate(45, 100)))
    assert shown("figure 3", values=values).claim.verdict == "not decidable at this scale"


# ---- figure 5 ----


def test_figure_5a():
    found = shown("figure 5a")
    assert found.claim.verdict == "reproduced"
    assert found.finding.startswith(
        "Deleting 1 of 6 units at random gives 15.0 % [2.3, 27.7] error, 2 units 24.0 %"
    )
    assert found.claim.ours.endswith("Spearman 1.000")
    assert found.figure.series[0].y == pytest.approx((10.0, 15.0, 24.0, 45.0))
    assert found.figure.series[1].y == (10.0, 10.0)


def test_figure_5a_needs_an_error_that_rises():
    def falls(value: Deletions) -> Deletions:
        return replace(
            value,
            each=tuple(d if d.deleted else replace(d, error=Rate(44, 100)) for d in value.each),
        )

    values = changed("figure 5a", RESIDUAL, falls)
    assert shown("figure 5a", values=values).claim.verdict == "not reproduced"


def test_figure_5b():
    found = shown("figure 5b")
    assert found.claim.verdict == "reproduced"
    assert "Spearman correlation of tau and error -1.000 over 14 orders" in found.claim.ours
    assert found.figure.series[1].x == (0.88, 0.77, 0.68, 0.57, 0.48, 0.37, 0.27)
    assert found.figure.series[1].y[0] == pytest.approx(14.0)


def test_figure_5b_needs_a_correlation():
    def level(value):
        return replace(value, orders=tuple(replace(o, error=Rate(30, 100)) for o in value.orders))

    values = changed("figure 5b", RESIDUAL, level)
    assert shown("figure 5b", values=values).claim.verdict == "not reproduced"


# ---- paths ----


def test_exact_items():
    assert shown("figure 6a").claim.ours == "98.02 %"
    assert sum(shown("figure 6a").figure.series[0].y) == pytest.approx(100)
    assert shown("figure 7").table.rows[1] == (10, "0.343", "0.080", "0.015", "0.000")
    rows = shown("numbers in the text").table.rows
    assert rows[1][2] == "0.4537 %"
    assert rows[2][2] == "2^44, 9.77e-04"
    assert rows[4][2:] == (
        "10.00 % [5.52 %, 17.44 %], ten signs, preresnet14",
        "another network or data: not one scale",
    )


def totals(value: PathGradients, norms: list[float]) -> PathGradients:
    """With these mean norms of single paths, in all examples."""
    one = tuple(c * float(m) for c, m in zip(value.counts, norms, strict=True))
    return replace(value, norms=((one,) * value.n,) * 2)


def test_figure_6b_fits_the_decay():
    found = shown("figure 6b")
    assert found.claim.ours == "factor 0.50 a unit, R² 1.000"
    assert found.claim.verdict == "reproduced"
    grown = changed("figure 6b", RESIDUAL, lambda v: totals(v, [2.0**k for k in range(7)]))
    assert shown("figure 6b", values=grown).claim.verdict == "not reproduced"


def test_figure_6c_adds_counts_times_norms():
    found = shown("figure 6c")
    total = 2 * 1.5**6  # the sum of C(6, k) 2 / 2^k
    assert found.table.rows[0][3] == f"{total:.3g}"
    assert found.figure.series[0].y[2] == pytest.approx(100 * 15 * 0.5 / total)
    assert found.claim.ours.startswith("published: 0-4 of 6")
    assert found.claim.verdict == "reproduced"
    assert (
        "at length 3 the gradient that really arrives is 0.8 of the sum of norms" in found.finding
    )
    late = changed("figure 6c", RESIDUAL, lambda v: totals(v, [0, 0, 0, 0, 1, 1, 1]))
    assert shown("figure 6c", values=late).claim.verdict == "not reproduced"


# ---- other papers' items ----


def test_learning_curves():
    found = shown("learning curves")
    assert found.claim.ours == "training error 20.00 % plain, 5.00 % residual"
    assert found.claim.verdict == "reproduced"
    assert found.n == "one run each, seed 7"
    assert [s.name for s in found.figure.series[:2]] == ["preresnet14, test", "preresnet14, train"]

    def better(value):
        return replace(
            value, epochs=(*value.epochs[:-1], replace(value.epochs[-1], train_error=0.04))
        )

    values = changed("learning curves", PLAIN, better)
    assert shown("learning curves", values=values).claim.verdict == "not reproduced"


def test_first_layer_gradient():
    found = shown("first-layer gradient")
    assert found.claim.ours.split("; ")[2] == "vgg6 2.00e-02 to 1.00e-02"
    assert found.figure.series[2].x == (1, 2)  # nothing was recorded in the third epoch
    assert found.claim.verdict == "measured"


def test_layer_responses():
    found = shown("layer responses")
    assert found.claim.ours == "median 0.400 residual, 0.800 plain"
    assert found.claim.verdict == "reproduced"
    assert found.n == "100 test images"


# ---- the rest ----


def test_the_map_of_units():
    residual = network_map(SETTING, SETTING.members[0], VALUES)
    assert (residual.test_error, residual.n, residual.parameters) == (10.0, 100, 175000)
    assert residual.units[2].shape == "16x8x8 to 32x8x8"
    assert residual.units[5].error == 20.0
    assert residual.units[5].low < 20.0 < residual.units[5].high


def test_what_items_share_is_asked_for_once():
    from residuum.experiments.bench import union

    needs = PAPER.needs(SETTING)
    jobs = union((role, probe) for role, probe in needs)  # type: ignore[misc]
    assert [job.trial for job in jobs] == [RESIDUAL, PLAIN, VGG]
    asked = [probe.what for probe in jobs[0].probes]
    assert sorted(asked) == sorted(MEASUREMENTS)
    assert len(needs) > sum(len(job.probes) for job in jobs)
    assert each_unit(SETTING) == delete_each(examples=100)


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
