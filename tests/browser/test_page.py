"""The site in a real browser: sorting, filtering, linking, colours, a phone's width, and no complaint."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from browsing import HOSTILE, board_of, media, opened, resize
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
    """The click changes the address; the page answers to that in a later step of its event loop."""
    page.execute_script("arguments[0].click()", page.find_elements(By.CSS_SELECTOR, ".machines a")[index])
    WebDriverWait(page, 60).until(lambda p: p.find_elements(By.CSS_SELECTOR, ".run")[index].is_displayed())


def every_page(site):
    """All pages but the Cells', of which every fourth stands for the others."""
    found = sorted(site.parent.rglob("*.html"))
    cells = [path for path in found if path.parent.name == "cells"]
    return [path for path in found if path not in cells] + cells[::4]


def background(page):
    return page.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_nothing_is_complained_of_and_nothing_is_fetched_but_the_sites_own_files(front, site):
    root = site.parent.as_uri()
    for path in every_page(site):
        front.get(path.as_uri())
        assert front.get_log("browser") == [], path
        messages = [json.loads(entry["message"])["message"] for entry in front.get_log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        own = {path.as_uri(), f"{root}/assets/site.css", f"{root}/assets/site.js"}
        assert {url for url in sent if not url.startswith("data:")} == own


def test_no_link_is_broken(front, site):
    targets = {}
    for path in sorted(site.parent.rglob("*.html")):
        front.get(path.as_uri())
        links, ids = front.execute_script(
            "return [[...document.querySelectorAll('a[href]')].map(a => a.href),"
            " [...document.querySelectorAll('[id]')].map(e => e.id)]"
        )
        targets[path.as_uri()] = (set(links), set(ids))
    for source, (links, _) in targets.items():
        for link in links:
            where, _, fragment = link.partition("#")
            assert where.startswith("file://"), link
            assert Path(unquote(where.removeprefix("file://"))).is_file(), (source, link)
            assert not fragment or unquote(fragment) in targets[where][1], (source, link)


def test_starts_with_the_fastest_first(page):
    assert names(page)[0] == "pruned-int8"
    assert header(page, "speedup").find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("key", ["speedup", "quality", "change", "latency", "p99", "size", "build", "rss"])
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


def test_filters_by_text_family_runtime_and_budget(page):
    set_value(page, "text", "INT8")
    assert set(names(page)) == {"int8-dynamic", "int8-static", "pruned-int8"}
    set_value(page, "family", "quantized")
    assert set(names(page)) == {"int8-dynamic", "int8-static"}
    set_value(page, "text", "")
    set_value(page, "family", "")
    set_value(page, "runtime", "torch-compile")
    assert names(page) == ["compile"]
    assert page.find_element(By.CSS_SELECTOR, "form.tools output").text == "1 of 9 Cells"
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


@pytest.mark.parametrize("key", ["loss", "latency", "rss", "size"])
def test_a_slider_leaves_what_holds_its_budget_and_says_how_much_it_is(page, key):
    taken = page.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('.entry')].map("
        "e => [e.querySelector('.technique').textContent, Number(e.dataset[arguments[0]])]))",
        key,
    )
    stops = json.loads(page.find_element(By.NAME, f"limit-{key}").get_attribute("data-values"))
    assert stops == sorted(set(taken.values()))
    shown = page.find_element(By.CSS_SELECTOR, f"input[name=limit-{key}] + .at")
    assert shown.text == "any"
    for index in (0, len(stops) // 2):
        set_value(page, f"limit-{key}", index)
        assert set(names(page)) == {name for name, value in taken.items() if value <= stops[index]}
        assert shown.text.startswith("≤ ")
    page.find_element(By.CSS_SELECTOR, "form.tools button[type=reset]").click()
    WebDriverWait(page, 60).until(lambda p: len(names(p)) == len(TECHNIQUES))
    assert shown.text == "any"


def test_a_budget_of_one_metric_leaves_models_of_another_alone(driver, site):
    page = opened(driver, board_of(site, "ffff"))
    metrics = page.execute_script(
        "return [...document.querySelectorAll('input[data-key=loss]')].map(e => [e.name, e.dataset.metric])"
    )
    assert [metric for _, metric in metrics] == ["top1", "cosine"]
    for turn, (name, _) in enumerate(metrics):
        before = names(page, 1 - turn)
        set_value(page, name, 0)
        assert names(page, 1 - turn) == before
        kept = page.execute_script(
            "return [...document.querySelectorAll('table.board')[arguments[0]].tBodies]"
            ".filter(b => !b.hidden).map(b => Number(b.dataset.loss))",
            turn,
        )
        assert set(kept) == {0}
        set_value(page, name, 99)


def test_budgets_and_filters_hold_together(page):
    set_value(page, "limit-loss", 0)
    set_value(page, "family", "quantized")
    assert names(page) == []
    set_value(page, "limit-loss", 99)
    assert set(names(page)) == {"int8-dynamic", "int8-static"}


def test_a_row_leads_to_its_cell_and_the_cell_back(page):
    page.find_element(By.CSS_SELECTOR, f"{FIRST} .technique").click()
    assert page.find_element(By.TAG_NAME, "h1").text == "pruned-int8"
    assert "harness run suites/digits.yaml" in page.find_element(By.TAG_NAME, "main").text
    page.find_elements(By.CSS_SELECTOR, ".crumbs a")[1].click()
    assert "pruned-int8" in names(page)


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


def test_pointing_at_points_that_cover_each_other_names_them_all(page):
    """The second point is moved onto the first, as techniques of one speed and quality would lie."""
    names_of = page.execute_script(
        "const marks = [...document.querySelectorAll('.f-tradeoff g.pt use')];"
        "const [p, q] = marks.slice(0, 2).map(u => u.closest('.pt'));"
        "p.scrollIntoView({block: 'center'});"
        "const [a, b] = [p, q].map(g => g.querySelector('use'));"
        "for (const name of ['x', 'y']) b.setAttribute(name, a.getAttribute(name));"
        "const r = a.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;"
        "document.elementFromPoint(x, y).dispatchEvent("
        " new PointerEvent('pointerover', {bubbles: true, clientX: x, clientY: y}));"
        "return [p, q].map(g => document.querySelector(`.entry[data-cell='${g.dataset.cell}'] .technique`)"
        ".textContent)"
    )
    lines = page.find_element(By.ID, "tip").text.split("\n")
    assert {line.split(" · ")[0] for line in lines} >= set(names_of)
    assert len(lines) == len(set(lines))


def test_a_click_on_a_point_leads_to_its_cell(page):
    cell = page.execute_script(
        "const p = document.querySelector('.f-tradeoff .pt');"
        "p.dispatchEvent(new MouseEvent('click', {bubbles: true})); return p.dataset.cell"
    )
    WebDriverWait(page, 60).until(lambda p: f"/cells/{cell}" in p.current_url)


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
    assert button.get_attribute("aria-label") == "Theme: light"
    assert background(page) == light
    media(page, "light")
    button.click()
    assert background(page) != light
    ink = page.execute_script("return getComputedStyle(document.querySelector('.drawing .pt text')).fill")
    assert ink != "rgb(26, 32, 39)"


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1400])
def test_no_page_scrolls_sideways(front, site, width):
    resize(front, width, 900)
    for path in every_page(site):
        front.get(path.as_uri())
        assert front.execute_script("return document.documentElement.scrollWidth") <= width, path
    front.get(site.as_uri())
    for index in range(2):
        open_machine(front, index)
        assert front.execute_script("return document.documentElement.scrollWidth") <= width


