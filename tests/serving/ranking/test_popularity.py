"""Popularity and trends: people count, successes most, and a few late events change neither."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recsys.database.session import unit_of_work
from recsys.settings import get_settings
from serving.ranking.popularity import PopularProducts, dense_until
from serving.ranking.trending import count_trends
from tests.support.shop import Shop

START = datetime(2024, 1, 1, tzinfo=UTC)
Row = tuple[int | None, str | None, int, str, float]
"""user, session, product, type, day"""


def insert(shop: Shop, rows: list[Row]) -> None:
    with shop.connect() as connection:
        users = sorted({row[0] for row in rows if row[0] is not None})
        connection.cursor().executemany(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "VALUES (%s, %s, %s, 'A B', 'x') ON CONFLICT DO NOTHING",
            [(user, f"u{user}@example.org", f"u{user}") for user in users],
        )
        connection.cursor().executemany(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, session_id, product_id, interaction_type, created_at) VALUES (%s, %s, %s, %s, %s)",
            [
                (user, session, item, kind, START + timedelta(days=day))
                for user, session, item, kind, day in rows
            ],
        )


def popular_shares() -> dict[int, float]:
    with unit_of_work() as session:
        counted = PopularProducts.count(session)
    return dict(zip(counted.products.tolist(), counted.shares.round(4).tolist(), strict=True))


def trending_scores() -> dict[int, float]:
    with unit_of_work() as session:
        counted = count_trends(session)
    return dict(zip(counted.products.tolist(), counted.shares.tolist(), strict=True))


def constant_sales(days: int = 90, people: int = 40) -> list[Row]:
    """Each day five people buy one of ten products each."""
    return [
        ((5 * day + place) % people + 1, None, (day + place) % 10 + 1, "purchase", float(day))
        for day in range(days)
        for place in range(5)
    ]


def test_people_are_counted_and_successes_weigh_most(shop: Shop) -> None:
    rows: list[Row] = [(1, None, 1, "view", place / 1000) for place in range(500)]
    rows += [(user, None, 2, "view", 1.0) for user in range(1, 6)]
    rows += [(user, None, 3, "purchase", 1.0) for user in (1, 2)]
    rows += [(None, session, 4, "view", 1.0) for session in ("a", "a", "b")]
    rows += [(1, None, 5, "dismissed", 1.0)]
    insert(shop, rows)
    # seven people: five users and two sessions
    assert popular_shares() == {
        1: pytest.approx(0.1 / 7, abs=1e-4),
        2: pytest.approx(0.5 / 7, abs=1e-4),
        3: pytest.approx(2 / 7, abs=1e-4),
        4: pytest.approx(0.2 / 7, abs=1e-4),
    }


def test_the_configured_target_defines_a_success(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    insert(shop, [(1, None, 1, "purchase", 1.0), (1, None, 2, "like", 1.0), (2, None, 2, "like", 1.0)])
    monkeypatch.setattr(get_settings().features, "target", {"like": 1.0})
    assert popular_shares() == {1: 0.05, 2: 1.0}


@pytest.mark.parametrize(("kind", "late"), [("view", 30.0), ("purchase", 30.0), ("purchase", 900.0)])
def test_twelve_late_events_change_neither_popularity_nor_trends(shop: Shop, kind: str, late: float) -> None:
    rise: list[Row] = [(user, None, 11, "purchase", 88.0) for user in range(1, 31)]
    insert(shop, constant_sales() + rise)
    before = popular_shares(), trending_scores()
    assert 11 in before[1]
    assert max(before[1], key=lambda product: before[1][product]) == 11
    diapers: list[Row] = [(n + 1, None, 20 + n % 4, kind, 90 + late + n / 100) for n in range(12)]
    insert(shop, diapers)
    assert (popular_shares(), trending_scores()) == before
    with unit_of_work() as session:
        assert dense_until(session) == START + timedelta(days=89)


def test_few_people_or_one_active_visitor_are_no_trend(shop: Shop) -> None:
    rush: list[Row] = [(1, None, 12, "purchase", 87 + place / 1000) for place in range(500)]
    four: list[Row] = [(user, None, 13, "purchase", 88.0) for user in range(1, 5)]
    insert(shop, constant_sales() + rush + four)
    assert not set(trending_scores()) & {12, 13}


def test_an_empty_shop_has_no_popular_products(shop: Shop) -> None:
    assert popular_shares() == {}
    assert trending_scores() == {}
