"""What a page says and how: numbers, colours, one scale of heat, figures for two widths."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from invented import invented_dissection, invented_study

from residuum.pages import write_dissection, write_report
from residuum.pages.colours import roles, series_colours
from residuum.pages.figures import NARROW, WIDE, draw, draw_for_page
from residuum.pages.inline import SVG, inline
from residuum.pages.page import heat, legend, provenance_tables, render
from residuum.pages.typography import FIXED, JOINED, THIN, grouped, typeset
from residuum.results import Figure, Series, Study

STUDY = invented_study()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page's text, from the study as it is saved and read."""
    folder = tmp_path_factory.mktemp("page")
    STUDY.save(folder / "study.json")
    return render(Study.load(folder / "study.json"))


@pytest.mark.parametrize(
    ("plain", "set_"),
    [
        ("1.61e-02 to 1e6", "1.61~×~10⁻² to 1~×~10⁶"),
        ("of 2^54 paths, R^2 0.999, 2^-10", "of 2⁵⁴ paths, R² 0.999, 2⁻¹⁰"),
        ("-0.741, at most -2", "−0.741, at most −2"),
        ("0.15-2.01 % of 5-17", "0.15–|2.01~% of 5–|17"),
        ("2026-11-21", "2026-11-21"),
        ("C(n-1, x), CIFAR-10, pre-2016", "C(n-1, x), CIFAR-10, pre-2016"),
        ("16x8x8", "16×8×8"),
        ("37.4 % [18.6, 56.1], n = 359", "37.4~% [18.6,~56.1], n~=~359"),
        ("unit 7, 3 points", "unit~7, 3~points"),
        ("sha 7e5f, v1.2e", "sha 7e5f, v1.2e"),
        ("\x00\ud800", "\ufffd\ufffd"),
    ],
)
def test_numbers_as_people_write_them(plain, set_):
    assert typeset(plain).replace(FIXED, "~").replace(JOINED, "|") == set_


def test_thousands_stand_in_groups_that_no_line_breaks():
    assert grouped(1794314) == f"1{THIN}794{THIN}314"


def test_every_seed_of_a_role_has_its_colour_and_the_intact_line_too():
    words = roles(STUDY.networks)
    figure = STUDY.results[0].figure
    assert series_colours(figure.series, words) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 1]
    keys = legend(figure, words)
    assert [key.glyph for key in keys[:3]] == ["●", "■", "▲"]
    assert keys[-1].colour == keys[3].colour


def test_measures_have_colours_that_no_network_has():
    words = roles(STUDY.networks)
    assert series_colours(STUDY.results[3].figure.series, words) == [3, 4]
    dashed = replace(STUDY.results[3].figure.series[0], style="dashed")
    assert series_colours((STUDY.results[3].figure.series[0], dashed), words) == [3, 3]


def test_two_ranges_have_two_colours():
    keys = legend(STUDY.results[3].figure, {})
    assert [key.colour for key in keys if key.style == "span"] == ["span1", "span2"]


@pytest.mark.parametrize(("error", "chance", "step"), [(0, 90, 0), (45, 90, 10), (97, 90, 20)])
def test_heat_is_one_scale_from_no_error_to_chance(error, chance, step):
    assert heat(error, chance) == f"h{step}"
    assert heat(None, chance) == "unknown"


def test_chance_is_known_from_the_classes_also_in_older_files():
    assert STUDY.classes is None
    assert STUDY.chance == pytest.approx(90)
    assert replace(STUDY, classes=100).chance == pytest.approx(99)
    assert replace(STUDY, provenance={}).chance == pytest.approx(90)
    assert "99&nbsp;%, chance" in render(replace(STUDY, classes=100, results=()))


def test_only_the_first_seed_of_a_role_is_open(page):
    assert len(re.findall(r'<div class="map"', page)) == 9
    opened = re.sub(r'<details class="more">.*?</details>\s*</section>', "", page, flags=re.S)
    assert len(re.findall(r'<div class="map"', opened)) == 3
    assert "preresnet56 (residual, 27&nbsp;units, 3&nbsp;seeds)" in page


