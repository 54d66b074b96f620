"""Try wrong flags and damaged files; count how each ended.

    python -m benchmarks.fuzz --cases 10000 --seed 0 [--only files|flags] [--output FILE]
    python -m benchmarks.fuzz --replay '{"arguments": [...]}'

Each case runs in a process forked from one that has torch loaded. It must end in the right result
(for a damaged file the same numbers as from the intact one, or a message) or in an exit code of 2
to 8 with one message: never a traceback, a hang above 20 s, more than 2 GB, or another result in
silence. Prints one JSON object; exits 1 where a case did not.
"""

import argparse
import gc
import json
import platform
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import hypothesis
import torch
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from .cases import Case, with_files, with_flags
from .child import End, carry_out, wrong
from .ground import Ground
from .place import make
from .words import FREE, READING

MOST_SHOWN = 40


@dataclass(frozen=True)
class Base:
    """The pristine files, and what every reading command prints while they are whole."""

    place: Path
    intact: dict[tuple[str, ...], str]

    def ground(self, name: str) -> Ground:
        return Ground(self.place / "pristine", self.place / name)


@contextmanager
def prepared() -> Iterator[Base]:
    """Made once for all kinds, deleted at the end."""
    torch.set_num_threads(1)
    place = Path(tempfile.mkdtemp())
    try:
        base = Base(place, {})
        ground = base.ground("intact")
        ground.pristine.mkdir()
        make(ground.pristine)
        gc.collect()
        gc.freeze()  # what children only read is not copied for them
        for words in READING.values():
            end = carry_out(Case(words), ground)
            if end.code or end.harmed:
                raise SystemExit(f"{words} does not work undamaged: {end}")
            base.intact[tuple(words)] = result(Case(words), end, ground)
        yield base
    finally:
        gc.unfreeze()
        shutil.rmtree(place)


def result(case: Case, end: End, ground: Ground) -> str:
    """What a command prints, or the page that it writes."""
    page = ground.folder / "report" / "report.html"
    return page.read_text() if case.command == "report" and page.exists() else end.out


class Fuzzer:
    """Cases drawn from a seed, judged one after the other."""

    def __init__(self, base: Base, kind: str):
        self.ground, self.intact = base.ground(kind), base.intact
        self.counts = Counter[str]()
        self.failures: list[dict[str, Any]] = []
        self.slowest = 0.0

    def try_case(self, case: Case) -> str:
        """What was wrong, empty where nothing was."""
        end = carry_out(case, self.ground)
        known = self.intact.get(tuple(case.arguments))
        free = not case.file or case.file.startswith(FREE)
        # without done.json a run is one that was stopped at its last step, and is listed as that
        free |= case.command == "runs" and case.change == "gone" and "done.json" in case.file
        if not end.code:
            end = replace(end, out=result(case, end, self.ground))
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
        drawn = with_flags() if kind == "flags" else with_files(self.ground.pristine)
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


def fuzz_kind(kind: str, cases: int, seed: int, base: Base) -> Fuzzer:
    """In a folder of its own."""
    fuzzer = Fuzzer(base, kind)
    fuzzer.fuzz(kind, cases, seed)
    return fuzzer


def fuzz(kinds: list[str], cases: int, seed: int) -> dict[str, Any]:
    """`cases` in all, the kinds at the same time. Every failure is told with what replays it."""
    started = time.monotonic()
    with prepared() as base, get_context("fork").Pool(len(kinds)) as pool:
        jobs = [(kind, cases // len(kinds), seed, base) for kind in kinds]
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
    with prepared() as base:
        fuzzer = Fuzzer(base, "replay")
        again = Case(**json.loads(case))
        print(carry_out(again, fuzzer.ground))
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
