"""Visitors that `recsys demo traffic` sends: what they report is what the tables have."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from recsys.demo.traffic import send_traffic
from recsys.errors import Invalid, Unavailable
from recsys.settings import get_settings
from recsys.write_buffer import drain
from serving.server.app import create_app
from tests.serving.running import running
from tests.support.shop import Shop


def _counts(shop: Shop, query: str) -> dict[str, int]:
    with shop.connect() as connection:
        return {str(name): int(count) for name, count in connection.execute(query).fetchall()}  # type: ignore[arg-type]


def test_visitors_look_click_and_buy(front: httpx.Client, searchable_shop: Shop) -> None:
    report = send_traffic(
        str(front.base_url), minutes=0.25, visitors=3, pause=0.0, seed=7, progress=lambda *_: None
    )
    assert report.failures == {}
    assert report.visits >= 3
    assert report.households + report.guests == report.visits
    for name in ("pages", "lists", "seen_in_lists", "clicked_in_lists", "views", "put_into_carts"):
        assert getattr(report, name) > 0, name
    feedback: dict[str, int] = {}
    for _ in range(100):
        # feedback that is quicker than the list that it is about waits for it
        drain.run(threading.Event(), once=True)
        feedback = _counts(
            searchable_shop,
            "SELECT feedback_type, count(*) FROM recommendations_db.recommendation_feedback GROUP BY 1",
        )
        if feedback.get("shown", 0) >= report.seen_in_lists:
            break
        time.sleep(0.1)
    assert feedback["shown"] == report.seen_in_lists
    assert feedback["clicked"] == report.clicked_in_lists
    events = _counts(
        searchable_shop,
        "SELECT interaction_type, count(*) FROM recommendations_db.user_interactions "
        "WHERE session_id IS NOT NULL GROUP BY 1",
    )
    assert events["view"] >= report.views
    assert events.get("dismissed", 0) == report.dismissals
    orders = _counts(searchable_shop, "SELECT financial_status, count(*) FROM orders_db.orders GROUP BY 1")
    assert orders.get("paid", 0) == report.orders


def test_visitors_over_the_limit_of_their_address_wait(
    searchable_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr("recsys.demo.browser.time", SimpleNamespace(sleep=sleep))
    monkeypatch.setenv("RECSYS_API__PAGE_RATE_PER_SECOND", "3")
    get_settings.cache_clear()
    with running(create_app()) as client:
        report = send_traffic(
            str(client.base_url), minutes=0.15, visitors=2, pause=0.0, seed=7, progress=lambda *_: None
        )
    assert report.failures == {}
    assert report.lists > 0
    assert waits
    assert min(waits) >= 1


def test_the_command_prints_the_counts(front: httpx.Client, searchable_shop: Shop) -> None:
    done = searchable_shop.run(
        "demo", "traffic", "--minutes", "0.05", "--visitors", "2", "--pause", "0", "--api",
        str(front.base_url), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["visits"] >= 1


def test_a_server_without_a_shop_front_is_named(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_SHOP__FRONT", "false")
    get_settings.cache_clear()
    with running(create_app()) as client, pytest.raises(Invalid, match="RECSYS_SHOP__FRONT=true"):
        send_traffic(str(client.base_url), minutes=1, visitors=1, pause=0, seed=1, progress=lambda *_: None)
    with pytest.raises(Unavailable, match="recsys serve api"):
        send_traffic("http://127.0.0.1:9", minutes=1, visitors=1, pause=0, seed=1, progress=lambda *_: None)
    failed = scored_shop.run("demo", "traffic")
    assert failed.returncode == 1
    assert "no API runs here" in failed.stderr
