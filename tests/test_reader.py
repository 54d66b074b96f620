"""Reading: what does not fit is one message, with file, place and the nearest valid word."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from residuum.errors import CheckpointError, UsageError
from residuum.reader import build, check, plain, read
from residuum.results import Study

RESULTS = Path(__file__).parents[1] / "results"


class Square(msgspec.Struct, frozen=True, tag_field="kind", tag="square"):
    side: float = 1.0


class Circle(msgspec.Struct, frozen=True, tag_field="kind", tag="circle"):
    radius: float = 1.0


@dataclass(frozen=True)
class Warm:
    steps: int
    rate: float = 0.1


@dataclass(frozen=True)
class Thing:
    name: str
    length: int
    clock: Literal["epochs", "iterations"] = "epochs"
    marks: tuple[int, ...] = ()
    warm: Warm | None = None
    shape: Square | Circle = Square()  # noqa: RUF009 - frozen
    words: Mapping[str, Any] = field(default_factory=dict)


GOOD = {"name": "a", "length": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lenght": 3}, r"^x: \$: unknown word 'lenght'\. Did you mean 'length'\?$"),
        ({"length": "3"}, r"^x: \$\.length: expected int, got str$"),
        ({"length": 3.0}, r"^x: \$\.length: expected int, got float$"),
        ({"length": True}, r"expected int, got bool"),
        ({"length": None}, r"expected int, got null"),
        ({"clock": "epoch"}, r"^x: \$\.clock: unknown word 'epoch'\. Did you mean 'epochs'\?$"),
        ({"marks": [1, 2, "3"]}, r"^x: \$\.marks\[2\]: expected int, got str$"),
        ({"marks": None}, r"\$\.marks: expected array, got null"),
        ({"warm": {}}, r"^x: \$\.warm: missing steps$"),
        ({"warm": {"steps": 1, "rat": 2.0}}, r"\$\.warm: unknown word 'rat'\. Did you mean 'rate'"),
        ({"shape": {"kind": "sqare"}}, r"\$\.shape\.kind: unknown word 'sqare'.* 'square'"),
        ({"shape": {"side": 2.0}}, r"\$\.shape: missing kind"),
        ({"shape": {"kind": "circle", "side": 2.0}}, r"\$\.shape: unknown word 'side'"),
    ],
)
def test_what_does_not_fit_is_one_message(change, message):
    with pytest.raises(UsageError, match=message):
        build(GOOD | change, Thing, "x", UsageError)


@pytest.mark.parametrize("value", [None, [], 3, "text", {}, {"name": "a"}])
def test_other_values_are_refused(value):
    with pytest.raises(CheckpointError, match=r"^x: \$: (expected object|missing)"):
        build(value, Thing, "x", CheckpointError)


def test_there_and_back():
    thing = Thing("a", 3, "iterations", (1, 2), Warm(4), Circle(2.0), {"deep": [{"x": None}]})
    assert build(json.loads(json.dumps(plain(thing))), Thing, "x", UsageError) == thing
    assert plain(thing, defaults=False)["shape"] == {"kind": "circle", "radius": 2.0}
    assert plain(Thing("a", 3), defaults=False) == GOOD
    assert plain(Thing("a", 3, warm=Warm(4)), defaults=False) == GOOD | {"warm": {"steps": 4}}
    assert plain(Square(), defaults=False) == {"kind": "square"}


def test_values_made_in_python_are_checked_too():
    check(Thing("a", 3, marks=(1,)), "thing", UsageError)
    for wrong, message in (
        (Thing("a", "3"), r"^thing: length: expected int, got str"),
        (Thing("a", 3, "epoch"), "Did you mean 'epochs'"),
        (Thing("a", 3, marks=("1",)), r"^thing: marks\[0\]: "),
        (Thing("a", 3, warm=Warm("1")), r"^thing: warm\.steps: "),
        (Thing("a", 3, shape=object()), "shape: cannot be a object"),
    ):
        with pytest.raises(UsageError, match=message):
            check(wrong, "thing", UsageError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "length": 3, "length": 4}', "'length' is given twice"),
        ('{"name": "a", "length": NaN}', "NaN is not a number of JSON"),
        ('{"name": "a", "length": -Infinity}', "-Infinity is not a number of JSON"),
        ('{"name": "a"', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"name": "a", "length": 3, "words": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}", "."),
        ('{"name": "a", "length": ' + "9" * 5000 + "}", "."),
        ("\ud800", "."),
    ],
)
def test_files_that_are_not_strict_json(tmp_path, text, message):
    (tmp_path / "x.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path / "x.json", Thing, UsageError)
    assert str(tmp_path / "x.json") in str(caught.value)
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "y.json", Thing, UsageError)


def test_another_schema_says_what_to_do(tmp_path):
    for found in ('"schema": 1, ', '"schema": "2", ', ""):
        (tmp_path / "x.json").write_text("{" + found + '"name": "a", "length": 3}')
        with pytest.raises(UsageError, match=r"this version reads 2\. Make it anew"):
            read(tmp_path / "x.json", Thing, UsageError, 2, "Make it anew")


def test_toml(tmp_path):
    (tmp_path / "x.toml").write_text('name = "a"\nlength = 3\n[shape]\nkind = "circle"\n')
    assert read(tmp_path / "x.toml", Thing, UsageError) == Thing("a", 3, shape=Circle())
    for text in ("name = ", 'name = "a"\nname = "b"', 'name = "a"\nlength = 1979-05-27'):
        (tmp_path / "x.toml").write_text(text)
        with pytest.raises(UsageError, match=r"x\.toml"):
            read(tmp_path / "x.toml", Thing, UsageError)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/study.json")), ids=lambda p: p.parent.name)
def test_recorded_studies_still_load(path, tmp_path):
    study = Study.load(path)
    study.save(tmp_path / "study.json")
    assert (tmp_path / "study.json").read_text() == path.read_text()
    assert Study.load(tmp_path / "study.json") == study
