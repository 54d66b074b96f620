"""Rows W4, W10, W11: markup in names, a run that is read while it is written, a page on its own."""

import re
import threading
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from browser import chromium
from invented import invented_study

import residuum
from residuum.errors import CheckpointError, UsageError
from residuum.pages import write_report
from residuum.results import Figure, Series, Span, Study, Table, Unit
from residuum.verbs import runs

# what a stranger may call a class, a run, a network
NAMES = [
    "<script>hit(1)</script>",
    "</script><script>hit(2)</script>",
    "</style><script>hit(3)</script>",
    "</title><img src=x onerror=hit(4)>",
    '"><img src=x onerror=hit(5)>',
    "'><svg onload=hit(6)>",
    "<svg><animate onbegin=hit(7) attributeName=x dur=1s>",
    "<iframe srcdoc='<script>parent.hit(8)</script>'>",
    "javascript:hit(9)",
    '" onmouseover="hit(10)',
    '" autofocus onfocus="hit(11)" x="',
    "<details open ontoggle=hit(12)>",
    "<body onload=hit(13)>",
    "<base href='//evil.example'>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<form action=//evil.example><button>x</button></form>",
    "{{ 7*7 }}{% raw %}",
    "${7*7}#{7*7}<%= 7*7 %>",
    "-->]]><script>hit(14)</script><!--",
    "<![CDATA[<script>hit(15)</script>]]>",
    "\u2028hit(16)\u2029//",
    "</desc></svg><script>hit(17)</script>",
    "url(//evil.example/x)",
    "expression(hit(18))",
    "$\\sum_{x}$ $",
    "_hidden",
    "\u202egnp.exe",
    "\x00\x1b[2J\x07",
    "\ud800 not UTF-8",
    "a\nb\tc\r",
    "%s %(x)s {0} {x}",
]


class Collector(HTMLParser):
    """The addresses, event attributes, scripts and ids of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses, self.events, self.tags, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src", "xlink:href", "action", "srcset", "data"):
                self.addresses.append(value)
            if name.startswith("on") or name == "style":
                self.events.append(name)
            if name == "id":
                self.ids.append(value)


def named(name: str) -> Study:
    """A small study that is called so wherever a name may stand."""
    study = invented_study()
    unit = replace(study.networks[0].units[0], kind=name, shape=f"{name} to {name}")
    network = replace(study.networks[0], name=name, role=name, units=(unit,))
    series = Series(name, (0, 1), (1.0, 2.0), labels=(name, name))
    figure = Figure(name, name, (series,), spans=(Span(0, 1, name),))
    claim = replace(study.results[0].claim, statement=name, paper=name, ours=name, rule=name)
    result = replace(
        study.results[0],
        **dict.fromkeys(("title", "finding", "n"), name),
        **{"claim": claim, "figure": figure, "table": Table((name,), ((name,),))},
        notes=(name,),
    )
    return replace(
        study,
        **dict.fromkeys(("title", "data", "scale"), name),
        **{"findings": (name,), "networks": (network,), "results": (result,)},
        provenance={name: name, "trials": [{"preset": name, name: name}], "data": {name: name}},
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """One page with all the names in one, and pages with the trickiest on their own."""
    folder = tmp_path_factory.mktemp("hostile")
    alone = [NAMES[1], NAMES[25], NAMES[29]]
    return [
        write_report(named(name), folder / str(i))
        for i, name in enumerate([" ".join(NAMES), *alone])
    ]


@pytest.mark.row("W4")
def test_names_that_are_markup_are_text(hostile):
    for path in hostile:
        text = path.read_text()
        page = Collector(text)
        assert page.tags.count("script") == page.tags.count("style") == 1
        assert page.tags.count("title") == 1 + 4  # of the page, of two points drawn twice
        assert {"img", "iframe", "base", "link", "form"}.isdisjoint(page.tags)
        assert page.events == []
        assert all(address.startswith("#") for address in page.addresses)
    assert "7*7" in hostile[0].read_text()
    assert not re.search(r"\b49\b", hostile[0].read_text())


@pytest.mark.row("W4", "W11")
def test_no_name_runs_and_nothing_is_asked_for(hostile):
    with chromium() as browser:
        page, asked, wrong = browser.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.add_init_script("window.hits = []; window.hit = (n) => hits.push(n)")
        for path in reversed(hostile):
            page.goto(path.as_uri())
            for place in page.locator("nav a, .map [tabindex]").all():
                place.click()
            assert page.evaluate("hits") == []
        assert page.get_by_text("hit(17)").count() > 5  # it is there, as text
        page.close()
    assert asked == [path.as_uri() for path in reversed(hostile)]
    assert wrong == []


@pytest.mark.row("W11")
def test_the_page_stands_alone(tmp_path):
    text = write_report(invented_study(), tmp_path).read_text()
    page = Collector(text)
    assert all(a.startswith("#") for a in page.addresses), page.addresses
    assert page.events == []
    assert len(page.ids) == len(set(page.ids))
    assert {a[1:] for a in page.addresses} <= set(page.ids)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.row("W11")
def test_all_is_there_where_the_page_is_moved_and_scripts_are_off(tmp_path):
    moved = write_report(invented_study(), tmp_path / "study").rename(tmp_path / "moved.html")
    with chromium() as browser:
        pages = []
        for scripts in (True, False):
            context = browser.new_context(java_script_enabled=scripts, offline=True)
            page = context.new_page()
            page.goto(moved.as_uri())
            pages.append(page.locator("main").inner_text())
            assert page.locator(".figure svg.wide").first.is_visible()
            context.close()
    assert pages[0] == pages[1]


@pytest.mark.row("W10")
def test_a_run_is_read_while_it_is_written(tmp_path):
    """Every look finds nothing yet, a step of it with who works there, or the whole run."""
    seen, problems, over = [], [], threading.Event()

    def look():
        while not over.is_set():
            for entry in runs(tmp_path):
                seen.append(entry.state)
                if entry.problem:
                    problems.append(entry.problem)
                try:
                    residuum.training.Run.open(entry.folder).outcome  # noqa: B018
                except CheckpointError as error:
                    if "finish" not in str(error):
                        problems.append(str(error))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        residuum.train("preresnet8", epochs=2, output=tmp_path / "run")
    finally:
        over.set()
        watcher.join()
    assert problems == []
    assert any("works here" in state for state in seen)
    assert [entry.state for entry in runs(tmp_path)] == ["finished"]


def test_numbers_that_no_axis_holds(tmp_path):
    study = invented_study()
    first = next(result for result in study.results if result.figure)
    hostile = replace(first, figure=Figure("x", "y", (Series("huge", (1, 2), (10**400, 1)),)))
    with pytest.raises(UsageError, match="cannot be drawn"):
        write_report(replace(study, results=(hostile,)), tmp_path)


def test_an_error_without_its_interval():
    with pytest.raises(UsageError, match="both ends"):
        Unit(0, "a to b", 1, "residual", error=5.0, low=1.0)
