"""Every screen in a real browser: light and dark, desktop and phone."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from serving.console.navigation import SCREENS
from tests.support.web.browser import CHROMIUM, NO_BROWSER
from tests.support.web.pages import (
    VIEWS,
    assert_page_is_sound,
    assert_row_headers_keep_words,
    chromium,
    opened_page,
)

PICTURES = os.environ.get("CI_ARTIFACTS")
"""Where pictures of the screens are kept; nowhere without it."""
MOST_BYTES = 100_000
"""Of the first page, as it travels."""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


def test_every_screen_is_sound_in_every_view(client: httpx.Client) -> None:
    with chromium() as browser:
        for view in VIEWS:
            with opened_page(browser, view) as (page, wrong):
                for screen in SCREENS:
                    page.goto(f"{client.base_url}{screen.path}")
                    name = screen.path.removeprefix("/console").strip("/") or "overview"
                    file = f"console-screen-{name}-{view.name}.png"
                    assert_page_is_sound(page, wrong, Path(PICTURES) / file if PICTURES else None)
                    assert_row_headers_keep_words(page)


def test_row_headers_of_measured_models_keep_words(second: httpx.Client) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[2]) as (page, wrong):
        for address in ("/console/models", "/console/models/knn-v2"):
            page.goto(f"{second.base_url}{address}")
            assert page.locator("tbody th").count()
            assert_page_is_sound(page, wrong)
            assert_row_headers_keep_words(page)


def test_the_first_page_is_small(client: httpx.Client) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, wrong):
        sizes: list[int] = []
        page.on("requestfinished", lambda request: sizes.append(sum(
            request.sizes()[part] for part in ("responseBodySize", "responseHeadersSize"))))  # fmt: skip
        page.goto(f"{client.base_url}/console")
        page.wait_for_load_state("networkidle")
        assert 5_000 < sum(sizes) < MOST_BYTES
        assert wrong == []


def test_the_first_stop_of_the_keyboard_skips_to_the_content(client: httpx.Client) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, _):
        page.goto(f"{client.base_url}/console")
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()


def test_the_chosen_look_stays(client: httpx.Client) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, wrong):
        page.goto(f"{client.base_url}/console")
        page.get_by_label("Look of the pages").select_option("dark")
        page.wait_for_selector("html[data-theme=dark]")
        page.reload()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        assert_page_is_sound(page, wrong)
