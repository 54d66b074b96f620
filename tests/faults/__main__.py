"""Run the fault catalogue: `python -m tests.faults [--record results/faults.json]`.

Prints a line a row and the counts. Exit 1 where a row failed, or has neither a test that ran nor a
reason why it does not apply.
"""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from .catalogue import NOT_APPLICABLE, ROWS


class Rows:
    """A pytest plugin: what became of the tests of each row."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {}
        self.outcomes: dict[str, list[str]] = defaultdict(list)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            self.of[item.nodeid] = [r for m in item.iter_markers("row") for r in m.args]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            for row in self.of[report.nodeid]:
                self.outcomes[row].append(report.outcome)

    def state(self, row: str) -> str:
        """Held: at least one test of it passed and none failed."""
        outcomes = self.outcomes[row]
        if "failed" in outcomes:
            return "failed"
        if "passed" in outcomes:
            return "held"
        return "not applicable" if row in NOT_APPLICABLE else "not covered"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--record", type=Path, help="write what came out as JSON")
    record, rows = parser.parse_args().record, Rows()
    tests = str(Path(__file__).parents[1])
    pytest.main([tests, "-m", "row", "-q", "-p", "no:cacheprovider"], plugins=[rows])
    states = {row: rows.state(row) for row in ROWS}
    for row, state in states.items():
        tests = len(rows.outcomes[row])
        why = NOT_APPLICABLE.get(row) or f"{tests} test{'s' * (tests != 1)}"
        print(f"{row:4} {state:15} {ROWS[row]} ({why})")
    counts = Counter(states.values())
    covered = counts["held"] + counts["failed"]
    print(
        f"{covered} covered, {counts['held']} held, {counts['failed']} failed, "
        f"{counts['not applicable']} not applicable, {counts['not covered']} not covered "
        f"of {len(ROWS)}"
    )
    if record:
        record.write_text(json.dumps(_record(covered, counts, states), indent=1) + "\n")
    return int(covered + counts["not applicable"] < len(ROWS) or counts["failed"] > 0)


def _record(covered: int, counts: Counter[str], states: dict[str, str]) -> dict:
    from residuum.machine import processor
    from residuum.training.description import versions

    names = ("held", "failed", "not applicable", "not covered")
    told = {"covered": covered} | {name: counts[name] for name in names} | {"of": len(ROWS)}
    machine = processor() | {"cores": os.cpu_count()}
    return told | {"machine": machine, "versions": versions(), "rows": states}


if __name__ == "__main__":
    sys.exit(main())
