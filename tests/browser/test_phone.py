"""What a person with a phone can read: whole words, the page they are on, the texts of figures."""

from __future__ import annotations

import pytest
from browsing import board_of, resize

pytest.importorskip("selenium", reason="selenium is not installed: pip install 'accel-harness[dev]'")

from selenium.webdriver.common.by import By

PHONE = (390, 844)
BROKEN = """
const out = [], walk = document.createTreeWalker(arguments[0], NodeFilter.SHOW_TEXT);
while (walk.nextNode()) for (const word of walk.currentNode.data.matchAll(/[^ \\t\\n]+/g)) {
  const range = document.createRange();
  range.setStart(walk.currentNode, word.index);
  range.setEnd(walk.currentNode, word.index + word[0].length);
  const rows = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
  if (rows.size > 1) out.push(word[0]);
}
return out"""
"""Words on more than one line; what a no-break space joins is one word."""


def opened(driver, site, name, width, height=900):
    resize(driver, width, height)
    driver.get((site.parent / name).as_uri())
    return driver


@pytest.mark.parametrize("width", [390, 1400])
def test_no_word_of_the_runs_is_broken(driver, site, width):
    page = opened(driver, site, "runs.html", width)
    table = page.find_element(By.CSS_SELECTOR, "table.runs")
    page.execute_script(
        "arguments[0].querySelectorAll('td:nth-child(2) span')[0].textContent = 'quantization'", table
    )
    assert page.execute_script(BROKEN, table) == []
    box = page.find_element(By.CSS_SELECTOR, ".box")
    assert page.execute_script("return arguments[0].scrollWidth - arguments[0].clientWidth", box) <= 0


def test_on_a_phone_each_run_is_a_card_that_names_its_values(driver, site):
    page = opened(driver, site, "runs.html", *PHONE)
    table = page.find_element(By.CSS_SELECTOR, "table.runs")
    assert not table.find_element(By.TAG_NAME, "thead").is_displayed()
    heads = [cell.get_attribute("textContent") for cell in table.find_elements(By.CSS_SELECTOR, "thead th")]
    for row in table.find_elements(By.CSS_SELECTOR, "tbody tr"):
        cells = row.find_elements(By.TAG_NAME, "td")
        assert [cell.get_attribute("data-label") for cell in cells] == heads[1:]
        assert all(cell.size["width"] > 300 for cell in cells)


@pytest.mark.parametrize("name", ["index.html", "machines.html", "runs.html", "method.html"])
def test_on_a_phone_every_entry_of_the_navigation_is_in_sight(driver, site, name):
    page = opened(driver, site, name, *PHONE)
    places = page.execute_script(
        "return [...document.querySelectorAll('.site a')].map(a => {"
        " const r = a.getBoundingClientRect(); return [a.textContent, r.left, r.right] })"
    )
    assert len(places) > 4
    assert [text for text, left, right in places if left < 0 or right > PHONE[0]] == []


def test_on_a_phone_the_texts_of_figures_are_large_enough_to_read(driver, site):
    pages = [board_of(site), *sorted(site.parent.glob("families/*.html"))]
    pages += [site, *sorted(site.parent.glob("models/*.html")), *sorted(site.parent.glob("cells/*.html"))[:2]]
    sizes = []
    for path in pages:
        page = opened(driver, site, path.relative_to(site.parent), *PHONE)
        sizes += page.execute_script(
            "return [...document.querySelectorAll('.drawing svg text')]"
            ".filter(t => t.getClientRects().length)"
            ".map(t => [parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a, t.textContent])"
        )
    upright = [(size, text) for size, text in sizes if size > 1]  # a turned text has another matrix
    assert len(upright) > 20
    assert [one for one in upright if one[0] < 10.9] == []


def test_a_figure_wider_than_the_phone_scrolls_in_a_named_box_by_keyboard(driver, site):
    page = opened(driver, site, board_of(site).relative_to(site.parent), *PHONE)
    boxes = page.find_elements(By.CSS_SELECTOR, ".drawing")
    wider = [
        box
        for box in boxes
        if page.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", box)
    ]
    assert wider
    for box in boxes:
        assert box.get_attribute("tabindex") == "0"
        assert box.get_attribute("aria-label")


def test_no_figure_is_parted_from_its_unit_on_the_method_page(driver, site):
    page = opened(driver, site, "method.html", *PHONE)
    text = page.execute_script("return document.querySelector('main').textContent")
    assert "the 95\u00a0% interval" in text
    assert "95 %" not in text
