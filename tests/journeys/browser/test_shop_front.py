"""The demo shop front in a real browser: what a visitor does changes the lists, and every page is sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from serving.server.app import create_app
from tests.serving.conftest import no_hurry, open_shop, searchable_shop, shop_snapshots, trained_shop
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.web.browser import CHROMIUM, NO_BROWSER
from tests.support.web.pages import VIEWS, PageView, assert_page_is_sound, chromium, opened_page

__all__ = ["no_hurry", "open_shop", "searchable_shop", "shop_snapshots", "trained_shop"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)

FOR_YOU = "recsys-list[placement=for_you]"
PICTURES = Path(folder) / "shop-front" if (folder := os.environ.get("CI_ARTIFACTS")) else None
"""Where pictures of all pages are kept."""
MOST_BYTES = 100_000
"""Of the first page, as it travels."""


@pytest.fixture
def front(searchable_shop: Shop) -> Iterator[httpx.Client]:
    """The address of the shop front, with an index to search."""
    with running(create_app()) as client:
        yield client


def _names(page: Page) -> list[str]:
    """The products of "For you", once they are there."""
    page.wait_for_selector(f"{FOR_YOU}[state=ready]")
    names: list[str] = page.locator(f"{FOR_YOU} .product-name").all_text_contents()
    return names


def _sent(page: Page) -> None:
    """Wait until the server has the events of the page. Its policy lets no text be run as a script."""
    for _ in range(300):
        if not page.evaluate("localStorage.getItem('recsys.queue')"):
            return
        page.wait_for_timeout(100)
    raise AssertionError("events are not sent")


def _rows(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    with shop.connect() as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_looking_at_three_products_changes_the_home_page(front: httpx.Client, searchable_shop: Shop) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, wrong):
        page.goto(f"{front.base_url}/shop")
        before = _names(page)
        assert len(before) == 12
        expect(page.locator("[data-lists]")).to_contain_text("counted, without a model")
        for product in (93, 96, 99):
            page.goto(f"{front.base_url}/shop/products/{product}")
            page.wait_for_selector("recsys-list[placement=similar][state=ready]")
            _sent(page)
        page.goto(f"{front.base_url}/shop")
        after = _names(page)
        assert sum("Chair" in name for name in after) > sum("Chair" in name for name in before)
        new = [name for name in after if name not in before]
        assert new
        expect(page.locator(f"{FOR_YOU} .fresh")).to_have_count(len(new))
        expect(page.locator("[data-change]")).to_have_text(
            f"{len(new)} of 12 products of “For you” are new since you last saw this page."
        )
        # the drawer says where the list comes from, why, and what was reported
        lists = page.locator("[data-list='For you']")
        expect(lists).to_contain_text("ranked now by knn-v1")
        expect(lists).to_contain_text("because viewed")
        expect(lists).to_contain_text(" ms")
        expect(page.locator("[data-events]")).to_contain_text("view: Chair “99”")
        expect(page.locator("[data-fact=viewed]")).to_have_text("3")
        assert wrong == []
    views = _rows(
        searchable_shop,
        "SELECT product_id, session_id FROM recommendations_db.user_interactions "
        "WHERE interaction_type = 'view' AND session_id IS NOT NULL ORDER BY id",
    )
    assert [product for product, _ in views] == [93, 96, 99]
    assert len({session for _, session in views}) == 1


def test_a_household_buys_from_its_list_and_the_list_counts_it(
    front: httpx.Client, searchable_shop: Shop
) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, wrong):
        page.goto(f"{front.base_url}/shop")
        page.locator(".switch summary").click()
        page.get_by_role("button", name="User 3", exact=True).click()
        page.get_by_text("Welcome back, User 3").wait_for()
        assert len(_names(page)) == 12
        expect(page.locator("[data-list='For you']")).to_contain_text("ranked ahead by knn-v1, generation 1")
        page.locator(f"{FOR_YOU} .product").first.click()
        page.get_by_role("button", name="Add to cart").click()
        page.get_by_role("heading", name="Complete your cart").wait_for()
        page.get_by_role("link", name="Go to checkout").click()
        page.get_by_role("button", name="Order and pay").click()
        page.get_by_role("heading", name="Thank you!").wait_for()
        _sent(page)
        # a page that is loaded again reports nothing twice
        page.reload()
        page.get_by_role("heading", name="Thank you!").wait_for()
        _sent(page)
        assert wrong == []
    feedback = _rows(
        searchable_shop,
        "SELECT feedback_type, count(*) FROM recommendations_db.recommendation_feedback "
        "WHERE user_id = 3 AND feedback_type <> 'shown' GROUP BY 1 ORDER BY 1",
    )
    assert feedback == [("carted", 1), ("clicked", 1), ("purchased", 1)]
    # of the list alone: the events of cart and order are the server's, and are not doubled
    assert _rows(
        searchable_shop,
        "SELECT count(*) FROM recommendations_db.user_interactions WHERE user_id = 3 "
        "AND interaction_type IN ('add_to_cart', 'purchase') AND session_id IS NOT NULL",
    ) == [(0,)]


def _walk(browser: Browser, view: PageView, address: str) -> Iterator[Page]:
    """Each page in turn, as a household with something in its cart, after all lists are there."""
    with opened_page(browser, view) as (page, wrong):
        page.goto(f"{address}/shop")
        page.locator(".switch summary").click()
        page.get_by_role("button", name="User 3", exact=True).click()
        page.get_by_text("Welcome back").wait_for()
        page.goto(f"{address}/shop/products/5")
        page.get_by_role("button", name="Add to cart").click()
        page.get_by_role("heading", name="Your cart", exact=True).wait_for()
        for path in (
            "/", "/shop", "/shop/search?q=coffee", "/shop/search?q=nothing+fits", "/shop/categories/3",
            "/shop/products/5", "/shop/cart", "/shop/checkout", "/shop/my-list", "/shop/nothing",
        ):  # fmt: skip
            page.goto(address + path)
            page.wait_for_load_state("networkidle")
            if path == "/shop/nothing":
                wrong[:] = [fault for fault in wrong if "404" not in fault]
            name = path.partition("?")[0].strip("/").replace("/", "-") or "start"
            assert_page_is_sound(
                page, wrong, None if PICTURES is None else PICTURES / f"{name}-{view.name}.png"
            )
            yield page


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_page_is_sound_in_every_view(front: httpx.Client, view: PageView) -> None:
    with chromium() as browser:
        assert len(list(_walk(browser, view, str(front.base_url)))) == 10


def test_a_browser_without_scripts_gets_the_lists(front: httpx.Client) -> None:
    with ExitStack() as stack:
        browser = stack.enter_context(chromium())
        context = browser.new_context(java_script_enabled=False)
        stack.callback(context.close)
        page = context.new_page()
        page.goto(f"{front.base_url}/shop")
        page.wait_for_url("**/shop?plain=1")
        assert page.locator("[data-placement=for_you] .product").count() == 12
        page.locator("[data-placement=for_you] .product").first.click()
        page.get_by_role("button", name="Add to cart").click()
        expect(page.get_by_role("heading", name="Your cart", exact=True)).to_be_visible()


def test_the_first_page_is_small_and_the_keyboard_is_enough(front: httpx.Client) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, wrong):
        sizes: list[int] = []
        page.on("requestfinished", lambda request: sizes.append(sum(
            request.sizes()[part] for part in ("responseBodySize", "responseHeadersSize"))))  # fmt: skip
        page.goto(f"{front.base_url}/shop")
        _names(page)
        page.wait_for_load_state("networkidle")
        assert 0 < sum(sizes) < MOST_BYTES
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        search = page.get_by_role("combobox", name="Search the shop")
        search.focus()
        page.keyboard.type("lamp")
        page.locator("recsys-search [role=option]").first.wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/shop/products/*")
        assert wrong == []
