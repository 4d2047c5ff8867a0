"""Every screen: an address, its content as JSON, the headers, a size, and a page for what does not exist."""

from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from models.registry.measurement import (
    MeasuredGroup,
    MeasuredPeriod,
    MeasuredRate,
    MeasuredSpan,
    Measurement,
    write_measurement,
)
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store
from recsys.domains.recommendations.impressions.store import Answered
from serving.console.navigation import SCREENS
from serving.pages.security_headers import CONTENT_SECURITY_POLICY
from tests.support.web.pages import send_form

PATHS = [screen.path for screen in SCREENS]


@pytest.mark.parametrize("shop_kind", ["client", "bare_client"])
def test_every_screen_answers_as_a_page_and_as_json(request: pytest.FixtureRequest, shop_kind: str) -> None:
    client: httpx.Client = request.getfixturevalue(shop_kind)
    for path in PATHS:
        page = client.get(path)
        assert page.status_code == 200, (path, page.text)
        assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-frame-options"] == "DENY"
        assert f'href="{path}" aria-current="page"' in page.text
        assert len(page.content) < 100_000
        content = client.get(path, params={"format": "json"})
        assert content.headers["content-type"] == "application/json"
        assert isinstance(content.json(), dict), path
        assert client.get(path, params={"format": "xml"}).status_code == 422


def test_an_address_without_a_screen_is_a_page_that_says_so(client: httpx.Client) -> None:
    answer = client.get("/console/nothing/here")
    assert answer.status_code == 404
    assert "The console has no page at this address." in answer.text
    assert client.get("/console/nothing", params={"format": "json"}).json()["status"] == 404


def test_the_overview_names_what_serves(client: httpx.Client) -> None:
    content = client.get("/console", params={"format": "json"}).json()
    assert content["model"] == "knn-v1"
    assert content["questions"][0]["model"] == "knn-v1"
    assert content["generation"]["model"] == "knn-v1"
    assert content["displayable_products"] == content["products"] == 120


def test_the_overview_of_a_shop_without_a_model_says_what_to_do(bare_client: httpx.Client) -> None:
    text = bare_client.get("/console").text
    assert "recsys train run --all" in text
    assert "recsys serve score" in text


def test_the_overview_counts_answers_by_placement_and_source(client: httpx.Client) -> None:
    since = clock.now() - timedelta(minutes=2)
    lists = [
        Answered(
            f"request-{number:08}", "for_you" if number % 3 else "similar", "live", [1, 2], [0.5, 0.4], since
        )
        for number in range(30)
    ]
    with unit_of_work() as session:
        store.store(session, lists)
    content = client.get("/console", params={"format": "json"}).json()
    rows = {(row["placement"], row["source"]): row for row in content["answers"]}
    assert rows["for_you", "live"]["last_hour"] == 20
    assert rows["similar", "live"]["per_second"] == pytest.approx(10 / 300)
    assert content["answers_per_second"] == pytest.approx(30 / 300)


def test_the_overview_displays_measured_rates_beside_the_period_before(client: httpx.Client) -> None:
    now = clock.now()
    rate = MeasuredRate(value=0.1234, low=0.1, high=0.15)
    group = MeasuredGroup(
        name="for_you", impressions=500, users=40, clicked=rate, bought=rate, revenue=Decimal("81.50"),
        revenue_low=60.25, revenue_high=99.0, revenue_per_1000=163.0,
    )  # fmt: skip
    full = MeasuredPeriod(since=now, until=now, total=group, placements=[group])
    empty = MeasuredPeriod(since=now, until=now, total=None, placements=[])
    spans = [
        MeasuredSpan(days=7, current=full, before=empty),
        MeasuredSpan(days=28, current=empty, before=full),
    ]
    figures = Measurement(measured_at=now, seconds=1, window_days=7, shown="reported", spans=spans, tests=[])
    with unit_of_work() as session:
        write_measurement(session, figures)
    text = client.get("/console").text
    assert "12.34%" in text
    assert "10.00% to 15.00%" in text
    assert '$81.50<span class="interval">$60.25 to $99.00</span>' in text
    assert "Nothing was displayed in these days" in client.get("/console", params={"days": 28}).text
    assert client.get("/console", params={"days": 9}).status_code == 422


def test_what_needs_attention_comes_with_the_job_that_mends_it(bare_client: httpx.Client) -> None:
    while (content := bare_client.get("/console", params={"format": "json"}).json())["attention"] is None:
        time.sleep(0.1)
    jobs = {item["part"]: item["job"] for item in content["attention"]}
    assert (jobs["model"], jobs["recommendations"], jobs["features"]) == ("train", "score", "features")
    assert 'name="job" value="train"' in bare_client.get("/console").text
    answer = send_form(bare_client, "/console/jobs/start", {"job": "train", "back": "/console"})
    assert answer.headers["location"] == "/console"
