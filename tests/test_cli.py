"""The command line as a user meets it: one message, the right code, results on stdout alone."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from math import comb

import pytest
from conftest import reseal

import residuum
from residuum.cli import app, main
from residuum.errors import UsageError
from residuum.machine import Machine
from residuum.results import Study
from residuum.storage import Lock
from residuum.training.optimisers import AdamW
from residuum.verbs import NetworkOptions


def call(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return caught.value.code, out, err


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    return residuum.train(
        "preresnet8", epochs=1, output=tmp_path_factory.mktemp("runs") / "run"
    ).folder


def test_info(capsys):
    code, out, err = call(capsys, "info", "preresnet110", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["parameters"], found["depth"], found["units"]) == (1_727_962, 110, 54)
    assert found["flops"] == 2 * found["macs"]
    assert [(p["data"], p["error"]) for p in found["published"]] == [
        ("CIFAR-10", 6.37),
        ("CIFAR-10", 6.1),
    ]
    assert "preresnet110" in call(capsys, "info", "preresnet110")[1]


def test_flops_are_those_of_a_hand_count(capsys):
    """resnet20: stem, 18 3x3 convolutions at three resolutions, one linear layer."""
    found = json.loads(call(capsys, "info", "resnet20", "--json")[1])
    stem, first = 3 * 16 * 9 * 1024, 6 * 16 * 16 * 9 * 1024
    second = (16 * 32 + 5 * 32 * 32) * 9 * 256
    third = (32 * 64 + 5 * 64 * 64) * 9 * 64
    assert found["macs"] == stem + first + second + third + 640


def test_paths(capsys):
    code, out, _ = call(
        capsys, "paths", "preresnet110", "--delete", 10, "--between", 19, 35, "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert found["total"] == str(2**54)
    assert found["counts"][27] == "1946939425648112"
    assert found["mean"] == 27
    assert round(found["share"], 4) == 0.9802
    assert round(found["remaining"][5], 3) == 0.343
    assert found["central"] == [20, 34]


def test_paths_of_a_deep_network_are_summed_up(capsys):
    out = call(capsys, "paths", "preresnet110", "--delete", 10)[1]
    assert "2^54 (about 1.80e16) paths, mean length 27" in out
    assert "length 20-34, 95.98 % of all paths" in out
    rows = [line.split() for line in out.splitlines() if "█" in line]
    assert len(rows) < 20
    middle = max(rows, key=lambda row: len(row[3]))
    assert middle[0] == "27-28"
    exact = (comb(54, 27) + comb(54, 28)) / 2**54
    assert float(middle[1]) == round(100 * exact, 2)
    left = (comb(44, 27) + comb(44, 28)) / (comb(54, 27) + comb(54, 28))
    assert float(middle[4]) == float(f"{left:.4g}")


def test_paths_line_by_line(capsys):
    out = call(capsys, "paths", "preresnet110", "--all")[1]
    assert [line.split()[:2] for line in out.splitlines()[3:]] == [
        [str(k), str(comb(54, k))] for k in range(55)
    ]
    assert "9       1" in call(capsys, "paths", "resnet20")[1]  # a shallow one, without being asked
    assert "1 path, mean length 54" in call(capsys, "paths", "preplain110")[1]


def test_lesions_stand_worst_first_beside_bars(capsys, small_run):
    out = call(capsys, "lesion", small_run)[1]
    rows = [line for line in out.splitlines() if line.startswith("without")]
    errors = [float(re.search(r"([\d.]+) % \[", row)[1]) for row in rows]
    assert errors == sorted(errors, reverse=True)
    assert [row.count("█") for row in rows] == [round(24 * error / 100) for error in errors]


def test_lesions_as_csv_are_those_of_json(capsys, small_run):
    found = json.loads(call(capsys, "lesion", small_run, "--json")[1])
    intact, *rows = csv.DictReader(call(capsys, "lesion", small_run, "--csv")[1].splitlines())
    assert (intact["deleted"], float(intact["error"])) == ("", found["intact"])
    assert [[int(row["deleted"])] for row in rows] == [x["deleted"] for x in found["lesions"]]
    assert [float(row["p_value"]) for row in rows] == [x["p_value"] for x in found["lesions"]]
    assert call(capsys, "lesion", small_run, "--csv", "--json")[0] == 2


def test_lesions_have_a_page_of_their_own(capsys, small_run, tmp_path):
    wanted = [
        "figures/lesion-lesions.png",
        "figures/lesion-lesions.svg",
        "report.html",
        "study.json",
    ]
    for i, more in enumerate(([], ["--random", 1, "--repeats", 2], ["--units", 0, "--units", 2])):
        arguments = ["lesion", small_run, "--output", tmp_path / str(i), "--examples", 50, *more]
        out = call(capsys, *arguments)[1]
        assert out.endswith("report.html\n")
        written = [p for p in (tmp_path / str(i)).rglob("*") if p.is_file()]
        assert sorted(str(p.relative_to(tmp_path / str(i))) for p in written) == wanted
    shown = Study.load(tmp_path / "0" / "study.json")
    assert [u.number for u in shown.networks[0].units] == [0, 1, 2]
    assert shown.classes == 10
    assert Study.load(tmp_path / "2" / "study.json").networks[0].units[0].error is None
    assert call(capsys, *arguments)[0] == 0  # once more, over its own page
    code, _, err = call(capsys, "lesion", small_run, "--output", small_run)
    assert (code, "something else" in err) == (2, True)


def test_ls(capsys):
    assert "fb-cifar" in call(capsys, "ls")[1]
    names = [e["name"] for e in json.loads(call(capsys, "ls", "plain*", "--json")[1])["entries"]]
    assert "plain56" in names
    assert not any(n.startswith("res") for n in names)


BAD = [
    (2, "Did you mean 'resnet56'", ["info", "resnet-56"]),
    (2, "6n+2", ["info", "resnet21"]),
    (2, "nearest is 'resnet20'", ["info", "resnet21"]),
    (2, "no option 'size'", ["info", "resnet20", "--size", 8]),
    (2, "Valid: A", ["info", "resnet20", "--shortcut", "Q"]),
    (2, "at least 2", ["info", "resnet20", "--classes", 1]),
    (2, "--classes", ["info", "resnet20", "--clases", 3]),
    (2, "train", ["trian", "resnet20"]),
    (2, "he-cifar", ["train", "resnet20", "--recipe", "he-cifa"]),
    (2, "digits", ["train", "resnet20", "--data", "digit"]),
    (2, "epochs", ["train", "resnet20", "--epochs", 0]),
    (2, "learning_rate", ["train", "resnet20", "--learning-rate", "nan"]),
    (2, "threads", ["train", "resnet20", "--threads", 0]),
    (2, "float16", ["train", "resnet20", "--precision", "float16"]),
    (2, "veit2016", ["study", "veit2015"]),
    (2, "smoke", ["study", "veit2016", "--scale", "smok"]),
    (2, "study.json", ["report", "."]),
    (2, "Did you mean 'plain20'", ["ls", "plane20"]),
    (2, "workers", ["study", "veit2016", "--workers", 0]),
    (2, "cannot be made", ["train", "resnet20", "--output", "/proc/x/y"]),
    (2, "cannot delete", ["paths", "resnet20", "--delete", 10]),
    (3, "no such folder", ["train", "resnet20", "--data", "./missing.tar"]),
    (3, "--download", ["train", "resnet20", "--data", "cifar10:."]),
    (4, "not a run folder", ["eval", "nowhere"]),
    (2, "not a run folder", ["lesion", "nowhere", "--units", 1]),
    (4, "not a run folder", ["diff", "nowhere", "nowhere"]),
    (2, "no such folder", ["runs", "nowhere"]),
    (2, "no such file", ["train", "resnet20", "--recipe", "./mine.toml"]),
    (2, "ends in .toml", ["train", "resnet20", "--recipe", "recipes/mine.json"]),
    (2, "not both", ["lesion", "nowhere", "--units", 1, "--random", 1]),
    (2, "repeats", ["lesion", "nowhere", "--repeats", 0]),
    (2, "repeats is of random sets", ["lesion", "nowhere", "--repeats", 3]),
    (2, "seed is of random sets", ["lesion", "nowhere", "--seed", 1]),
    (2, "not a run folder", ["lesion", "nowhere", "--until-decided", "--seed", 1]),
    (2, "no units", ["lesion", "nowhere", "--until-decided", "--units", 1]),
    (2, "margin is of until_decided", ["lesion", "nowhere", "--margin", 0.1]),
    (2, "error_rate", ["lesion", "nowhere", "--until-decided", "--error-rate", 0]),
    (2, "is above the last", ["paths", "resnet20", "--between", 5, 3]),
    (2, "seed: must be at least 0, not -1", ["study", "veit2016", "--seed", -1]),
    (2, "seeds: must be at least 1", ["study", "veit2016", "--seeds", 0]),
    (2, "seed: must be at most", ["train", "resnet20", "--seed", 99999999999999999999]),
    (2, "Did you mean 'B'", ["info", "resnet20", "--shortcut", "b"]),
    (2, "Did you mean 'fb-cifar'", ["train", "resnet20", "--recipe", "fb"]),
    (2, "Did you mean 'cpu'", ["train", "resnet20", "--device", "cpuu"]),
    (2, "Did you mean 'veit2016'", ["study", "veit"]),
    (2, "Did you mean 'digits'", ["train", "resnet20", "--data", "dgits"]),
]


@pytest.mark.parametrize(
    ("code", "words", "arguments"), BAD, ids=[" ".join(map(str, b[2])) for b in BAD]
)
def test_mistakes_end_in_one_message(capsys, tmp_path, monkeypatch, code, words, arguments):
    monkeypatch.chdir(tmp_path)
    found, out, err = call(capsys, *arguments)
    assert found == code
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_train_eval_lesion(capsys, small_run):
    trained = json.loads(
        call(capsys, "train", "preresnet8", "--epochs", 1, "--output", small_run, "--json")[1]
    )
    assert trained["test_n"] == 898
    code, out, err = call(capsys, "eval", small_run, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["error"] == pytest.approx(trained["test_error"])
    assert found["interval"][0] < found["error"] < found["interval"][1]
    single = json.loads(call(capsys, "lesion", small_run, "--json")[1])
    assert [x["deleted"] for x in single["lesions"]] == [[0], [1], [2]]
    assert single["intact"] == pytest.approx(found["error"])
    both = json.loads(
        call(capsys, "lesion", small_run, "--units", 0, "--units", 2, "--json", "--examples", 50)[1]
    )
    assert both["n"] == 50
    assert both["lesions"][0]["deleted"] == [0, 2]
    drawn = json.loads(
        call(capsys, "lesion", small_run, "--random", 1, "--repeats", 4, "--json")[1]
    )
    assert len(drawn["lesions"]) == 4
    assert "without 1" in call(capsys, "lesion", small_run)[1]
    early = ["lesion", small_run, "--until-decided", "--margin", 0.3]
    decided = json.loads(call(capsys, *early, "--json")[1])["decided"]
    assert [x["decision"] for x in decided] == [
        "worse" if x["change"] > 0.3 else "not worse" for x in single["lesions"]
    ]
    assert "worse" in call(capsys, *early)[1]
    assert call(capsys, "lesion", small_run, "--units", 3)[0] == 2
    assert call(capsys, "lesion", small_run, "--units", 1, "--random", 1)[0] == 2


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lenght = 3", "'lenght'. Did you mean 'length'"),
        ("batch_size = 2.5", "$.batch_size: expected int, got float"),
        ('optimiser = {kind = "adm"}', "Did you mean 'adam'"),
        ("", "missing length"),
    ],
)
def test_recipe_files_are_checked_word_by_word(capsys, tmp_path, word, message):
    length = "" if "missing" in message else "length = 1\n"
    (tmp_path / "mine.toml").write_text(f'name = "mine"\n{length}{word}\n')
    file = str(tmp_path / "mine.toml")
    code, out, err = call(
        capsys, "train", "preresnet8", "--recipe", file, "--output", tmp_path / "run"
    )
    assert (code, out) == (2, "")
    assert message in err
    assert "mine.toml" in err
    assert not (tmp_path / "run").exists()


def test_a_recipe_from_a_file(tmp_path):
    from pathlib import Path

    file = Path(__file__).parents[1] / "examples" / "recipe.toml"
    run = residuum.train("preresnet8", recipe=str(file), epochs=1, output=tmp_path, seed=3)
    assert (run.recipe.name, run.recipe.seed) == ("adamw-digits@1epochs", 3)
    assert run.recipe.optimiser == AdamW()


def test_runs_are_listed_unreadable_ones_too(capsys, small_run, tmp_path):
    for name in ("one", "two", "three", "four", "five"):
        shutil.copytree(small_run, tmp_path / name)
    (tmp_path / "two" / "run.json").write_text("{")
    (tmp_path / "three" / "done.json").unlink()
    (tmp_path / "four" / "run.json").unlink()
    for name in ("run.json", "done.json", "weights.safetensors"):
        (tmp_path / "five" / name).unlink()
    (tmp_path / "notes").mkdir()
    with Lock(tmp_path / "three"):
        code, out, err = call(capsys, "runs", tmp_path, "--json")
        text = call(capsys, "runs", tmp_path)[1]
    assert (code, err) == (0, "")
    five, four, one, three, two = json.loads(out)["entries"]
    assert (one["network"], one["data"], one["state"], one["seed"]) == (
        "preresnet8",
        "digits",
        "finished",
        0,
    )
    assert one["test_error"] == residuum.Run.open(small_run).outcome.last.test_error
    assert one["folder"] == str(tmp_path / "one")
    assert one["date"].startswith("20")
    assert three["state"] == f"step 15 of 15, process {os.getpid()} works here"
    assert three["test_error"] is None
    assert [broken["state"] for broken in (two, four, five)] == ["unreadable"] * 3
    assert "not valid JSON" in two["problem"]
    assert "no run.json" in four["problem"]
    assert len(text.splitlines()) == 1 + 5 + 3
    assert call(capsys, "runs", tmp_path / "notes")[1] == "no runs here\n"
    assert json.loads(call(capsys, "runs", tmp_path / "notes", "--json")[1]) == {"entries": []}


def test_diff_tells_meaning_from_words(capsys, small_run, tmp_path):
    same = json.loads(call(capsys, "diff", small_run, small_run, "--json")[1])
    assert same["same_meaning"]
    assert same["differences"] == []
    shutil.copytree(small_run, tmp_path / "copy")
    file = tmp_path / "copy" / "run.json"
    told = json.loads(file.read_text())
    told["recipe"]["source"], told["machine"]["threads"] = "elsewhere", 5
    reseal(file, **told)
    found = residuum.diff(small_run, tmp_path / "copy")
    assert found.same_meaning
    assert [(d.what, d.weight) for d in found.differences] == [
        ("machine.threads", "machine"),
        ("recipe.source", "words"),
    ]
    assert found.differences[0].second == 5
    assert call(capsys, "diff", small_run, tmp_path / "copy")[1].startswith("same meaning\n")


def test_diff_shows_parts_and_recipe(small_run, tmp_path):
    other = residuum.train(
        "preresnet8",
        shortcut="B",
        epochs=1,
        seed=1,
        output=tmp_path / "run",
        machine=Machine(threads=1),
    )
    found = residuum.diff(small_run, other.folder)
    assert not found.same_meaning
    heavy = {d.what: (d.first, d.second) for d in found.differences if d.weight == "meaning"}
    assert heavy["recipe.seed"] == (0, 1)
    assert heavy["network.options.shortcut"] == (None, "B")
    assert "structure" in heavy
    assert any(line.startswith("+") and "Conv2d" in line for line in found.structure)


def test_a_verb_takes_requests_whole_or_by_field():
    whole = residuum.info("resnet20", network=NetworkOptions(shortcut="B"))
    assert residuum.info("resnet20", shortcut="B") == whole
    assert whole.parameters > residuum.info("resnet20").parameters
    with pytest.raises(UsageError, match=r"info takes no 'clases'\. Did you mean 'classes'"):
        residuum.info("resnet20", clases=3)


def test_nests_have_a_polynomial():
    from residuum.verbs.catalogue import polynomial_text

    assert polynomial_text([3, "1+t"]) == "(1+t)^3"
    assert polynomial_text(["t", {"around": [3, "1+t"]}]) == "t (1+(1+t)^3)"
    assert polynomial_text([2, {"around": "1+t"}]) == "(1+1+t)^2"
    assert polynomial_text([5, {"roads": ["t|0", [2, "t|0"]]}]) == "(t+t^2)^5"


def test_info_of_another_network_shows_no_published_errors():
    assert residuum.info("resnet20").published
    assert residuum.info("resnet20", classes=100).published
    assert residuum.info("resnet20", shortcut="C").published == ()


def test_info_says_what_the_index_says():
    """Looked up or worked out anew: the same."""
    from residuum.presets import describe

    known, anew = residuum.info("preresnet20"), describe("preresnet20")
    assert (known.parameters, known.flops, known.units) == (anew.parameters, anew.flops, anew.units)
    assert known.polynomial == "(1+t)^9"
    assert len(known.structure) == 64
    assert residuum.info("preresnet20", classes=100).parameters == known.parameters + 90 * 65


def test_completion_knows_flags_and_commands():
    for shell in ("bash", "zsh", "fish"):
        script = app.generate_completion(shell=shell)
        assert all(word in script for word in ("lesion", "learning-rate", "recipe"))


@pytest.mark.row("S7")
def test_wrong_data_for_a_run(capsys, small_run, tmp_path):
    from test_data import class_folders

    code, _, err = call(capsys, "eval", small_run, "--data", class_folders(tmp_path / "set"))
    assert code == 3
    assert "10 classes" in err


def test_a_damaged_run_names_the_tensor(capsys, small_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(small_run, copy)
    file = copy / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 16
    file.write_bytes(content)
    code, _, err = call(capsys, "eval", copy)
    assert code == 4
    assert "digest mismatch in tensor" in err


@pytest.mark.row("T17")
def test_a_second_process_is_refused(capsys, tmp_path):
    with Lock(tmp_path):
        code, _, err = call(capsys, "train", "preresnet8", "--epochs", 1, "--output", tmp_path)
    assert code == 8
    assert "working here" in err


@pytest.mark.row("T3", "T4")
@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_signals_save_and_end_with_their_code(tmp_path, number, code):
    command = [
        sys.executable,
        "-m",
        "residuum",
        "train",
        "preresnet20",
        "--epochs",
        "200",
        "--output",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None
        os.sched_yield()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "run it again to go on" in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.row("T22")
def test_a_closed_pipe_is_no_crash():
    done = subprocess.run(
        f"{sys.executable} -m residuum ls | head -1", shell=True, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("preset")


def test_an_interrupted_command_is_no_success(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("residuum.subjects.open_model", interrupted)
    with pytest.raises(SystemExit) as left:
        main(["discover", "preresnet8"])
    assert (left.value.code, capsys.readouterr().err) == (130, "residuum: error: interrupted\n")
