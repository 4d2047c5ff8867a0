"""The screens about people, products and lists with content, in a real browser; and three journeys."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from serving.segments.stored import store_given
from tests.serving.api.answers import ask, ids
from tests.support.web.browser import CHROMIUM, NO_BROWSER
from tests.support.web.pages import (
    DESKTOP,
    VIEWS,
    PageView,
    assert_page_is_sound,
    assert_row_headers_keep_words,
    chromium,
    opened_page,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)

ADDRESSES = {
    "person": "/console/people/5?model=knn-v1",
    "nobody": "/console/people?q=no-such-person",
    "why": "/console/why?user=5&product=44",
    "why-not": "/console/why?user=5&product=70&limit=5",
    "why-past": "/console/why?user=5&product=51&at=2099-01-01T00:00",
    "draft": "/console/studio?user=5&change=pin:100:2&change=hide:1&people=1",
    "draft-of-segment": "/console/studio?segment=kind%3Dbuyers%26category%3Dlamps&change=pin:100:2",
    "draft-of-stored-segment": "/console/studio?audience=few&change=pin:100:2&people=1",
    "draft-for-guests": "/console/studio?user=5&audience=guests&change=pin:100:2",
    "mail-block": "/console/mail-block?user=5&places=4",
    "rule": "/console/rules/1",
    "calendar": "/console/rules?view=calendar",
    "conflicts": "/console/rules?view=conflicts",
    "changes": "/console/rules?view=changes",
    "product": "/console/products/5",
    "segment": "/console/segments?kind=buyers&products=sku95,+lamp+77&category=lamps",
    "segment-of-old-data": "/console/segments?kind=replenishment&days=366",
    "segment-wrong": "/console/segments?kind=buyers&products=a+table&category=toys",
    "query": "/console/search?q=coffee&user=5",
}
PICTURES = os.environ.get("CI_ARTIFACTS")


def make_rules() -> None:
    with unit_of_work() as session:
        for rule in (
            {"name": "Lamp of the week", "kind": "pin", "target": {"product_ids": [88]}, "position": 2},
            {"name": "Recall", "kind": "hide", "target": {"product_ids": [88, 12]}},
        ):
            rules.create(session, RuleIn.model_validate(rule), actor="user 7")


def names_of_rules() -> list[str]:
    with unit_of_work() as session:
        return [row.name for row in rules.listed(session, limit=10)]


def test_filled_screens_are_sound_in_every_view(client: httpx.Client) -> None:
    with unit_of_work() as session:
        store_given(session, "few", [5, 6, 7], actor="user 7")
    make_rules()
    second_page = Answered(
        "r1", "for_you", "stored", [50, 51], [0.5, 0.4], clock.now(), 5, None, "knn-v1", "1", 1, None, 20
    )
    with unit_of_work() as session:
        impressions.store(session, [second_page])
    with chromium() as browser:
        for view in VIEWS:
            with opened_page(browser, view) as (page, wrong):
                for name, address in ADDRESSES.items():
                    page.goto(f"{client.base_url}{address}")
                    file = f"console-{name}-{view.name}.png"
                    assert_page_is_sound(page, wrong, Path(PICTURES) / file if PICTURES else None)
                    assert_row_headers_keep_words(page)


def toast(page: Page) -> str:
    return page.locator(".toast").inner_text()


def test_an_event_posted_for_a_person_changes_the_list(client: httpx.Client) -> None:
    first = ids(ask(client, 5))[0]
    with chromium() as browser, opened_page(browser, PageView("d", DESKTOP, "light")) as (page, wrong):
        page.goto(f"{client.base_url}/console/people?q=u5")
        page.get_by_role("link", name="User 5").click()
        page.get_by_label("Product", exact=True).fill(str(first))
        page.get_by_label("Event").select_option("dismissed")
        page.get_by_role("button", name="Post the event").click()
        assert "The list marks what changed" in toast(page)
        expect(page.get_by_text("No longer among the first")).to_be_visible()
        assert_page_is_sound(page, wrong)
    assert first not in ids(ask(client, 5))


def test_a_list_is_changed_saved_as_rules_and_undone(client: httpx.Client) -> None:
    with chromium() as browser, opened_page(browser, PageView("d", DESKTOP, "light")) as (page, wrong):
        page.goto(f"{client.base_url}/console/studio?user=5")
        card = page.locator(".product-card").first
        card.get_by_text("Change").click()
        card.get_by_role("link", name="Hide").click()
        page.locator(".product-card").nth(5).drag_to(page.locator(".product-card").nth(0))
        page.wait_for_url("**pin%3A*%3A1*")
        page.get_by_role("button", name="Save as rules").click()
        page.wait_for_url("**/console/rules?made=*")
        assert "Saved 2 rules" in toast(page)
        assert len(names_of_rules()) == 2
        page.get_by_role("button", name="Undo").click()
        page.wait_for_url("**/console/rules")
        assert names_of_rules() == []
        assert_page_is_sound(page, wrong)


def test_why_a_product_is_missing_is_answered_by_the_keyboard(client: httpx.Client) -> None:
    make_rules()
    with chromium() as browser, opened_page(browser, PageView("d", DESKTOP, "light")) as (page, _):
        page.goto(f"{client.base_url}/console/why")
        page.get_by_label("Person").focus()
        page.keyboard.type("u5")
        page.keyboard.press("Tab")
        page.keyboard.type("sku:sku12")
        page.keyboard.press("Enter")
        expect(page.locator(".answer")).to_contain_text("The rule “Recall” hides it.")
        page.get_by_role("link", name="Recall").click()
        expect(page.get_by_role("heading", name="Recall", level=1)).to_be_visible()


def test_fields_suggest_own_ids_with_names_while_one_types(client: httpx.Client) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, wrong):
        page.goto(f"{client.base_url}/console/segments")
        for kind, field, typed, value, label in (
            ("buyers", "Products", "lamp 77", "sku77", "Lamp “77”"),
            ("buyers", "Products", "sku5, lamp 78", "sku5, sku78", "sku5, Lamp “78”"),
            ("buyers", "Category", "Cof", "coffee", "Coffee"),
            ("look-alikes", "People", "u12", "u12", "User 12"),
        ):
            page.get_by_label("Segment", exact=True).select_option(kind)
            box = page.get_by_label(field, exact=True)
            box.fill("")
            box.press_sequentially(typed)
            option = page.locator(f"datalist option[value='{value}']")
            option.wait_for(state="attached")
            assert option.evaluate("each => each.label") == label
        assert_page_is_sound(page, wrong)


def test_the_form_of_a_rule_has_the_fields_of_its_kind(client: httpx.Client) -> None:
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, wrong):
        page.goto(f"{client.base_url}/console/rules/new")
        page.get_by_label("Name", exact=True).fill("Two of a brand")
        factor, most = page.get_by_label("Boost, bury: score times"), page.get_by_label("Cap: at most")
        expect(factor).to_be_visible()
        expect(most).to_be_hidden()
        factor.fill("1.5")
        page.get_by_label("Kind").select_option("cap")
        expect(factor).to_be_hidden()
        most.fill("2")
        page.get_by_label("Cap: of each").select_option("brand")
        page.get_by_label("Cap: where nothing else is left").select_option("no")
        assert_page_is_sound(page, wrong)
        # the factor, which a cap does not take, is not sent
        page.get_by_role("button", name="Save").click()
        page.wait_for_url("**/console/rules?made=*")
        assert names_of_rules() == ["Two of a brand"]
