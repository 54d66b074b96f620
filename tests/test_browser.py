"""The page in a real Chromium: four widths, light and dark, keyboard and touch."""

import pytest
from browser import chromium
from invented import invented_dissection, invented_study

from residuum.pages import write_dissection, write_report

WIDTHS = (390, 768, 1200, 1920)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return write_report(invented_study(), tmp_path_factory.mktemp("report")).as_uri()


def unfolded(page, address):
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    return page


@pytest.fixture(scope="module")
def one_page(browser, address):
    return unfolded(browser.new_page(), address)


@pytest.fixture
def visit(one_page):
    """The one page at a width, in light or dark, all its details unfolded."""

    def show(width=1200, scheme="light"):
        one_page.set_viewport_size({"width": width, "height": 900})
        one_page.emulate_media(color_scheme=scheme)
        one_page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
        return one_page

    return show


# what sticks out of the page, or, of a figure's text, out of its card
OUTSIDE = """() => {
  const wide = document.documentElement, found = [];
  if (wide.scrollWidth > wide.clientWidth) found.push("page " + wide.scrollWidth);
  for (const e of document.querySelectorAll("main *, nav")) {
    const box = e.getBoundingClientRect();
    const out = box.right > innerWidth + 1 && !e.closest("svg, .word");
    if (box.width && out) found.push(e.outerHTML.slice(0, 80));
  }
  for (const text of document.querySelectorAll(".figure svg text")) {
    const box = text.getBoundingClientRect(), card = text.closest(".card").getBoundingClientRect();
    if (box.width && (box.left < card.left || box.right > card.right)) found.push(text.textContent);
  }
  return found;
}"""

# pixels of the smallest text of the figures that are shown
TEXT = """() => Math.min(...[...document.querySelectorAll(".figure svg")]
  .filter(svg => svg.getBoundingClientRect().width)
  .flatMap(svg => [...svg.querySelectorAll("text")]
    .map(text => parseFloat(getComputedStyle(text).fontSize)
      * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)))"""


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_figures_can_be_read(visit, width):
    page = visit(width)
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(TEXT) >= 9.5
    shown = page.evaluate(
        "[...document.querySelectorAll('.figure')].map(f => [...f.querySelectorAll('svg')]"
        ".filter(s => s.getBoundingClientRect().width).map(s => s.getAttribute('class')).join())"
    )
    assert set(shown) == {"narrow" if width == 390 else "wide"}


def test_tables_stack_on_a_narrow_page(visit):
    row = "table.stacks tbody tr >> nth=0"
    sides = "row => new Set([...row.children].map(td => td.getBoundingClientRect().left)).size"
    assert visit(390).locator(row).evaluate(sides) == 1
    assert visit(768).locator(row).evaluate(sides) == 6


@pytest.mark.parametrize("width", WIDTHS)
def test_the_navigation_stays_in_sight_and_leads_back(visit, width):
    page = visit(width)
    page.evaluate("scrollTo(0, 5000)")
    assert page.evaluate("document.querySelector('nav').getBoundingClientRect().top") == 0
    page.get_by_text("↑ top").click()
    page.wait_for_function("scrollY === 0")
    names = page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.textContent)")
    assert any("not decidable at this scale" in name for name in names)


SEEN = """() => { window.seen ??= (document.addEventListener("focusin", (event) =>
  seen.push(event.target.getAttribute("aria-label"))), []); }"""


@pytest.mark.parametrize("group", ["#maps .map", "#figure-6c svg.wide"])
def test_the_keyboard_reaches_every_unit_and_every_point(visit, group):
    page = visit()
    page.evaluate(SEEN)
    for place in page.locator(group).all():
        targets = place.locator("[tabindex]")
        labels = targets.evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
        page.evaluate("seen.length = 0")
        targets.first.focus()
        for _ in labels[1:]:
            page.keyboard.press("ArrowRight")
        assert page.evaluate("seen") == labels
        assert len(labels) in (27, 56)
        assert page.locator(".tip").inner_text() == labels[-1]
        page.keyboard.press("Escape")
        assert page.locator(".tip").is_hidden()


