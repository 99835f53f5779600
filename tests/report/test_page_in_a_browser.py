"""The page as a browser shows it: headless Chromium, on a desk and on a phone, light and dark."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from a_run import complete, evaluation
from devtools import Browser, find_chromium, pixels

from fastgan import recipes
from fastgan.report import write_report
from fastgan.scores import FoldEvaluation

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or sys.platform == "win32",
    reason="no Chromium here (chromium, google-chrome, or FASTGAN_CHROMIUM)",
)

WIDE, NARROW = (1280, 900), (390, 844)  # a laptop, a phone
READY = "!document.getElementById('walker').hidden"
SAMPLE = "document.getElementById('walk-sample').toDataURL()"
NEAREST = "document.getElementById('walk-nearest').toDataURL()"
SAYS = "document.getElementById('walk-says').textContent"
ALOUD = "document.getElementById('walk-range').getAttribute('aria-valuetext')"

# Text whose contrast with what lies behind it is below what WCAG 2.2 asks (AA, 1.4.3: 4.5, of
# large text 3), as "ratio: text".
FAINT = """
(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].reduce((sum, value, place) => {
    const part = value / 255;
    const linear = part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    return sum + linear * [0.2126, 0.7152, 0.0722][place];
  }, 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
      if (found[3] !== 0) throw new Error("half-transparent: " + at.outerHTML.slice(0, 80));
    }
    throw new Error("no background");
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  let n = 0;
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.getClientRects().length || element.closest("script, style")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(channels(style.color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    n += 1;
    if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5)) {
      faint.push(ratio.toFixed(2) + ": " + text.slice(0, 40));
    }
  }
  return [n, faint];
})()
"""

# What reaches past the window's right edge, unless it scrolls in a box of its own. (A phone zooms
# out where a page is too wide, and then says a wider innerWidth.)
TOO_WIDE = """
[...document.querySelectorAll("body *")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.width && box.right > document.documentElement.clientWidth + 0.5
    && !element.closest(".scroll, pre, nav ol, .skip");
}).map((element) => element.outerHTML.slice(0, 90))
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for all tests: its own profile, ended afterwards."""
    with Browser(CHROMIUM, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(run):
    """The report of a run that has everything."""
    complete(run, evaluation(comparable_to="MNIST", mean=217.4))
    for epoch, kind in ((2, "collapse"), (3, "saturated")):
        run.append_metrics(
            {"epoch": epoch, "step": 12 * epoch, "warning": kind, "message": f"it is {kind}"}
        )
    return write_report(run, notes=["Seed 0 collapsed at epoch 4."], source="made for a test")


def test_the_browser_tells_of_problems(browser, tmp_path):
    """What the other tests find nothing of is found where it is."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><meta charset=utf-8><img src='https://example.invalid/a.png'>"
        "<script>console.error('said')</script><script>throw new Error('thrown')</script>"
        "<p style='width:3000px;background:#fff;color:#888'>wide</p>"
    )
    browser.open(bad, width=NARROW[0])
    said = " ".join(browser.problems())
    assert "said" in said
    assert "thrown" in said
    assert browser.requests() == [bad.as_uri(), "https://example.invalid/a.png"]
    assert len(browser.evaluate(TOO_WIDE)) == 1
    assert browser.evaluate("document.documentElement.scrollWidth") > NARROW[0]
    browser.evaluate("document.body.style.background = '#fff'")
    assert browser.evaluate(FAINT) == [1, ["3.54: wide"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_nothing_and_the_console_is_empty(browser, page, scheme):
    browser.open(page, scheme=scheme)
    browser.until(READY)
    assert browser.requests() == [page.as_uri()]
    assert browser.problems() == []
    broken = "[...document.images].filter((i) => !i.complete || !i.naturalWidth).length"
    assert browser.evaluate(broken) == 0
    assert browser.evaluate("document.images.length") == 17


def test_the_policy_stops_what_is_not_the_page_s_own(browser, page):
    text = page.read_text(encoding="utf-8")
    evil = "<script>document.title = 'run'</script><img src='https://example.invalid/b.png'>"
    page.write_text(text.replace("<footer>", f"{evil}<footer>"), encoding="utf-8")
    browser.open(page)
    browser.until(READY)  # its own script still runs
    assert browser.evaluate("document.title") != "run"
    refused = [said for said in browser.problems() if "Content Security Policy" in said]
    assert any("script-src" in said for said in refused)
    assert any("img-src" in said for said in refused)


def test_the_slider_shows_another_sample_at_each_step(browser, page):
    browser.open(page)
    browser.until(READY)
    browser.evaluate("document.getElementById('walk-range').focus()")
    assert browser.evaluate(SAYS) == "point 1"
    shown = [browser.evaluate(SAMPLE)]
    for _ in range(11):
        browser.press("ArrowRight", 39)
        shown.append(browser.evaluate(SAMPLE))
    assert len(set(shown)) == 12  # 3 lines of 4 steps, each a sample of its own
    assert browser.evaluate(SAYS) == "3/4 of the way from point 3 to 1"
    assert browser.evaluate(ALOUD).startswith("3/4 of the way from point 3 to 1; nearest training")
    browser.press("ArrowRight", 39)  # the end
    assert browser.evaluate(SAMPLE) == shown[11]
    browser.press("Home", 36)
    assert browser.evaluate(SAMPLE) == shown[0]
    browser.press("End", 35)
    browser.press("ArrowLeft", 37)
    assert browser.evaluate(SAMPLE) == shown[10]


def test_each_step_shows_its_own_part_of_the_sheet(browser, page, run):
    from PIL import Image

    from fastgan.walk import WALK_PICTURE

    with Image.open(run.figures_folder / WALK_PICTURE) as sheet:
        expected = np.asarray(sheet)[:, :, 0]
    browser.open(page)
    browser.until(READY)
    for frame in (0, 5, 11):
        browser.evaluate(
            f"(() => {{ const range = document.getElementById('walk-range'); range.value = {frame};"
            "range.dispatchEvent(new Event('input')); })()"
        )
        for name, column in (("walk-sample", 0), ("walk-nearest", 1)):
            shown = browser.evaluate(
                f"[...document.getElementById('{name}').getContext('2d')"
                ".getImageData(0, 0, 8, 8).data]"
            )
            found = np.array(shown).reshape(8, 8, 4)[:, :, 0]
            part = expected[8 * frame : 8 * frame + 8, 8 * column : 8 * column + 8]
            np.testing.assert_array_equal(found, part)


def test_a_drawn_point_is_gone_to_and_play_walks_on(browser, page):
    browser.open(page)
    browser.until(READY)
    browser.evaluate("document.querySelector('button[data-frame=\"8\"]').click()")
    assert browser.evaluate(SAYS) == "point 3"
    browser.evaluate("document.getElementById('walk-play').click()")
    browser.until(f"{SAYS} !== 'point 3'")
    browser.until(f"{SAYS} === 'point 1'")  # the path is closed
    browser.evaluate("document.getElementById('walk-play').click()")
    before = browser.evaluate(SAYS)
    browser.evaluate("new Promise((done) => setTimeout(done, 300))")
    assert browser.evaluate(SAYS) == before


def test_nothing_moves_where_less_motion_is_asked_for(browser, page):
    state = (
        "[getComputedStyle(document.getElementById('walk-play')).display !== 'none',"
        "getComputedStyle(document.documentElement).scrollBehavior]"
    )
    browser.open(page)
    browser.until(READY)
    assert browser.evaluate(state) == [True, "smooth"]
    browser.open(page, reduced_motion=True)
    browser.until(READY)
    assert browser.evaluate(state) == [False, "auto"]


@pytest.mark.parametrize("width", [320, 390, 760, 1000, 1280, 1600])
def test_nothing_is_wider_than_the_window(browser, page, width):
    browser.open(page, width=width)
    browser.until(READY)
    browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width


def test_folds_and_two_stages_fit_a_phone(browser, run):
    run.recipe = recipes.by_name("tfd")
    folds = [
        evaluation(dataset="tfd", comparable_to="TFD", mean=-21900.0 + i, standard_error=123.4)
        for i in range(5)
    ]
    run.folds_path.write_text(FoldEvaluation.of(folds).to_json())
    browser.open(write_report(run), width=NARROW[0])
    browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate("document.documentElement.scrollWidth") == NARROW[0]
    assert browser.problems() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(browser, page, scheme):
    browser.open(page, scheme=scheme)
    browser.until(READY)
    browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    n_texts, faint = browser.evaluate(FAINT)
    assert n_texts > 200
    assert faint == []


def test_screenshots_are_of_a_page_and_of_two_themes(browser, page):
    shots = {}
    for scheme in ("light", "dark"):
        for width, height in (WIDE, NARROW):
            browser.open(page, width=width, height=height, scheme=scheme)
            browser.until(READY)
            shot = pixels(browser.screenshot())
            assert shot.shape == (height, width, 3)
            assert shot.std() > 20  # not blank
            shots[scheme, width] = shot
    for width in (WIDE[0], NARROW[0]):
        light, dark = shots["light", width], shots["dark", width]
        assert np.median(light) > 235
        assert np.median(dark) < 30
        assert np.abs(light - dark).mean() > 100


def test_without_scripts_the_page_stands(browser, page):
    browser.open(page, scripts=False)
    shown = browser.send(
        "Runtime.evaluate",
        expression="[document.getElementById('walker').hidden,"
        "document.getElementById('walk-off').hidden, document.querySelectorAll('section').length]",
        returnByValue=True,
    )["result"]["value"]
    assert shown == [True, False, 9]
    assert browser.problems() == []


def test_the_contents_mark_what_is_read(browser, page):
    marked = "[...document.querySelectorAll('nav [aria-current]')].map((a) => a.textContent)"
    browser.open(page, reduced_motion=True, width=NARROW[0], height=NARROW[1])
    browser.until(READY)
    for anchor, name in (
        ("training", "Training"),
        ("recipe", "Recipe"),
        ("walk", "Walk through z"),
    ):
        browser.evaluate(f"document.querySelector('nav a[href=\"#{anchor}\"]').click()")
        browser.until(f"{marked}.join() === '{name}'")
        top = f"document.getElementById('{anchor}').getBoundingClientRect().top"
        # below the contents, which stay at the top
        height = browser.evaluate("document.querySelector('nav').getBoundingClientRect().bottom")
        assert height <= browser.evaluate(top) < height + 60


def test_on_paper_everything_is_unfolded(browser, page):
    browser.open(page)
    browser.until(READY)
    folded = "document.querySelectorAll('details:not([open])').length"
    assert browser.evaluate(folded) == 2
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate(folded) == 0
    browser.evaluate("dispatchEvent(new Event('afterprint'))")
    assert browser.evaluate(folded) == 2
    browser.send("Emulation.setEmulatedMedia", media="print")
    shown = "getComputedStyle(document.querySelector('nav')).display"
    assert browser.evaluate(shown) == "none"
