"""The files that a case starts from: small, made once, copied for every case."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from residuum import progress
from residuum.machine import Machine
from residuum.results import Study
from residuum.storage import seal
from residuum.verbs import evaluate, lesion, prune, report, train

from .models import make_models, warm_models

RECIPE = """name = "tiny"
length = 2
batch_size = 8
normalisation = "channel"
[optimiser]
kind = "sgd"
[schedule]
kind = "steps"
milestones = [1]
[augmentation]
pad = 1
"""


def make(place: Path) -> None:
    """images/, tiny.toml, run/ (finished), part/ (unfinished), report/ (a study), store/,
    pruned/ (a preset without a unit), and what `make_models` makes."""
    progress.quiet = True
    _images(place / "images")
    (place / "tiny.toml").write_text(RECIPE)
    machine, given = Machine(device="cpu", threads=1), {"data": str(place / "images")}
    run = place / "run"
    train("preresnet8", output=run, recipe=str(place / "tiny.toml"), machine=machine, **given)
    shutil.copytree(run, place / "part")
    for name in ("done.json", "weights.safetensors"):
        (place / "part" / name).unlink()
    newest = max((place / "part" / "checkpoints").glob("step-*"))
    manifest = place / "part" / "checkpoints" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["checkpoints"] = [e for e in told["checkpoints"] if e["file"] != newest.name]
    del told["sha256"]
    manifest.write_text(json.dumps(seal(told, told.pop("schema"))))
    newest.unlink()
    prune("preresnet8", output=place / "pruned", machine=machine, units=1, **given)
    _study(place / "report")
    _log(place / "store")
    make_models(place, machine)
    _warm(place, given, machine)


def _warm(place: Path, given: dict[str, str], machine: Machine) -> None:
    """Loads in this process what forked ones would each load anew."""
    from residuum import studies  # noqa: F401
    from residuum.data import load

    load("digits")
    evaluate(place / "run", machine=machine, **given)
    lesion(place / "run", machine=machine, **given)
    lesion(place / "pruned", machine=machine, **given)
    warm_models(place, machine)
    shutil.copytree(place / "report", place / "warm")
    report(place / "warm")
    shutil.rmtree(place / "warm")


def _images(folder: Path) -> None:
    source = np.random.default_rng(0)
    for part, number in (("train", 10), ("test", 6)):
        for name, level in (("dark", 60), ("light", 200)):
            (folder / part / name).mkdir(parents=True)
            for i in range(number):
                pixels = source.normal(level, 40, (8, 8, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")


def _study(folder: Path) -> None:
    """The recorded one, cut down to a figure."""
    recorded = Path(__file__).parents[2] / "results" / "digits-laptop" / "study.json"
    whole = Study.load(recorded)
    drawn = [result for result in whole.results if result.figure is not None]
    networks = tuple(replace(n, units=n.units[:3]) for n in whole.networks[:1])
    folder.mkdir()
    replace(whole, networks=networks, results=tuple(drawn[:1])).save(folder / "study.json")


def _log(folder: Path) -> None:
    from residuum.experiments.log import Finished, Log

    for number in range(3):
        value = {"error": number / 7, "of": [1, 2, None]}
        Log(folder / "jobs.jsonl").add(
            Finished(f"{number:064d}", "preresnet8-0", "record", {"n": number}, value, 0.5)
        )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
