"""The page in a real browser: sorting, filtering, linking, colours, a phone's width, and no complaint."""

from __future__ import annotations

import json

import pytest
from conftest import HOSTILE, media, resize
from runs import TECHNIQUES

pytest.importorskip("selenium", reason="selenium is not installed: pip install 'accel-harness[dev]'")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

FIRST = "table.board"


def names(page, table=0):
    return page.execute_script(
        "return [...document.querySelectorAll('table.board')[arguments[0]].tBodies]"
        ".filter(b => !b.hidden).map(b => b.querySelector('.technique').textContent)",
        table,
    )


def values(page, column):
    return page.execute_script(
        "const t = document.querySelector('table.board');"
        "const i = [...t.tHead.rows[0].cells].findIndex("
        "h => h.querySelector('button').dataset.key === arguments[0]);"
        "return [...t.tBodies].map(b => b.rows[0].cells[i].dataset.v)",
        column,
    )


def header(page, key):
    return page.find_element(By.CSS_SELECTOR, f"{FIRST} thead button[data-key={key}]")


def set_value(page, name, value):
    page.execute_script(
        "const e = document.querySelector('form.tools').elements[arguments[0]];"
        "if (e.type === 'checkbox') e.checked = arguments[1]; else e.value = arguments[1];"
        "e.dispatchEvent(new Event('input', {bubbles: true}));"
        "e.dispatchEvent(new Event('change', {bubbles: true}))",
        name,
        value,
    )


def open_machine(page, index):
    """The click changes the address; the page answers to that in a later turn of its event loop."""
    page.execute_script("arguments[0].click()", page.find_elements(By.CSS_SELECTOR, ".machines a")[index])
    WebDriverWait(page, 10).until(lambda p: p.find_elements(By.CSS_SELECTOR, ".run")[index].is_displayed())


def background(page):
    return page.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_nothing_is_complained_of_and_nothing_is_fetched(page, site):
    page.get(site.as_uri())
    assert page.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith("data:")] == [site.as_uri()]


def test_starts_with_the_fastest_first(page):
    assert names(page)[0] == "pruned-int8"
    assert header(page, "speedup").find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("key", ["speedup", "quality", "change", "p50", "p99", "size", "build", "rss"])
def test_a_header_sorts_both_ways_with_missing_values_last(page, key):
    first = header(page, key).get_attribute("data-first")
    for _ in range(2):
        header(page, key).click()
        direction = header(page, key).find_element(By.XPATH, "..").get_attribute("aria-sort")
        found = values(page, key)
        known = [float(value) for value in found if value]
        assert known == sorted(known, reverse=direction == "descending")
        assert all(value == "" for value in found[len(known) :])
    assert first in ("ascending", "descending")


def test_names_sort_and_the_keyboard_does_it(page):
    header(page, "name").send_keys(Keys.ENTER)
    assert names(page) == sorted(t.name for t in TECHNIQUES)
    header(page, "name").send_keys(Keys.SPACE)
    assert names(page) == sorted((t.name for t in TECHNIQUES), reverse=True)


def test_sorting_one_table_leaves_the_others(page):
    before = names(page, 1)
    header(page, "name").click()
    assert names(page, 1) == before


def test_filters_by_text_family_runtime_and_budget(page):
    set_value(page, "text", "INT8")
    assert set(names(page)) == {"int8-dynamic", "int8-static", "pruned-int8"}
    set_value(page, "family", "quantized")
    assert set(names(page)) == {"int8-dynamic", "int8-static"}
    set_value(page, "text", "")
    set_value(page, "family", "")
    set_value(page, "runtime", "torch-compile")
    assert names(page) == ["compile"]
    assert page.find_element(By.CSS_SELECTOR, "form.tools output").text == "2 of 18 Cells"
    set_value(page, "runtime", "")
    set_value(page, "within", True)
    assert "pruned-int8" not in names(page)
    assert len(names(page)) == len(TECHNIQUES) - 1


def test_a_filter_that_nothing_fits_says_so_and_fades_the_points(page):
    set_value(page, "text", "nothing like this")
    assert names(page) == []
    assert page.find_element(By.CSS_SELECTOR, ".group .empty").is_displayed()
    assert (
        page.execute_script("return document.querySelectorAll('.run:not([hidden]) .pt:not(.off)').length")
        == 0
    )
    set_value(page, "text", "")
    assert len(names(page)) == len(TECHNIQUES)


def test_a_fold_opens_by_keyboard_and_tells_the_record(page):
    button = page.find_element(By.CSS_SELECTOR, f"{FIRST} .more")
    button.send_keys(Keys.ENTER)
    fold = page.find_element(By.ID, button.get_attribute("aria-controls"))
    assert button.get_attribute("aria-expanded") == "true"
    assert fold.is_displayed()
    assert "paired Trials" in fold.text
    assert "harness run suites/digits.yaml" in fold.text
    button.send_keys(Keys.ENTER)
    assert not fold.is_displayed()


