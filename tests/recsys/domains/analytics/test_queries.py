"""Administrators page through figures and visits without missing or repeating one; nobody else sees any."""

from __future__ import annotations

from typing import Any

from tests.recsys.domains.analytics.conftest import Counter

FILL = """
INSERT INTO analytics_db.sales_metrics (date, total_sales)
    SELECT date '2026-01-01' + i, i FROM generate_series(0, 6) i;
INSERT INTO analytics_db.product_metrics (product_id, date, views)
    SELECT p, date '2026-01-01' + i, i FROM generate_series(0, 3) i, generate_series(1, 5) p;
INSERT INTO analytics_db.user_sessions (session_id, start_time, end_time, duration_seconds)
    SELECT 'v' || i, now(), now(), 0 FROM generate_series(1, 7) i;
"""


def walk(counter: Counter, path: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        sep = "&" if "?" in path else "?"
        asked = f"{path}{sep}limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        answer = counter.send("GET", asked, who=counter.admin)
        assert len(answer["items"]) <= limit
        found += answer["items"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return found


def test_pages_are_the_whole_list_in_its_order(counter: Counter) -> None:
    with counter.shop.connect() as connection:
        connection.execute(FILL)
    for limit in (1, 3, 7, 100):
        sales = walk(counter, "/admin/analytics/sales", limit)
        assert [one["date"] for one in sales] == [f"2026-01-0{day}" for day in range(7, 0, -1)]
        products = walk(counter, "/admin/analytics/products?since=2026-01-02&until=2026-01-03", limit)
        assert [(one["date"], one["product_id"]) for one in products] == [
            (f"2026-01-0{day}", product) for day in (3, 2) for product in range(1, 6)
        ]
        assert [one["date"] for one in walk(counter, "/admin/analytics/products?product_id=4", limit)] == [
            f"2026-01-0{day}" for day in (4, 3, 2, 1)
        ]
        assert [one["session_id"] for one in walk(counter, "/admin/analytics/visits", limit)] == [
            f"v{number}" for number in range(7, 0, -1)
        ]
    ada = counter.desk.person("ada")
    paths = ("sales", "products", "visits", "bots/2026-01-01")
    for one in paths:
        counter.send("GET", f"/admin/analytics/{one}", status=401)
        counter.send("GET", f"/admin/analytics/{one}", who=ada, status=403)
    for query in (
        "sales?since=2026-01-02&until=2026-01-01",
        "sales?cursor=AA",
        "products?cursor=eyJkYXRlIjoieCJ9",
        "products?since=yesterday",
        "bots/never",
    ):
        counter.send("GET", f"/admin/analytics/{query}", who=counter.admin, status=422)


def test_a_day_that_is_none_is_refused(counter: Counter) -> None:
    for given in ("2026-02-30", "x", "0", "2026-1-1", "2026-01-01T00:00:00"):
        counter.send("GET", f"/admin/analytics/bots/{given}", who=counter.admin, status=422)
        counter.send("GET", f"/admin/analytics/sales?until={given}", who=counter.admin, status=422)