def test_provenance_is_a_table_for_every_network(page):
    headings = [heading for heading, _ in provenance_tables(STUDY.provenance)]
    names = ["preresnet56"] * 3 + ["preplain56"] * 3 + ["vgg15"] * 3
    assert headings == ["this study", "data", *names, "versions"]
    assert "1e5" * 21 in page  # a digest is no number


def test_holes_and_log_axes_are_drawn():
    labels = ("zero", "one", "two", "three")
    series = Series("a", (0, 1, 2, 3), (1.0, None, 1e-9, 2.0), labels=labels)
    figure = Figure("x", "y", (series,), log_y=True)
    text = inline(draw_for_page(figure, {}, NARROW), figure, "f", {"title": "t", "finding": "f"})
    assert re.findall(r"<title>(.*?)</title>", text) == ["zero", "two", "three"]
    assert draw(figure).png.startswith(b"\x89PNG")


@pytest.mark.parametrize("sheet", [NARROW, WIDE])
def test_a_drawing_is_described_by_its_finding_and_has_no_style(sheet):
    result = STUDY.results[0]
    words = {"title": result.title, "finding": result.finding}
    root = ET.fromstring(inline(draw_for_page(result.figure, {}, sheet), result.figure, "f", words))
    assert root.get("role") == "figure"
    assert root.get("viewBox") == f"0 0 {sheet.width} {sheet.height}"
    assert root.findtext(f"{{{SVG}}}desc") == typeset(result.finding)
    elements = list(root.iter())
    assert not [e for e in elements if "style" in e.attrib or e.tag.endswith("}style")]
    assert len([e for e in elements if e.tag.endswith("}circle")]) == 9 * 28
    assert {e.get("font-size") for e in elements} - {None} <= {
        f"{sheet.text:g}px",
        "8.4px",
        "7.7px",
    }


def test_intervals_lie_within_the_axes():
    high = (30.0, 80.0)
    series = [Series(n, (0, 1), (1.0, 2.0), (0.0, 0.0), high, style="points") for n in "ab"]
    figure = Figure("x", "y", tuple(series))
    root = ET.fromstring(
        inline(draw_for_page(figure, {}, WIDE), figure, "f", {"title": "", "finding": ""})
    )
    top = min(float(rect.get("y")) for rect in root.iter(f"{{{SVG}}}rect"))  # what clips the axes
    paths = [path.get("d") for path in root.iter(f"{{{SVG}}}path")]
    bars = [re.fullmatch(r"M (\d\d\S*) (\S+) L \1 (\S+)", path) for path in paths]
    ends = [float(end) for bar in bars if bar for end in bar.groups()[1:]]
    assert ends
    assert min(ends) >= top - 0.2


def test_dollars_are_no_formula_and_foreign_letters_no_warning(tmp_path):
    series = Series("_$x^{$ \\frac 猫", (0, 1), (1.0, 2.0), labels=("$", "_"))
    figure = Figure("$\\sum$ \x00", "{}$", (series,))
    bad = replace(STUDY, results=(replace(STUDY.results[0], figure=figure),))
    assert "猫" in write_report(bad, tmp_path).read_text()


def test_a_page_stays_small(page):
    assert len(page) < 700_000


def test_a_model_whose_deletions_do_no_harm_shows_no_scale_of_it(tmp_path):
    found = invented_dissection()
    scale = "the middle is a quarter of it"
    assert scale in write_dissection(found, tmp_path / "harm").read_text()
    units = [replace(unit, change=(-0.5, -1.0, 0.0)) for unit in found.units]
    harmless = write_dissection(replace(found, units=units), tmp_path / "none").read_text()
    assert scale not in harmless
    assert "rises for no unit that is deleted" in harmless
