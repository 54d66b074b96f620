"""Does a verdict turn into its opposite from machine to machine? The demo's study again, with
lesser instruction sets and two threads, each in a process and a store of its own.

    python benchmarks/verdicts.py --output runs/verdicts             the demo's study, everywhere
    python benchmarks/verdicts.py --output runs/verdicts --small     depth 20, 6 epochs: a trial run

Rounding differs, so training ends in other weights: another network of the same kind. A verdict may
become undecided or decided; it must not become its opposite. Stopped anywhere it goes on: the
stores keep what is done. Prints a table; verdicts.json in the output folder is for `results/`.
Exits 1 where a verdict turned into its opposite.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from residuum.results import Study
from residuum.storage import make_folder, write_json

DEFAULT = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
MACHINES: dict[str, tuple[dict[str, str], int]] = {
    "all instructions, 1 thread": ({}, 1),
    "all instructions, 2 threads": ({}, 2),
    "AVX2, 1 thread": (AVX2, 1),
    "AVX2, 2 threads": (AVX2, 2),
    "SSE4.1, 1 thread": (DEFAULT, 1),
}
SMALL = ["--depth", "20", "--epochs", "6"]
OPPOSITE = {"reproduced", "not reproduced"}


def carry_out(name: str, folder: Path, small: bool, workers: int) -> Study:
    """The study on this machine, or what the one before has left of it."""
    instructions, threads = MACHINES[name]
    store, output = folder / "store", folder / "study"
    command = [sys.executable, "-m", "residuum", "study", "veit2016", "--data", "digits"]
    command += ["--store", str(store), "--output", str(output), "--threads", str(threads)]
    command += ["--workers", str(max(1, workers // threads)), *(SMALL if small else [])]
    environment = os.environ | instructions | {"OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return Study.load(output / "study.json")


def compared(studies: dict[str, Study]) -> dict[str, dict[str, str]]:
    """item -> machine -> verdict, of the items that are decided by measurement."""
    found: dict[str, dict[str, str]] = {}
    for name, study in studies.items():
        for result in study.results:
            if result.claim.verdict not in ("exact", "measured"):
                found.setdefault(result.item, {})[name] = result.claim.verdict
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="depth 20, 6 epochs")
    parser.add_argument("--workers", type=int, default=2, help="threads x processes")
    parser.add_argument("--only", nargs="*", default=list(MACHINES), choices=list(MACHINES))
    asked = parser.parse_args()
    studies = {}
    for name in asked.only:
        slug = name.replace(",", "").replace(" ", "-").lower()
        folder = make_folder(make_folder(asked.output) / slug)
        print(f"{name} ...", file=sys.stderr, flush=True)
        studies[name] = carry_out(name, folder, asked.small, asked.workers)
    verdicts = compared(studies)
    turned = [item for item, by in verdicts.items() if set(by.values()) >= OPPOSITE]
    for item, by in verdicts.items():
        print(f"{item:<22}" + "".join(f"{verdict:<28}" for verdict in by.values()))
    findings = {
        name: {r.item: r.claim.ours for r in study.results if r.item in verdicts}
        for name, study in studies.items()
    }
    told = {
        "study": "veit2016, digits, laptop" + (", depth 20, 6 epochs" if asked.small else ""),
        "machines": {name: study.provenance["machine"] for name, study in studies.items()},
        "verdicts": verdicts,
        "measured": findings,
        "turned into the opposite": turned,
    }
    write_json(asked.output, "verdicts.json", told, schema=1)
    print(json.dumps({"turned into the opposite": turned, "items": len(verdicts)}))
    return 1 if turned else 0


if __name__ == "__main__":
    sys.exit(main())
