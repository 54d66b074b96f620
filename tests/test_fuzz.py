"""A thousand wrong flags and damaged files; ten thousand by `make fuzz`."""

import json

import pytest

from benchmarks.fuzz.__main__ import fuzz_kind, prepared


@pytest.fixture(scope="module")
def base():
    with prepared() as made:
        yield made


@pytest.mark.parametrize("kind", ["flags", "files"])
def test_every_case_ends_well(kind, base):
    """What replays a failure stands in its message."""
    found = fuzz_kind(kind, cases=500, seed=0, base=base)
    told = [f"{f['problem']}: --replay '{json.dumps(f['case'])}'" for f in found.failures]
    assert not told, "\n".join(told)
    assert found.counts["0"] > 20
    assert found.counts["2"] > 20
    assert found.counts.total() >= 450
