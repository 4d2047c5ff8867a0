"""Journeys through the console in a real browser: logging in, a question before a stop, a live form."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect

from recsys.database.session import unit_of_work
from recsys.jobs import service
from serving.console.navigation import SCREENS
from serving.server.app import create_app
from tests.serving.console.conftest import PASSWORD, measured
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.web.browser import CHROMIUM, NO_BROWSER
from tests.support.web.pages import VIEWS, assert_page_is_sound, chromium, opened_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


def test_an_operator_logs_in_starts_a_job_and_stops_it_after_a_question(staff: Shop) -> None:
    with (
        running(create_app()) as client,
        chromium() as browser,
        opened_page(browser, VIEWS[2]) as (page, wrong),
    ):
        page.goto(f"{client.base_url}/console/jobs")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert_page_is_sound(page, wrong)
        page.get_by_label("E-mail address or username").fill("operator")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
        card = page.locator("#job-rollup")
        card.get_by_role("button", name="Run now").click()
        expect(page.locator(".toast")).to_contain_text("waits")
        card.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Cancel").click()
        with unit_of_work() as session:
            assert service.history(session)[0].state == "queued"
        card.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("dialog")).to_contain_text("Stop “Compute daily figures”?")
        page.get_by_role("button", name="Yes, continue").click()
        expect(page.locator(".toast")).to_contain_text("is stopped")
        assert_page_is_sound(page, wrong)
        with unit_of_work() as session:
            assert service.history(session)[0].state == "stopped"
        page.get_by_text("Menu").click()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_viewer_finds_no_control_that_changes_something(staff: Shop) -> None:
    with (
        running(create_app()) as client,
        chromium() as browser,
        opened_page(browser, VIEWS[0]) as (page, wrong),
    ):
        page.goto(f"{client.base_url}/console/log-in")
        page.get_by_label("E-mail address or username").fill("viewer")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        titles = page.locator("nav.navigation a").all_inner_texts()
        assert {"Keys", "Staff", "Audit", "Settings"}.isdisjoint(titles)
        for screen in SCREENS:
            if screen.title not in titles:
                continue
            page.goto(f"{client.base_url}{screen.path}")
            actions = page.locator("form[method=post]").evaluate_all(
                "forms => forms.map(f => f.getAttribute('action'))"
            )
            assert set(actions) <= {"/console/theme", "/console/log-out"}, screen
            assert_page_is_sound(page, wrong)


def test_the_sample_is_computed_while_one_types(second: httpx.Client) -> None:
    measured()
    with chromium() as browser, opened_page(browser, VIEWS[0]) as (page, wrong):
        page.goto(f"{second.base_url}/console/experiments")
        sample = page.locator("[data-part=sample]")
        before = sample.inner_text()
        page.get_by_label("Difference, %").fill("40")
        expect(sample).not_to_have_text(before)
        expect(sample).to_contain_text("To find a difference of 40%")
        expect(page).to_have_url(re.compile("effect_percent=40"))
        assert_page_is_sound(page, wrong)
