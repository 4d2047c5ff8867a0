"""The search field of `recsys.js` in a real browser: keys, and answers that come late."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route

from tests.journeys.browser.web import FEEDBACK, HOME, ITEMS, Web, product_of, web
from tests.serving.conftest import no_hurry, open_shop, scored_shop, shop_snapshots, trained_shop
from tests.support.web.browser import CHROMIUM, NO_BROWSER

__all__ = ["no_hurry", "open_shop", "scored_shop", "shop_snapshots", "trained_shop", "web"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


def test_a_keyboard_is_enough(web: Web) -> None:
    web.write(search='<recsys-search label="Search the shop" action="/found"></recsys-search>' + HOME[-90:])
    assert web.shop.run("search", "reindex").returncode == 0
    home = web.visit("/search")
    page = home.page
    field = page.get_by_role("combobox", name="Search the shop")
    field.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.type("lamp")
    page.get_by_role("option").first.wait_for()
    assert field.get_attribute("aria-expanded") == "true"
    assert page.locator("recsys-search [role=status]").inner_text().startswith("Results: ")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert field.get_attribute("aria-activedescendant") == "option-0"
    assert page.get_by_role("option").first.get_attribute("aria-selected") == "true"
    page.keyboard.press("Escape")
    assert field.get_attribute("aria-expanded") == "false"
    page.keyboard.type("s")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url("**/p/*")
    assert 61 <= product_of(page) <= 90
    page.goto(web.site.origin)
    page.wait_for_selector(ITEMS)
    page.keyboard.press("Tab")
    focused = "document.querySelector('recsys-list').shadowRoot.activeElement?.getAttribute('part')"
    assert page.evaluate(focused) == "link"
    page.keyboard.press("Enter")
    page.wait_for_url("**/p/*")
    web.wait_for(FEEDBACK + "feedback_type = 'clicked'", 1)
    assert home.errors == []


def test_a_late_search_opens_nothing_and_moves_no_selection(web: Web) -> None:
    web.write(search='<recsys-search label="Search the shop" action="/found"></recsys-search>' + HOME[-90:])
    assert web.shop.run("search", "reindex").returncode == 0
    home = web.visit("/search")
    page = home.page
    field = page.get_by_role("combobox", name="Search the shop")
    field.wait_for()
    searches, held = "**/api/v1/search/products?*", list[Route]()
    page.route(searches, lambda route: held.append(route))
    page.keyboard.press("Tab")
    with page.expect_request(searches):
        page.keyboard.type("lamp")
    page.keyboard.press("Escape")
    with page.expect_response(searches):
        for route in held:
            route.continue_()
    page.unroute(searches)
    page.wait_for_timeout(100)
    assert field.get_attribute("aria-expanded") == "false"

    field.fill("lamp")
    page.get_by_role("option").nth(1).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = page.get_by_role("option", selected=True).inner_text()
    with page.expect_response(searches):
        page.keyboard.type(" ")
    page.wait_for_timeout(100)
    assert page.get_by_role("option", selected=True).inner_text() == chosen
    assert field.get_attribute("aria-activedescendant") == "option-1"
    assert home.errors == []
