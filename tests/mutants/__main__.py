"""`make mutants`: break one line at a time and see a test fail.

A mutant that survives names a hole in the tests.

    python -m tests.mutants [WORD ...]     only those whose file or line holds one of the words
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from . import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
WORKERS = 2
SECONDS = 300


def run(mutant: Mutant, copy: Path) -> str:
    """ "killed", "SURVIVED", or what is wrong with the mutant."""
    file = copy / "residuum" / mutant.file
    whole = file.read_text()
    if whole.count(mutant.old) != 1:
        return f"STALE: the text stands there {whole.count(mutant.old)} times"
    file.write_text(whole.replace(mutant.old, mutant.new))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        *mutant.tests.split(),
    ]
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return "killed"
    finally:
        file.write_text(whole)
    # 1: tests failed. Anything else is a mutant that broke the import, or tests that are not there
    return {0: "SURVIVED", 1: "killed"}.get(
        done.returncode, f"BROKEN: pytest ended with {done.returncode}"
    )


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(w in m.file or w in m.old for w in words)]
    ignored = shutil.ignore_patterns(
        ".*", "runs", "results", "__pycache__", "build", "dist", "data_*"
    )
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(WORKERS) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for worker in range(WORKERS):
            copies.put(Path(shutil.copytree(ROOT, Path(place) / str(worker), ignore=ignored)))

        def attempt(mutant: Mutant) -> tuple[Mutant, str]:
            copy = copies.get()
            try:
                return mutant, run(mutant, copy)
            finally:
                copies.put(copy)

        left = 0
        for mutant, verdict in pool.map(attempt, chosen):
            left += verdict != "killed"
            print(
                f"{verdict:<10} {mutant.file}: {mutant.old.strip()}  ->  {mutant.new.strip()}",
                flush=True,
            )
    print(f"{len(chosen) - left} of {len(chosen)} mutants killed")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
