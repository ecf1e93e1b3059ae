"""The documents as pages, opened from files by a browser that reaches nobody: search finds, too."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import PATIENCE_MS
from tests.missing import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SITE = Path(__file__).parents[2] / "build" / "site"
PAGES = ("index.html", "docs/tutorials/first-task.html", "docs/adr/0004-log.html")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_opened_from_a_file_asks_nobody_and_finds_what_is_sought(
    browser: "Browser", name: str
) -> None:
    if not (SITE / name).is_file():
        missing(f"{SITE / name} is not there: say make site")
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    try:
        page.goto((SITE / name).as_uri(), timeout=PATIENCE_MS)
        page.locator("input[name=query]").click()
        page.locator("input[name=query]").press_sequentially("aeroplane")
        found = page.locator(".md-search-result__item a").first
        found.wait_for(state="visible", timeout=PATIENCE_MS)
        assert "aeroplane" in found.inner_text().lower()
        found.click()
        page.wait_for_url("**/*.html*", timeout=PATIENCE_MS)
    finally:
        page.close()
    assert faults == []
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
