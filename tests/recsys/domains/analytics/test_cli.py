"""`recsys analytics rollup`: which days it takes, and one clear line for what is wrong."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from recsys import clock
from recsys.domains.analytics.calendar import Days
from recsys.domains.analytics.cli import app
from recsys.domains.analytics.rollup import roll_up_days
from recsys.errors import RecsysError
from recsys.settings import get_settings
from tests.support.shop import Shop

NOW = datetime(2026, 3, 29, 22, 30, tzinfo=UTC)


def run(*args: str) -> Any:
    with clock.frozen_at(NOW):
        return CliRunner().invoke(app, ["rollup", *args])


@pytest.mark.parametrize(
    ("args", "since", "until", "days"),
    [
        # it is the 30th already in Berlin
        ((), "2026-03-29", "2026-03-30", 2),
        (("--day", "2026-01-05"), "2026-01-05", "2026-01-05", 1),
        (("--since", "2026-01-30"), "2026-01-30", "2026-03-30", 60),
        (("--until", "2026-03-01"), "2026-02-28", "2026-03-01", 2),
    ],
)
def test_days_are_taken_as_given(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], since: str, until: str, days: int
) -> None:
    monkeypatch.setenv("RECSYS_ANALYTICS__TIME_ZONE", "Europe/Berlin")
    get_settings.cache_clear()
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO orders_db.orders (order_number, subtotal_price, total_price, currency, "
            "financial_status, created_at) SELECT 'T-' || i, 5, 5, c, 'paid', moment "
            "FROM (VALUES (1, 'USD', timestamptz '2026-03-29 21:59Z'), (2, 'USD', '2026-03-29 22:01Z'), "
            "(3, 'EUR', '2026-03-29 22:01Z')) AS given(i, c, moment)"
        )
    figures = json.loads(run(*args, "--json").output)
    assert (figures["since"], figures["until"], figures["days"]) == (since, until, days)
    assert figures["other_currencies"] == (until == "2026-03-30")
    with shop.connect() as connection:
        sold = connection.execute(
            "SELECT date::text, order_count FROM analytics_db.sales_metrics WHERE order_count > 0 ORDER BY 1"
        ).fetchall()
        counted = connection.execute("SELECT count(*) FROM analytics_db.sales_metrics").fetchall()
    assert sold == ([("2026-03-29", 1), ("2026-03-30", 1)] if until == "2026-03-30" else [])
    assert counted == [(days,)]
    assert f"{since} to {until}" in run(*args).output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--day", "2026-01-05", "--since", "2026-01-01"), "not both"),
        (("--since", "2026-01-05", "--until", "2026-01-01"), "end"),
    ],
)
def test_days_that_are_none_are_refused(shop: Shop, args: tuple[str, ...], message: str) -> None:
    error = run(*args).exception
    assert isinstance(error, RecsysError)
    assert (error.exit_code, message in error.message) == (2, True)


PAGES = """
INSERT INTO analytics_db.page_views (session_id, page_url, timestamp)
SELECT 's' || i, '/', moment + minutes * interval '1 minute'
FROM generate_series(1, 450) i, (VALUES (0), (20)) AS steps(minutes),
    (VALUES (timestamptz '2026-03-28 23:50Z'), ('2026-03-29 12:00Z')) AS given(moment)
"""
VISITS = """
SELECT (start_time AT TIME ZONE 'UTC')::date::text, page_views, duration_seconds, count(*),
    count(DISTINCT split_part(session_id, ' ', 1))
FROM analytics_db.user_sessions GROUP BY 1, 2, 3 ORDER BY 1
"""


def test_visits_are_made_of_pages_that_nobody_rolled_up_also_by_several_runs_at_once(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute(PAGES)
        connection.commit()
        day = Days.between(date(2026, 3, 29), date(2026, 3, 29))
        with ThreadPoolExecutor(3) as pool:
            runs = list(pool.map(roll_up_days, [day] * 3))
        # a visit that began the day before is made from its beginning
        assert connection.execute(VISITS).fetchall() == [
            ("2026-03-28", 2, 1200, 450, 450),
            ("2026-03-29", 2, 1200, 450, 450),
        ]
        assert [one.visits for one in runs] == [900] * 3
        assert sum(one.sales_changed for one in runs) == 1
        # rows that went, or were made up, are put right
        connection.execute(
            "UPDATE analytics_db.user_sessions SET page_views = 7, user_id = NULL WHERE id % 3 = 0"
        )
        connection.execute(
            "DELETE FROM analytics_db.user_sessions WHERE id % 7 = 0 AND session_id LIKE '% 2'"
        )
        connection.commit()
        roll_up_days(day)
        assert connection.execute(VISITS).fetchall()[0] == ("2026-03-28", 2, 1200, 450, 450)
        assert len(connection.execute(VISITS).fetchall()) == 2
