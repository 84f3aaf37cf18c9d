"""Every kind of page holds the rules of axe-core (WCAG A, AA, best practices), in both themes and widths."""

from __future__ import annotations

import axe
import pytest
from browsing import media, resize

pytest.importorskip("selenium", reason="selenium is not installed: pip install 'accel-harness[dev]'")


@pytest.fixture(scope="session")
def checker():
    """axe-core's script."""
    try:
        return axe.source()
    except axe.MissingError as error:
        pytest.skip(str(error))


def kinds(site):
    """Pages of each kind: all single ones, of a folder the first and the last."""
    found = sorted(site.parent.glob("*.html"))
    for folder in sorted(path for path in site.parent.iterdir() if path.is_dir()):
        pages = sorted(folder.glob("*.html"))
        found += dict.fromkeys([*pages[:2], *pages[-2:]])
    return found


def violations(driver, script):
    driver.execute_script(script)
    return driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations.map("
        " v => v.id + ': ' + v.help + ' | ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 150)"
        "  + ' (' + (n.any[0]?.message ?? '') + ')').join(' | '))),"
        " e => done([String(e)]))"
    )


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_a_rule(driver, site, checker, scheme, width):
    resize(driver, width, 900)
    media(driver, scheme)
    driver.set_script_timeout(300)
    found = []
    for path in kinds(site):
        driver.get(path.as_uri())
        name = path.relative_to(site.parent).as_posix()
        found += [f"{name}: {broken}" for broken in violations(driver, checker)]
    assert not found, "\n".join(found)


def test_the_checker_sees_what_is_broken(driver, site, checker):
    driver.get(site.as_uri())
    driver.execute_script("document.documentElement.removeAttribute('lang')")
    assert any(one.startswith("html-has-lang") for one in violations(driver, checker))
