"""Every kind of post is queued while PostgreSQL takes no writes, and stored once afterwards."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from recsys.database import absence
from recsys.database.session import dispose_engines, get_engine
from recsys.domains.recommendations.tables import SCHEMA
from recsys.events import relay
from recsys.events.consumer import Consumer
from recsys.subscriptions import POSTS
from recsys.write_buffer import drain
from recsys.write_buffer.deadlines import Deadline
from recsys.write_buffer.group_commit import GroupCommit
from tests.recsys.domains.analytics.conftest import BROWSER
from tests.support.faults import read_only
from tests.support.guests import guest
from tests.support.shop import Shop

TABLES = {
    "interactions": (f"{SCHEMA}.user_interactions", "WHERE interaction_type = 'purchase'"),
    "feedback": (f"{SCHEMA}.recommendation_feedback", ""),
    "views": ("products_db.product_view_history", ""),
    "events": ("analytics_db.outbox", "WHERE name = 'search.result_clicked'"),
    "collected": ("analytics_db.page_views", ""),
    "bot_hits": ("analytics_db.bot_hits", ""),
}
"""Where each kind of post is stored, and which of the rows there are posts."""


def visit_headers() -> dict[str, str]:
    """The headers of a guest's browser."""
    return {**guest("visit"), "User-Agent": BROWSER}


def send(client: httpx.Client, mark: str) -> dict[str, int]:
    """Send one post of each kind; the status of each."""
    page = {"type": "page_view", "event_id": mark, "page_url": "/tea"}
    purchase = {"user_id": 1, "product_id": 1, "interaction_type": "purchase", "event_id": mark}
    click = {"query": "tea", "search_id": str(uuid4()), "product_id": 1, "position": 1}
    requests: dict[str, tuple[str, Any, dict[str, str]]] = {
        "interactions": ("interactions", purchase, {}),
        "feedback": (
            "recommendations/feedback",
            {"user_id": 1, "product_id": 1, "feedback_type": "clicked", "event_id": mark},
            {},
        ),
        "views": ("products/1/views", None, {}),
        "events": ("search/clicks", click, {}),
        "collected": ("analytics/collect", page, {}),
        "bot_hits": ("analytics/collect", page, {"User-Agent": "Googlebot/2.1"}),
    }
    assert requests.keys() == POSTS.keys()
    return {
        kind: client.post(f"/api/v1/{path}", json=body, headers=visit_headers() | headers).status_code
        for kind, (path, body, headers) in requests.items()
    }


def rows(shop: Shop) -> Counter[str]:
    """How many posts of each kind are stored."""
    with shop.connect() as connection:
        counts = Counter[str]()
        for kind, (table, where) in TABLES.items():
            counted = "coalesce(sum(hits), 0)" if kind == "bot_hits" else "count(*)"
            found = connection.execute(f"SELECT {counted} FROM {table} {where}".encode()).fetchone()  # noqa: S608
            assert found is not None
            counts[kind] = int(found[0])
        return counts


def bring_in() -> int:
    return drain.run(threading.Event(), once=True)


@contextmanager
def refusing(shop: Shop) -> Iterator[None]:
    """A disk that is full: every table of the posts refuses new rows."""
    with shop.connect(autocommit=True) as admin:
        tables = {table for table, _ in TABLES.values()}
        for table in tables:
            # the comment has it made in the database of the table
            admin.execute(
                f"/* {table} */ CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger "
                "LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$".encode()
            )
            admin.execute(
                f"CREATE TRIGGER refuse BEFORE INSERT ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()".encode()
            )
        yield
        for table in tables:
            admin.execute(f"DROP TRIGGER refuse ON {table}".encode())
        for table in tables:
            admin.execute(f"/* {table} */ DROP FUNCTION IF EXISTS public.refuse".encode())


@contextmanager
def only_reading(shop: Shop) -> Iterator[None]:
    """A database as a failover leaves it."""
    with read_only(shop):
        dispose_engines()
        yield
    dispose_engines()


@contextmanager
def locked(shop: Shop) -> Iterator[None]:
    """Another program holds every table of the posts."""
    with shop.connect() as other:
        for table in {table for table, _ in TABLES.values()}:
            other.execute(f"LOCK TABLE {table}".encode())
        yield


@contextmanager
def busy(shop: Shop) -> Iterator[None]:
    """All connections are in use."""
    taken = [get_engine().connect() for _ in range(4)]
    yield
    for connection in taken:
        connection.close()


@pytest.mark.parametrize("fault", [refusing, only_reading, locked, busy])
def test_every_kind_is_queued_and_stored_once(
    client: httpx.Client, small_shop: Shop, fault: Callable[[Shop], AbstractContextManager[None]]
) -> None:
    assert all(200 <= status < 300 for status in send(client, "before").values())
    bring_in()  # a busy machine may not have stored all of them within the deadline
    once = rows(small_shop)
    assert set(once.values()) == {1}, "each kind is stored in its table"
    with fault(small_shop):
        statuses = send(client, "during")
        # a bot gets its answer whether it is counted now or later
        assert statuses == dict.fromkeys(POSTS, 202) | {"bot_hits": 200}
    assert bring_in() == len(POSTS)
    assert bring_in() == 0
    assert drain.dead_letters() == []
    assert rows(small_shop) == Counter(dict.fromkeys(POSTS, 2))
    relay.run(threading.Event(), once=True)
    Consumer("core").run(threading.Event(), once=True)
    with small_shop.connect() as connection:
        views = connection.execute(
            f"SELECT count(*), count(DISTINCT context) FROM {SCHEMA}.user_interactions "  # noqa: S608
            "WHERE interaction_type = 'view'"
        ).fetchone()
    assert views == (4, 2), "two views of a product and two clicks on a result of a search"


def test_work_that_ends_after_its_deadline_is_not_stored_twice(
    client: httpx.Client, small_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_in_time = GroupCommit.store

    def too_late(group: GroupCommit[Any, Any], request: Any, deadline: Deadline) -> Any:
        stored_in_time(group, request, deadline)
        raise absence.DatabaseAway("PostgreSQL did not answer in time", "busy")

    monkeypatch.setattr(GroupCommit, "store", too_late)
    send(client, "late")
    once = rows(small_shop)
    assert bring_in() == len(POSTS)
    assert rows(small_shop) == once
    assert drain.dead_letters() == []


def test_posts_about_a_product_that_is_gone_are_dead_letters(client: httpx.Client, small_shop: Shop) -> None:
    with only_reading(small_shop):
        assert client.post("/api/v1/products/99/views", headers=visit_headers()).status_code == 202
    bring_in()
    assert [letter["reason"] for letter in drain.dead_letters()] == ["product_id: no such product"]
    assert client.post("/api/v1/products/99/views", headers=visit_headers()).status_code == 404
