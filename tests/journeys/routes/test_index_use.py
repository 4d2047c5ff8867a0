"""What a visitor requests reads tables that grow with use by an index, never whole.

A small table hides it: reading all of it is quick. With a year of a shop it takes 200 ms, which is more than
a list may take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from fastapi import FastAPI

from recsys.database.session import dispose_engines
from recsys.settings import get_settings
from serving.batch import scoring
from serving.server.app import create_app
from tests.journeys.routes.every import routes_of
from tests.recsys.domains.analytics.conftest import BROWSER
from tests.recsys.domains.users.conftest import Desk
from tests.serving import shopping
from tests.serving.running import running
from tests.support.guests import guest
from tests.support.shop import Shop

GROWING = {
    "users_db.users", "users_db.user_sessions", "users_db.user_activities", "users_db.user_social",
    "orders_db.orders", "orders_db.order_items", "orders_db.order_status_history",
    "orders_db.shipping_addresses", "orders_db.order_tracking", "orders_db.abandoned_carts",
    "orders_db.checkouts",
    "notifications_db.notifications", "notifications_db.email_logs", "notifications_db.sms_logs",
    "notifications_db.outgoing_messages", "notifications_db.sent_notices",
    "products_db.products", "products_db.product_variants", "products_db.product_images",
    "products_db.product_reviews", "products_db.product_view_history", "products_db.inventory_logs",
    "products_db.review_votes",
    "payments_db.payment_methods", "payments_db.payments", "payments_db.refunds",
    "recommendations_db.exposures", "recommendations_db.feedback_exposures",
    "recommendations_db.user_preferences", "recommendations_db.product_recommendations",
    "recommendations_db.user_interactions", "recommendations_db.recommendation_feedback",
    "recommendations_db.interaction_events", "recommendations_db.feedback_events",
    "recommendations_db.guest_logins", "recommendations_db.stored_lists",
    "analytics_db.page_views", "analytics_db.user_events", "analytics_db.user_sessions",
    "analytics_db.collected_events",
}  # fmt: skip
"""Tables with a row for a person, a product, or something that a person does."""


class WholeReads:
    """How often growing tables were read whole since the last look, by PostgreSQL's own statistics."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._before: Counter[str] = Counter()
        self.new()

    def new(self) -> Counter[str]:
        """The tables, and how often."""
        dispose_engines()  # a connection reports what it read when it ends
        with self._shop.connect(autocommit=True) as connection:
            rows = connection.execute(
                "SELECT schemaname || '.' || relname, seq_scan FROM pg_stat_user_tables"
            ).fetchall()
        assert {name for name, _ in rows} >= GROWING
        found = Counter({name: count for name, count in rows if name in GROWING})
        new, self._before = found - self._before, found
        return new


@pytest.fixture
def opened(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desk, FastAPI]]:
    """A shop with a model and stored lists, whose planner reads a table whole only where no index serves."""
    monkeypatch.setenv("RECSYS_SERVING__DEADLINE_MS", "20000")
    monkeypatch.setenv("RECSYS_USERS__ARGON2_TIME_COST", "1")
    monkeypatch.setenv("RECSYS_USERS__ARGON2_MEMORY_KIB", "64")
    get_settings.cache_clear()
    shopping.open_shop(shop.database_url)
    shopping.promote(shopping.fit(), "knn-v1")
    scoring.score()
    with shop.connect(autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET enable_seqscan = off".encode())
    dispose_engines()
    app = create_app()
    with running(app) as client, redis.Redis.from_url(shop.redis_url) as store:
        yield Desk(client, shop, store), app


def requests_of(app: FastAPI, owner: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What a visitor asks: every GET of the API, and the posts of a visit."""
    for route in routes_of(app):
        if "GET" in route.methods:
            yield "GET", route.path, {}
    placements = ("for_you", "because_you_viewed", "buy_again", "trending", "new_arrivals", "popular")
    for placement in placements:
        for novelty in ("any", "new"):
            yield "GET", f"/api/v1/recommendations?placement={placement}&novelty={novelty}", {}
    yield "GET", "/api/v1/products?sku=sku7", {}
    yield "GET", "/api/v1/search/products?q=lamp", {}
    about = {"product_id": 1}
    for path, body in (
        ("interactions", [about | owner | {"interaction_type": "view"}]),
        ("products/1/views", None),
        ("cart/items", about | {"quantity": 1}),
        ("analytics/collect", {"type": "page_view", "page_url": "/tea", "event_id": str(uuid4())}),
        ("search/clicks", {"query": "tea", "search_id": str(uuid4()), "product_id": 1, "position": 1}),
        ("recommendations", {"shelves": [{"placement": "for_you"}, {"placement": "popular"}]}),
    ):
        yield "POST", f"/api/v1/{path}", {"json": body}
    if "user_id" in owner:  # a guest's feedback names a stored impression
        feedback = about | owner | {"feedback_type": "clicked"}
        yield "POST", "/api/v1/recommendations/feedback", {"json": [feedback]}


def test_no_request_of_a_visitor_reads_a_growing_table_whole(opened: tuple[Desk, FastAPI]) -> None:
    desk, app = opened
    person = desk.person("visitor")
    visits = [
        (name, headers | {"User-Agent": BROWSER}, request)
        for name, headers, owner in (
            ("user", person.headers, {"user_id": person.id}),
            ("guest", guest("visit"), {"session_id": "visit"}),
        )
        for request in requests_of(app, owner)
    ]
    reads = WholeReads(desk.shop)

    def send(headers: dict[str, str], method: str, path: str, options: dict[str, Any]) -> int:
        answer = desk.client.request(method, path, headers=headers, **options)
        desk.client.cookies.clear()
        # a post that is refused or queued reads no table
        assert method == "GET" or answer.status_code in (200, 201, 204), f"{path}: {answer.text}"
        return answer.status_code

    statuses = Counter(send(headers, *request) for _, headers, request in visits)
    assert statuses[200] > 100, statuses
    if not reads.new():
        return
    whole = {}  # which requests did it
    for name, headers, request in visits:
        status = send(headers, *request)
        if found := reads.new():
            whole[f"{name} {request[0]} {request[1]} {status}"] = dict(found)
    assert whole == {}
