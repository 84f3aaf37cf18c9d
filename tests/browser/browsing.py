"""What the browser tests do with a page and its window."""

from __future__ import annotations

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "w" * 200, "עברית-🔥")


def board_of(site, key="9c41d2aa", start="online"):
    """Where a leaderboard of the Run `key` lies."""
    return next(path for path in sorted((site.parent / "boards").glob(f"{start}*{key}.html")))


def opened(driver, path):
    """Open a page as a new visitor would."""
    resize(driver, 1400, 900)
    media(driver, "light")
    driver.get(f"{path.as_uri()}?fresh")
    driver.execute_script("try { localStorage.clear() } catch {}")
    driver.get(path.as_uri())
    driver.get_log("browser")
    driver.get_log("performance")
    return driver


def resize(driver, width: int, height: int) -> None:
    """Make the window so big, inside."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def media(driver, scheme: str) -> None:
    """Prefer light or dark colours."""
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}  # no smooth scrolling
    given = [{"name": name, "value": value} for name, value in features.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": given})