def test_tab_alone_goes_from_group_to_group(browser, address):
    page, seen = browser.new_page(viewport={"width": 1200, "height": 900}), []
    page.goto(address)
    while not seen or seen[-1] != "FOOTER":
        page.keyboard.press("Tab")
        place = "document.activeElement.closest('.map, .figure svg, nav, footer')"
        seen.append(page.evaluate(f"{place} && {place}.tagName"))
        assert len(seen) < 100
    assert seen.count("svg") == 4
    assert seen.count("DIV") == 3  # the maps that are open
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"  # where one is can be seen
    page.close()


def test_a_finger_reads_units_and_points(browser, address):
    size = {"width": 390, "height": 800}
    page = unfolded(browser.new_page(viewport=size, has_touch=True), address)
    for target in (".cell >> nth=5", ".figure svg.narrow .points circle >> nth=30"):
        page.locator(target).scroll_into_view_if_needed()
        box = page.locator(target).bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        tip = page.locator(".tip")
        assert tip.is_visible()
        assert tip.inner_text()
        inside = tip.bounding_box()
        assert inside["x"] >= 0
        assert inside["x"] + inside["width"] <= 390
    page.close()


def test_a_pointer_reads_the_nearest_point(visit):
    page = visit()
    circle = page.locator(".figure svg.wide .points circle >> nth=3")
    circle.scroll_into_view_if_needed()
    box = circle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator(".tip").inner_text() == circle.get_attribute("aria-label")


def test_every_drawing_is_described(visit):
    drawings = visit().evaluate(
        "[...document.querySelectorAll('svg')].map(s => [s.getAttribute('role'),"
        " s.getAttribute('aria-label'), s.querySelector('desc')?.textContent])"
    )
    assert len(drawings) == 8
    assert all(role == "figure" and "Deleting" in label for role, label, _ in drawings)
    assert all("37.4" in finding for *_, finding in drawings)


# WCAG 2.2, 1.4.3: contrast of every text with the opaque colour behind it
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
      known.set(colour, [...canvas.getImageData(0, 0, 1, 1).data]);
    }
    return known.get(colour);
  };
  const light = (colour) => rgba(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const least = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    const shown = e.getBoundingClientRect().width && !e.closest("desc, title, script, style");
    if (!own || !shown) continue;
    const style = getComputedStyle(e), colour = e.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(colour), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) least.push([ratio, e.getAttribute("class"), e.textContent.slice(0, 40)]);
  }
  return least;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(visit, scheme):
    page = visit(scheme=scheme)
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert dark == (scheme == "dark")
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_two_ranges_are_told_apart(visit, scheme):
    keys = visit(scheme=scheme).locator("#figure-6c .glyph.span")
    colours = keys.evaluate_all("all => all.map(e => getComputedStyle(e).color)")
    assert len(set(colours)) == len(colours) == 2


def test_the_policy_forbids_nothing_that_the_page_does(browser, address):
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    assert page.evaluate("getComputedStyle(document.querySelector('.cell.h10')).backgroundColor")
    page.close()
    assert said == []


@pytest.fixture(scope="module")
def dissected(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dissected")
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    found = unfolded(page, write_dissection(invented_dissection(), folder).as_uri())
    yield found
    assert said == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_of_a_deep_dissection_overflows(dissected, width):
    dissected.set_viewport_size({"width": width, "height": 900})
    assert dissected.evaluate(OUTSIDE) == []
    assert dissected.evaluate(TEXT) >= 9.5
    cells = dissected.locator("#map .cell").evaluate_all(
        "all => all.map(e => [e.scrollWidth > e.clientWidth, e.getBoundingClientRect().width])"
    )
    assert len(cells) == 112
    assert all(
        not cut and wide >= 24 for cut, wide in cells
    )  # WCAG 2.2, 2.5.8: large enough to tap


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_a_dissection_stands_out(dissected, scheme):
    dissected.emulate_media(color_scheme=scheme)
    assert dissected.evaluate(CONTRAST) == []


def test_the_keyboard_goes_through_units_in_nests(dissected):
    cells = dissected.locator("#map .cell")
    cells.nth(1).focus()
    dissected.keyboard.press("ArrowRight")
    assert dissected.locator(".tip").inner_text() == cells.nth(2).get_attribute("aria-label")
    boxes = dissected.locator("#map .nest").evaluate_all(
        "all => all.map(e => e.querySelectorAll('.cell').length)"
    )
    assert boxes == [8, 3]
