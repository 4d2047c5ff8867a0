"""POST /api/v1/analytics/collect: every item gets its verdict, is stored once, and bots only count."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid5

import pytest

from recsys import clock
from recsys.domains.analytics.service import _NAMESPACE
from recsys.settings import get_settings
from tests.recsys.domains.analytics.conftest import BROWSER, Counter, Desk, page
from tests.support.guests import guest as guest_header

PATH = "/api/v1/analytics/collect"


def collect(desk: Desk, items: object, *, guest: str | None = "guest-1", **headers: str) -> Any:
    sent = {"User-Agent": BROWSER, **(guest_header(guest) if guest else {}), **headers}
    return desk.client.post(PATH, json=items, headers=sent)


def test_a_batch_is_stored_as_it_was_sent(desk: Desk) -> None:
    moment = clock.now() - timedelta(minutes=5)
    answer = collect(
        desk,
        [
            page("p-1", moment, "/tea?utm_source=letter", page_title="Tea",
                 referrer_url="https://mail.example/"),
            {
                "type": "event", "event_id": "e-1", "event_type": "video_played", "event_category": "media",
                "event_action": "play", "event_label": "Brewing", "event_value": 12.35,
                "properties": {"speed": [1, "x"]}, "page_url": "/tea",
                "timestamp": (moment + timedelta(seconds=90)).isoformat(),
            },
        ],
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "stored": 2, "duplicates": 0, "refused": 0, "queued": 0, "ignored": 0,
        "verdicts": [
            {"index": place, "status": "stored", "event_id": str(uuid5(_NAMESPACE, f"guest-1 {sent}")),
             "reason": None}
            for place, sent in enumerate(("p-1", "e-1"))
        ],
    }  # fmt: skip
    assert desk.rows(
        "SELECT user_id, session_id, page_url, page_title, referrer_url, user_agent, text(ip_address), "
        "device_type, browser, os, timestamp FROM analytics_db.page_views"
    ) == [
        (None, "guest-1", "/tea?utm_source=letter", "Tea", "https://mail.example/", BROWSER, "127.0.0.0/24",
         "desktop", "Chrome", "Windows", moment)
    ]  # fmt: skip
    assert desk.rows(
        "SELECT session_id, event_type, event_category, event_action, event_label, event_value::text, "
        "properties, page_url, user_agent, text(ip_address) FROM analytics_db.user_events"
    ) == [
        ("guest-1", "video_played", "media", "play", "Brewing", "12.35", {"speed": [1, "x"]}, "/tea", BROWSER,
         "127.0.0.0/24")
    ]  # fmt: skip
    assert desk.rows(
        "SELECT session_id, duration_seconds, page_views, events, bounce, converted, conversion_value::text, "
        "browser, referrer, utm_source FROM analytics_db.user_sessions"
    ) == [("guest-1", 90, 1, 1, False, False, "0.00", "Chrome", "https://mail.example/", "letter")]
    query = "SELECT name, aggregate, data ->> 'page', data ->> 'kind' FROM analytics_db.outbox ORDER BY id"
    assert desk.rows(query) == [
        ("analytics.page_viewed", "analytics:session:guest-1", "/tea?utm_source=letter", None),
        ("analytics.user_event_recorded", "analytics:session:guest-1", None, "video_played"),
    ]  # fmt: skip


def test_each_item_gets_its_own_verdict_and_a_repeat_is_stored_once(desk: Desk) -> None:
    now = clock.now()
    event = {"type": "event", "event_id": "e", "event_type": "x"}
    items: list[object] = [
        page("p", now),
        page("p", now),
        event,
        {**event, "event_id": "p"},
        {**event, "event_id": "f", "event_category": "shop"},
        {**event, "event_id": "g", "event_value": "1.234"},
        {**event, "event_id": "h", "colour": 1},
        page("q", now + timedelta(hours=1)),
        page("r", now - timedelta(days=31)),
        page("s", now, "x" * 4001),
        page("t", now, "https://s.example/" + "x" * 900 + "?utm_medium=email"),
        {**event, "event_id": "u", "event_label": "a\x00b"},
        {"type": "purchase", "event_id": "v"},
        17,
    ]
    answer = collect(desk, items).json()
    words = {"s": "stored", "d": "duplicate", "r": "refused"}
    assert [one["status"] for one in answer["verdicts"]] == [words[one] for one in "sdsdrrrsrrsrrr"]
    assert [one["index"] for one in answer["verdicts"]] == list(range(len(items)))
    assert (answer["stored"], answer["duplicates"], answer["refused"]) == (4, 2, 8)
    for place, message in (
        (4, "shop"),
        (5, "event_value"),
        (6, "colour"),
        (7, "s ahead of the server's clock"),
        (8, "30 days"),
        (9, "page_url"),
    ):
        assert message in answer["verdicts"][place]["reason"]
    again = collect(desk, items).json()
    assert (again["stored"], again["duplicates"], again["refused"]) == (0, 6, 8)
    # another visitor's ids are others
    assert collect(desk, items[:1], guest="guest-2").json()["stored"] == 1
    assert desk.rows("SELECT count(*), max(length(page_url)) FROM analytics_db.page_views") == [(4, 500)]
    assert desk.rows("SELECT count(*) FROM analytics_db.outbox") == [(5,)]


def test_what_is_no_batch_is_refused_whole(desk: Desk) -> None:
    many = [page(str(one), clock.now()) for one in range(501)]
    for items, guest, status, message in (
        ([], "g", 422, "empty"),
        (17, "g", 422, "Expected"),
        (many, "g", 413, "500"),
        (many[:1], None, 422, "X-Session-Id"),
        ([17], "g", 422, "verdicts"),
        (many[:1], "no good", 422, "session"),
    ):
        answer = collect(desk, items, guest=guest)
        assert (answer.status_code, message in answer.json()["detail"]) == (status, True), answer.text
    assert collect(desk, many[:1], Authorization="Bearer nonsense").status_code == 401
    assert desk.rows("SELECT count(*) FROM analytics_db.page_views") == [(0,)]
    assert collect(desk, many[:500]).json()["stored"] == 500


def test_one_batch_sent_at_the_same_time_is_stored_once(desk: Desk) -> None:
    now = clock.now()
    items = [page(str(one), now - timedelta(minutes=one)) for one in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda part: collect(desk, part), [items, items[::-1], items[:20], items[20:]])
        )
    assert [one.status_code for one in answers] == [200] * 4
    assert sum(one.json()["stored"] for one in answers) == 40
    assert desk.rows("SELECT count(*), count(DISTINCT timestamp) FROM analytics_db.page_views") == [(40, 40)]
    assert desk.rows("SELECT page_views, duration_seconds FROM analytics_db.user_sessions") == [(40, 39 * 60)]


def test_a_bot_is_counted_by_its_name_and_leaves_nothing_else(counter: Counter) -> None:
    desk, now = counter.desk, clock.now()
    before = desk.rows("SELECT count(*) FROM analytics_db.outbox")
    for agent, items in (
        ("Googlebot/2.1", [page("a", now), 17]),
        ("curl/8", page("b", now)),
        ("Googlebot/2.1", [1]),
    ):
        answer = collect(desk, items, guest=None, **{"User-Agent": agent})
        assert answer.status_code == 200
        assert {one["status"] for one in answer.json()["verdicts"]} == {"ignored"}
    day = now.date().isoformat()
    assert desk.call(counter.admin, "GET", f"/admin/analytics/bots/{day}").json() == [
        {"date": day, "bot": "Googlebot", "hits": 3},
        {"date": day, "bot": "curl", "hits": 1},
    ]
    assert desk.rows("SELECT count(*) FROM analytics_db.page_views") == [(0,)]
    assert desk.rows("SELECT count(*) FROM analytics_db.user_sessions") == [(0,)]
    assert desk.rows("SELECT count(*) FROM analytics_db.outbox") == before


@pytest.mark.parametrize(("how", "kept"), [("full", "127.0.0.1"), ("none", None)])
def test_the_setting_says_what_is_kept_of_addresses(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, how: str, kept: str | None
) -> None:
    monkeypatch.setenv("RECSYS_ANALYTICS__IP", how)
    get_settings.cache_clear()
    assert collect(desk, page("a", clock.now())).json()["stored"] == 1
    assert desk.rows("SELECT host(ip_address) FROM analytics_db.page_views") == [(kept,)]


def test_what_a_user_does_is_the_users_with_or_without_a_session_of_the_visit(desk: Desk) -> None:
    ada = desk.person("ada")
    assert collect(desk, page("a", clock.now()), guest=None, **ada.headers).json()["stored"] == 1
    assert collect(desk, page("b", clock.now()), guest="tab-7", **ada.headers).json()["stored"] == 1
    found = desk.rows("SELECT user_id, session_id FROM analytics_db.page_views ORDER BY id")
    assert [one[0] for one in found] == [ada.id, ada.id]
    assert found[1][1] == "tab-7"
    (own,) = desk.agree(ada.id)
    assert found[0][1] == own
    assert len(desk.rows("SELECT FROM analytics_db.user_sessions WHERE user_id = %s", ada.id)) == 2


def test_a_moment_keeps_its_place_in_time(desk: Desk) -> None:
    yesterday = (clock.now() - timedelta(days=1)).replace(microsecond=0)
    local = yesterday.astimezone(datetime.fromisoformat("2026-01-01T00:00+05:45").tzinfo)
    assert collect(desk, page("a", local)).json()["stored"] == 1
    ((stored,),) = desk.rows("SELECT timestamp FROM analytics_db.page_views")
    assert isinstance(stored, datetime)
    assert stored.astimezone(UTC) == yesterday
