"""The finished site as Chromium shows it, in both themes and two widths: contrast, size, and words for pictures.

What it asks is WCAG 2.2's level AA: text has a contrast of 4.5 against what is behind it (3 where it is large), every
picture has a text in its place, and no page is wider than a phone. A contrast is (L₁ + 0.05)/(L₂ + 0.05), L₁ ≥ L₂ the
relative luminances.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGES = (
    "index.html",
    "notebooks/04-layer-norm.html",
    "notebooks/05-attention.html",
    "docs/measurements.html",
    "docs/equations.html",
    "reference/ops.html",
    "code/minigpt/ops/norm.py.html",
    "search.html",
    "explain/gpt.html",
    "explain/bart.html",
)
WIDTHS = {"desktop": (1440, 900), "phone": (390, 844)}
STEPS = ("", "ArrowRight ArrowRight ArrowRight ArrowRight ArrowRight", "End")  # of the explain page: there is code
_THEME = "theme => (document.body.dataset.theme = document.documentElement.dataset.theme = theme)"
SEEN = Path(__file__).with_name("looking.js")


def browser() -> str | None:
    """Where Chromium is, if Playwright can drive it."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def faults(site: Path, chromium: str) -> list[str]:
    """One line for each thing that is too faint, too wide or without words; a kind of element is named once a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        driven = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            return [line for name in PAGES for line in _of_page(driven, site / name, name)]
        finally:
            driven.close()


def _of_page(driven: Any, path: Path, name: str) -> Iterator[str]:
    for device, (width, height) in WIDTHS.items():
        page = driven.new_page(viewport={"width": width, "height": height})
        page.goto(path.as_uri())
        for keys in STEPS if name.startswith("explain/") else ("",):
            for key in keys.split():
                page.keyboard.press(key)
            page.wait_for_timeout(500)  # scripts build what is shown
            for theme in ("light", "dark"):
                page.evaluate(_THEME, theme)
                page.wait_for_timeout(300)  # colours fade into each other
                for fault in page.evaluate(SEEN.read_text(encoding="utf-8")):
                    yield f"{name}, {device}, {theme}: {fault}"
        page.close()