def test_on_a_phone_rows_are_cards_and_sort_by_a_list(page):
    resize(page, 390, 844)
    assert not page.find_element(By.CSS_SELECTOR, f"{FIRST} thead").is_displayed()
    set_value(page, "sort", "size")
    assert names(page)[0] == "pruned-int8"
    set_value(page, "sort", "name")
    assert names(page) == sorted(t.name for t in TECHNIQUES)


def test_on_a_phone_a_filter_hides_cards_too(page):
    resize(page, 390, 844)
    set_value(page, "runtime", "torch-compile")
    cards = page.find_elements(By.CSS_SELECTOR, f"{FIRST} tbody")
    shown = [card.get_attribute("data-runtime") for card in cards if card.is_displayed()]
    assert shown == ["torch-compile"]


@pytest.mark.parametrize("width", [390, 1400])
def test_no_text_of_a_figure_covers_another(front, site, width):
    """Texts of all figures, as this browser sets them, in its own font."""
    resize(front, width, 900)
    for path in every_page(site):
        front.get(path.as_uri())
        clashes = front.execute_script(
            "const out = []; for (const svg of document.querySelectorAll('.drawing svg')) {"
            " const t = [...svg.querySelectorAll('text')].map("
            "  e => [e.textContent, e.getBoundingClientRect()]);"
            " t.forEach(([a, r], i) => t.slice(i + 1).forEach(([b, s]) => { if (r.width && s.width"
            "  && r.left < s.right - 1 && s.left < r.right - 1"
            "  && r.top < s.bottom - 3 && s.top < r.bottom - 3)"
            "   out.push(a + ' / ' + b) })) } return out"
        )
        assert clashes == [], path


