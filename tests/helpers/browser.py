"""A real browser for tests: the machine's own Chromium without a window, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
"""Windows in CSS pixels that every page is looked at in."""

SCREENSHOTS = Path(os.environ.get("RANKLINE_SCREENSHOTS", Path(__file__).parents[2] / "build" / "screenshots"))
"""Where tests leave what they saw."""


@dataclass
class Tab:
    """A page of the browser, with what went wrong in it: errors of its console, and addresses it asked for that are
    not of the machine itself."""

    page: Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def shoot(self, name: str) -> Path:
        """Keeps a picture of the whole page; returns its file."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=True)
        return path

    def cut_off(self) -> list[str]:
        """Texts that reach beyond the window's width outside anything that scrolls."""
        return list(self.page.evaluate(_CUT_OFF))

    def too_wide(self) -> list[str]:
        """Names of the boxes that scroll sideways, whose contents are wider than they are."""
        return list(self.page.evaluate(_TOO_WIDE))

    def unnamed(self) -> list[str]:
        """Controls and regions without a name of their own that a screen reader could tell."""
        return list(self.page.evaluate(_UNNAMED))

    def pale(self) -> list[str]:
        """Texts that differ from their ground by less than 4.5 to 1, the least that WCAG 2 (AA) allows."""
        return list(self.page.evaluate(_PALE))


_CUT_OFF = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = one => { for (let up = one; up; up = up.parentElement)
    if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(up).overflowX) && up !== document.body
        && up !== document.documentElement) return true; return false; };
  const found = [];
  for (const one of document.body.querySelectorAll('*')) {
    const box = one.getBoundingClientRect();
    const text = [...one.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
    if (text && box.width && box.height && (box.right > width + 1 || box.left < -1) && !scrolls(one)
        && getComputedStyle(one).visibility !== 'hidden') found.push(text.slice(0, 60));
  }
  return found;
}"""


_TOO_WIDE = """() => [...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth)
  .map(one => `${one.ariaLabel}: ${one.scrollWidth} in ${one.clientWidth}`)"""

_UNNAMED = """() => [...document.querySelectorAll('[role=slider], [role=listbox], .wide, fieldset, button')]
  .filter(one => !(one.ariaLabel || one.title || one.querySelector(':scope > legend')?.textContent
    || (one.getAttribute('aria-labelledby') ?? '').split(' ').some(id => document.getElementById(id)?.textContent)
    || (one.tagName === 'BUTTON' && one.textContent))
    || (one.matches('.wide') && (one.tabIndex !== 0 || one.role !== 'region')))
  .map(one => one.outerHTML.slice(0, 120))"""

_PALE = """() => {
  const colour = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, j) => sum + v * [0.2126, 0.7152, 0.0722][j], 0);
  const ground = one => { for (let up = one; up; up = up.parentElement) {
    const [r, g, b, alpha = 1] = colour(getComputedStyle(up).backgroundColor);
    if (alpha > 0) return [r, g, b]; } return [255, 255, 255]; };
  const found = [];
  for (const one of document.body.querySelectorAll('*:not(svg *)')) {
    const text = [...one.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
    if (!text || !one.checkVisibility() || one.closest('[data-disabled], noscript')) continue;
    const [a, b] = [light(colour(getComputedStyle(one).color)), light(ground(one))].sort((a, b) => b - a);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${text.slice(0, 40)}: ${((a + 0.05) / (b + 0.05)).toFixed(1)}`);
  }
  return found;
}"""


def launch() -> Iterator[Browser]:
    """The browser; skips the test where the machine has none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def tab(browser: Browser, size: str = "desktop", offline: bool = False, dark: bool = False) -> Iterator[Tab]:
    """A fresh page of one of ``SIZES``; ``offline`` switches its network off."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        accept_downloads=True,
        offline=offline,
        color_scheme="dark" if dark else "light",
    )
    opened = Tab(context.new_page())

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            opened.errors.append(message.text)

    opened.page.on("console", heard)
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on("request", lambda request: None if _is_own(request.url) else opened.outside.append(request.url))
    try:
        yield opened
    finally:
        context.close()


def _is_own(address: str) -> bool:
    return address.startswith(("http://127.0.0.1:", "file:", "data:", "blob:", "about:"))
