"""Try wrong flags and damaged files; count how each ended.

    python -m benchmarks.fuzz --cases 10000 --seed 0 [--only files|flags] [--output FILE]
    python -m benchmarks.fuzz --replay '{"arguments": [...]}'

Each case runs in a process forked from one that has torch loaded. It must end in the right result
(for a damaged file the same numbers as from the intact one, or a message) or in an exit code of 2
to 8 with one message: never a traceback, a hang above 20 s, more than 2 GB, or another result in
silence. Prints one JSON object; exits 1 where a case did not.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import hypothesis
import torch
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from .cases import READING, Case, with_files, with_flags
from .child import End, carry_out, wrong
from .place import make

MOST_SHOWN = 40


class Fuzzer:
    """Cases drawn from a seed, judged one after the other."""

    def __init__(self, place: Path):
        self.pristine, self.scratch = place / "pristine", place / "case"
        self.counts = Counter[str]()
        self.failures: list[dict[str, Any]] = []
        self.slowest = 0.0
        self.intact: dict[tuple[str, ...], str] = {}

    def prepare(self) -> None:
        """The files, and what every reading command prints while they are whole."""
        self.pristine.mkdir(parents=True)
        make(self.pristine)
        for words in READING.values():
            end = carry_out(Case(words), self.pristine, self.scratch)
            if end.code:
                raise SystemExit(f"{words} does not work undamaged: {end.err}")
            self.intact[tuple(words)] = self._result(Case(words), end)

    def _result(self, case: Case, end: End) -> str:
        page = self.scratch / "report" / "report.html"
        return page.read_text() if case.command == "report" and page.exists() else end.out

    def try_case(self, case: Case) -> str:
        """What was wrong, empty where nothing was."""
        end = carry_out(case, self.pristine, self.scratch)
        known = self.intact.get(tuple(case.arguments))
        # a recipe is its owner's to change, and a lock is only held or not
        free = not case.file or case.file == "tiny.toml"
        # without done.json a run is one that was stopped at its last step, and is listed as that
        free |= case.command == "runs" and case.change == "gone" and "done.json" in case.file
        if not end.code:
            end = replace(end, out=self._result(case, end))
            if known is not None and case.command == "log":
                # what a log lacks is measured again
                free = json.loads(end.out).items() <= json.loads(known).items()
        problem = wrong(case, end, None if free else known)
        self.counts[str(end.code)] += 1
        self.slowest = max(self.slowest, end.seconds)
        if problem:
            said = end.err.strip().splitlines()[-1:] or [""]
            self.failures.append({"problem": problem, "case": asdict(case), "said": said[0][-300:]})
            print(f"{problem}: --replay '{json.dumps(asdict(case))}'", file=sys.stderr, flush=True)
        return problem

    def fuzz(self, kind: str, cases: int, seed: int) -> None:
        """So many cases of a kind, the same ones for the same seed."""
        drawn = with_flags() if kind == "flags" else with_files(self.pristine)
        warnings.simplefilter("ignore")

        @hypothesis.seed(seed)
        @settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        @given(drawn)
        def one(case: Case) -> None:
            self.try_case(case)

        one()


def fuzz_kind(kind: str, cases: int, seed: int) -> Fuzzer:
    """In a folder of its own, which is deleted."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        fuzzer = Fuzzer(Path(place))
        fuzzer.prepare()
        fuzzer.fuzz(kind, cases, seed)
    return fuzzer


def fuzz(kinds: list[str], cases: int, seed: int) -> dict[str, Any]:
    """`cases` in all, the kinds at the same time. Every failure is told with what replays it."""
    started = time.monotonic()
    jobs = [(kind, cases // len(kinds), seed) for kind in kinds]
    with get_context("fork").Pool(len(kinds)) as pool:
        parts = pool.starmap(fuzz_kind, jobs)
    failures = [failure for part in parts for failure in part.failures]
    counts = {kind: part.counts for kind, part in zip(kinds, parts, strict=True)}
    return {
        "cases": sum(n.total() for n in counts.values()),
        "seed": seed,
        "exit codes": {kind: dict(sorted(n.items())) for kind, n in counts.items()},
        "failed": len(failures),
        "problems": dict(Counter(failure["problem"] for failure in failures)),
        "failures": failures[:MOST_SHOWN],
        "slowest seconds": round(max(part.slowest for part in parts), 1),
        "seconds": round(time.monotonic() - started, 1),
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "hypothesis": hypothesis.__version__},
    }  # fmt: skip


def replay(case: str) -> None:
    """One case again, with all that it says."""
    with tempfile.TemporaryDirectory() as place:
        fuzzer = Fuzzer(Path(place))
        fuzzer.prepare()
        again = Case(**json.loads(case))
        print(carry_out(again, fuzzer.pristine, fuzzer.scratch))
        print(fuzzer.try_case(again) or "nothing is wrong")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("flags", "files"))
    parser.add_argument("--replay", help="a case, as a failure prints it")
    parser.add_argument("--output", type=Path, help="write the result there too")
    options = parser.parse_args()
    if options.replay:
        sys.exit(replay(options.replay))
    kinds = [options.only] if options.only else ["flags", "files"]
    found = json.dumps(fuzz(kinds, options.cases, options.seed), indent=1)
    print(found)
    if options.output:
        options.output.write_text(found + "\n")
    sys.exit(1 if json.loads(found)["failed"] else 0)