def test_pointing_at_a_point_names_it_and_lights_its_row(page):
    page.execute_script(
        "const p = document.querySelector('.f-tradeoff .pt');"
        "p.dispatchEvent(new PointerEvent('pointerover', {bubbles: true, clientX: 300, clientY: 300}))"
    )
    tip = page.find_element(By.ID, "tip")
    assert tip.is_displayed()
    lit = page.find_element(By.CSS_SELECTOR, ".entry.lit .technique").text
    assert tip.text.startswith(lit)
    assert "the baseline’s speed" in tip.text


def test_a_click_on_a_point_leads_to_its_row(page):
    cell = page.execute_script(
        "const p = document.querySelector('.f-tradeoff .pt');"
        "p.dispatchEvent(new MouseEvent('click', {bubbles: true})); return p.dataset.cell"
    )
    flashed = page.find_element(By.CSS_SELECTOR, ".entry.flash")
    assert flashed.get_attribute("data-cell") == cell


def test_every_row_has_a_point_and_every_point_a_row(page):
    points, rows = page.execute_script(
        "const g = document.querySelector('.group'); const ids = s => "
        "[...new Set([...g.querySelectorAll(s)].map(e => e.dataset.cell))].sort();"
        "return [ids('.f-tradeoff .pt'), ids('.entry')]"
    )
    assert points == rows


def test_dark_follows_the_system_and_the_button(page):
    light = background(page)
    media(page, "dark")
    assert background(page) != light
    button = page.find_element(By.ID, "theme")
    button.click()
    assert button.get_attribute("aria-label") == "Colours: light"
    assert background(page) == light
    media(page, "light")
    button.click()
    assert background(page) != light
    ink = page.execute_script("return getComputedStyle(document.querySelector('.drawing .pt text')).fill")
    assert ink != "rgb(26, 32, 39)"


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1400])
def test_the_page_never_scrolls_sideways(page, width):
    resize(page, width, 900)
    for index in range(len(page.find_elements(By.CSS_SELECTOR, ".machines a"))):
        open_machine(page, index)
        assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_on_a_phone_rows_are_cards_and_sort_by_a_list(page):
    resize(page, 390, 844)
    assert not page.find_element(By.CSS_SELECTOR, f"{FIRST} thead").is_displayed()
    set_value(page, "sort", "size ascending")
    assert names(page)[0] == "pruned-int8"
    assert names(page, 1)[0] == "pruned-int8"
    set_value(page, "sort", "name ascending")
    assert names(page) == sorted(t.name for t in TECHNIQUES)


@pytest.mark.parametrize("width", [390, 1400])
def test_no_text_of_a_figure_covers_another(page, width):
    """Texts of the scatter, as this browser sets them, in its own font."""
    resize(page, width, 900)
    clashes = page.execute_script(
        "const out = []; for (const svg of document.querySelectorAll('.run:not([hidden]) .f-tradeoff svg')) {"
        " const t = [...svg.querySelectorAll('text')].map(e => [e.textContent, e.getBoundingClientRect()]);"
        " t.forEach(([a, r], i) => t.slice(i + 1).forEach(([b, s]) => {"
        "  if (r.left < s.right - 1 && s.left < r.right - 1 && r.top < s.bottom - 3 && s.top < r.bottom - 3)"
        "   out.push(a + ' / ' + b) })) } return out"
    )
    assert clashes == []


def test_machines_are_shown_one_at_a_time(page):
    runs = page.find_elements(By.CSS_SELECTOR, ".run")
    assert [run.is_displayed() for run in runs] == [True, False]
    open_machine(page, 1)
    assert [run.is_displayed() for run in runs] == [False, True]
    current = page.find_elements(By.CSS_SELECTOR, ".machines a[aria-current]")
    assert [link.text for link in current] == ["Other CPU"]


def test_hostile_names_are_text(page):
    open_machine(page, 1)
    shown = page.execute_script(
        "return [...document.querySelectorAll('.run:not([hidden]) .technique')].map(e => e.textContent)"
    )
    assert set(HOSTILE) <= set(shown)
    assert page.execute_script("return document.querySelectorAll('main img, main script').length") == 0
    assert page.get_log("browser") == []


def test_a_link_to_a_row_opens_its_machine(page, site):
    target = page.execute_script("return document.querySelectorAll('.run')[1].querySelector('.entry').id")
    page.get("about:blank")
    page.get(f"{site.as_uri()}#{target}")
    assert page.find_element(By.ID, target).is_displayed()


def test_everything_that_can_be_operated_has_a_name(page):
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('button, a, input, select, summary')].filter(e =>"
        " !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label')?.textContent.trim()))"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert unnamed == []
