"""The report's page as a reader meets it, in headless Chromium."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("Chromium is not installed: apt-get install chromium", allow_module_level=True)

sync_api = pytest.importorskip("playwright.sync_api")

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Of a mark within its picture, in one look: the page may be scrolling.
CENTRE = """(mark) => {
  const [a, b] = [mark.ownerSVGElement.getBoundingClientRect(), mark.getBoundingClientRect()];
  return { x: b.x + b.width / 2 - a.x, y: b.y + b.height / 2 - a.y };
}"""
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1100, "height": 900}


@dataclass
class Opened:
    """A page, and what went wrong on it or left it."""

    page: "sync_api.Page"
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=[(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def opened(browser, address, request) -> Iterator[Opened]:
    size, scheme = request.param
    context = browser.new_context(viewport=size, color_scheme=scheme)
    tab = context.new_page()
    found = Opened(tab)
    tab.on("console", lambda message: found.complaints.append(message.text))
    tab.on("pageerror", lambda error: found.complaints.append(str(error)))
    tab.on("dialog", lambda dialog: (found.complaints.append(dialog.message), dialog.dismiss()))

    def route(one: "sync_api.Route") -> None:
        if one.request.url == address:
            one.continue_()
        else:
            found.requests.append(one.request.url)
            one.abort()

    context.route("**/*", route)
    tab.goto(address)
    yield found
    context.close()
    assert found.complaints == []
    assert found.requests == []


def set_alpha(tab: "sync_api.Page", alpha: float) -> None:
    tab.locator("#alpha").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", str(alpha)
    )


def shares(tab: "sync_api.Page") -> dict[str, int]:
    rows = tab.locator("#shares tbody tr").all()
    return {row.locator("th").inner_text(): int(row.locator("td").first.inner_text()) for row in rows}


def test_it_fits_the_screen_and_shows_its_verdict(opened):
    widths = opened.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    assert "FAIL the convergence gate" in opened.page.locator(".verdict").inner_text()


def test_dark_where_the_reader_wants_it(opened):
    dark = opened.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    colour = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    luminance = sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3
    assert (luminance < 60) if dark else (luminance > 200)


def test_the_slider_moves_the_decisions_as_the_model_does(opened, routed):
    seen = []
    for alpha in (0.0, 0.5, 0.8, 1.0):
        set_alpha(opened.page, alpha)
        chosen = np.bincount(routed.chosen(alpha), minlength=len(routed.llm))
        expected = {name: int(n) for name, n in zip(routed.llm, chosen, strict=True) if n}
        assert shares(opened.page) == expected
        seen.append(opened.page.locator("#summary").inner_text())
        assert f"{100 * routed.curve[round(100 * alpha)]['mean']:.1f} % right" in seen[-1]
    assert len(set(seen)) > 1
    assert opened.page.locator("#frontier svg path.now").count() == 1


def test_the_keyboard_is_enough(opened):
    tab = opened.page
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    tab.locator("#alpha").focus()
    before = tab.locator("#alpha-value").inner_text()
    tab.keyboard.press("ArrowLeft")
    assert float(tab.locator("#alpha-value").inner_text()) == pytest.approx(float(before) - 0.01)
    tab.locator("#next").focus()
    first = tab.locator("#choice").inner_text()
    tab.keyboard.press("Enter")
    assert tab.locator("#choice").inner_text() != first


def test_every_cross_can_be_named_by_keyboard_and_by_finger(opened):
    """A name that shows only under a mouse is no name for who has none."""
    tab = opened.page
    crosses, told = tab.locator("#frontier path.single"), tab.locator("#marked-told")
    hints = [cross.text_content() for cross in crosses.all()]
    assert [hint.rsplit(": ", 1)[0] for hint in hints] == tab.locator("#marked option").all_text_contents()[
        1:
    ]
    assert len(hints) > 1
    tab.locator("#marked").focus()
    for hint in hints[:2]:
        tab.keyboard.press("ArrowDown")
        assert told.text_content() == hint
        assert tab.locator("#frontier path.single.marked").text_content() == hint
    for k in (1, 0):
        tab.locator("#frontier svg").click(position=crosses.nth(k).evaluate(CENTRE))
        assert told.text_content() == hints[k]
        assert tab.locator("#frontier .ring").count() == 1
    set_alpha(tab, 0.3)
    assert tab.locator("#frontier path.single.marked").count() == 1


def test_intervals_are_numbers_that_can_be_read(opened):
    tab = opened.page
    for cell in ("#candidates tbody tr td small", "table.abilities tbody tr td small"):
        first = tab.locator(cell).first
        assert first.is_visible()
        assert " to " in first.inner_text()
    assert tab.locator("[title]").count() == 0  # what a title says, only a mouse can read


def test_a_query_is_found_and_shown(opened, routed):
    tab = opened.page
    tab.locator("#find").fill(routed.query[3])
    assert tab.locator("#query option").count() == 1
    assert routed.query[3] in tab.locator("#choice").inner_text()
    assert tab.locator("#text").text_content() == routed.text[3]
    set_alpha(tab, 1.0)
    best = routed.llm[int(routed.p[3].argmax())]
    assert tab.locator("#candidates tbody tr.chosen th").text_content() == best
    tab.locator("#find").fill("no query is called like this")
    assert "No query" in tab.locator("#choice").inner_text()