def test_machines_are_shown_one_at_a_time(front):
    runs = front.find_elements(By.CSS_SELECTOR, ".run")
    assert [run.is_displayed() for run in runs] == [True, False]
    open_machine(front, 1)
    assert [run.is_displayed() for run in runs] == [False, True]
    current = front.find_elements(By.CSS_SELECTOR, ".machines a[aria-current]")
    assert [link.text for link in current] == ["Other CPU"]


def test_hostile_names_are_text_on_every_page(front, site):
    opened(front, board_of(site, "ffff"))
    assert set(HOSTILE) <= set(names(front))
    for path in every_page(site):
        front.get(path.as_uri())
        found = front.execute_script("return document.querySelectorAll('main img, main script').length")
        assert found == 0, path
    assert front.get_log("browser") == []


def test_a_link_to_a_machine_opens_it(front, site):
    front.get("about:blank")
    front.get(f"{site.as_uri()}#m-digits.ffff")
    assert [run.is_displayed() for run in front.find_elements(By.CSS_SELECTOR, ".run")] == [False, True]


def test_everything_that_can_be_operated_has_a_name(front, site):
    for path in every_page(site):
        front.get(path.as_uri())
        unnamed = front.execute_script(
            "return [...document.querySelectorAll('button, a, input, select, summary')].filter(e =>"
            " !(e.getAttribute('aria-label') || e.textContent.trim()"
            "  || e.closest('label')?.textContent.trim()))"
            ".map(e => e.outerHTML.slice(0, 80))"
        )
        assert unnamed == [], path


def test_a_familys_overview_is_read_on_a_phone(front, site):
    """Names are whole, in lines as wide as they need, and three Groups stand beside them."""
    resize(front, 390, 844)
    front.get((site.parent / "families" / "quantize.html").as_uri())
    cut, lines, beside = front.execute_script(
        "const heads = [...document.querySelectorAll('.overview tbody th')];"
        "const high = (e) => e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight);"
        "const cells = [...document.querySelector('.overview tbody tr').cells];"
        "return [heads.filter(h => h.scrollWidth > h.clientWidth + 1).length,"
        " Math.max(...heads.map(high)), cells.map(c => c.getBoundingClientRect().right)]"
    )
    assert cut == 0
    assert lines < 3
    assert all(right < 390 for right in beside[:4])
