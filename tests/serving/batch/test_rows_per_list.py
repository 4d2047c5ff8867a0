"""Only the first products of each stored list need be rows; lists, answers and feedback are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.stored_lists import rows
from recsys.domains.recommendations.stored_lists.user_lists import read_list
from recsys.settings import get_settings
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.api.answers import ask, execute, ids
from tests.serving.batch.refreshing import ROWS, hear, view
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.waiting import until

LONGEST = 20


def keep_rows(patch: pytest.MonkeyPatch, longest: int) -> None:
    patch.setenv("RECSYS_SERVING__ROWS_PER_LIST", str(longest))
    get_settings.cache_clear()


@pytest.fixture
def short_client(trained_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The application of a shop with 20 rows for each list."""
    keep_rows(monkeypatch, LONGEST)
    scoring.score()
    with running(create_app()) as client:
        yield client


def rows_of(shop: Shop, user: int, question: str) -> list[int]:
    """The products of the rows of a question, by rank."""
    rows: list[Any] = [row for row in execute(shop, ROWS) if row[0] == user and question in row[6]]
    return [row[1] for row in sorted(rows, key=lambda row: row[6][question]["rank"])]


def assert_rows_are_the_first_of_the_lists(shop: Shop, longest: int) -> None:
    users = {row[0] for row in execute(shop, ROWS)}
    assert len(users) == shopping.USERS - 1
    for user in sorted(users):
        with unit_of_work() as session:
            stored = read_list(session, user)
        assert stored is not None
        assert rows_of(shop, user, "any") == [entry.product for entry in stored.entries[:longest]]
        assert rows_of(shop, user, "new") == [entry.product for entry in stored.new[:longest]]


def test_rows_are_the_first_products_of_both_lists(short_client: httpx.Client, trained_shop: Shop) -> None:
    assert_rows_are_the_first_of_the_lists(trained_shop, LONGEST)
    answer = ask(short_client, 1, limit=50)
    assert answer["provenance"]["source"] == "stored"
    assert len(ids(answer)) == 50


@pytest.mark.parametrize(
    ("users", "expected"),
    [(0, 2_500_000), (2_500, 1_000), (25_000, 100), (50_000, 50), (125_000, 20), (1_000_000, 20)],
)
def test_of_each_list_a_large_shop_has_fewer_rows(users: int, expected: int) -> None:
    assert rows.first_products(users) == expected


def test_what_is_set_is_kept_in_a_shop_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_rows(monkeypatch, 300)
    assert {rows.first_products(users) for users in (1, 10_000_000)} == {300}


def test_a_shop_that_sets_nothing_has_as_many_rows_as_its_size_allows(
    trained_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 25 * 2 * (shopping.USERS - 1))
    scoring.score()
    assert_rows_are_the_first_of_the_lists(trained_shop, 25)
    done = trained_shop.run("export", "lists", "--top", "20")
    assert done.returncode == 0, done.stderr


def test_a_refreshed_list_has_as_many_rows(short_client: httpx.Client, trained_shop: Shop) -> None:
    view(short_client, 75, kind="purchase")
    hear(1)
    assert ask(short_client, 1)["provenance"]["source"] == "stored"
    assert_rows_are_the_first_of_the_lists(trained_shop, LONGEST)


def test_rows_come_and_go_with_the_setting_and_keep_their_ids(
    short_client: httpx.Client, trained_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {row[:2]: row[2] for row in execute(trained_shop, ROWS)}
    keep_rows(monkeypatch, 1000)
    scoring.score()
    assert_rows_are_the_first_of_the_lists(trained_shop, 1000)
    many = {row[:2]: row[2] for row in execute(trained_shop, ROWS)}
    assert len(many) > 3 * len(few)
    assert {key: many[key] for key in few} == few
    keep_rows(monkeypatch, LONGEST)
    scoring.score()
    assert {row[:2]: row[2] for row in execute(trained_shop, ROWS)} == few


def test_feedback_about_a_product_without_a_row_is_stored(
    short_client: httpx.Client, trained_shop: Shop
) -> None:
    answer = ask(short_client, 1, limit=50)
    product = next(each for each in ids(answer)[LONGEST:] if each not in rows_of(trained_shop, 1, "new"))
    body = {
        "request_id": answer["provenance"]["request_id"],
        "user_id": 1,
        "product_id": product,
        "feedback_type": "clicked",
    }
    # before the answer is noted, feedback on it is queued
    until(lambda: impressions.recall(get_redis(), [answer["provenance"]["request_id"]]))
    response = short_client.post("/api/v1/recommendations/feedback", json=body)
    assert response.status_code in (200, 201), response.text
    assert execute(
        trained_shop, "SELECT product_id, recommendation_id FROM recommendations_db.recommendation_feedback"
    ) == [(product, None)]


def test_an_export_of_more_than_there_are_rows_is_refused(
    short_client: httpx.Client, trained_shop: Shop
) -> None:
    done = trained_shop.run("export", "lists", "--top", LONGEST)
    assert done.returncode == 0, done.stderr
    done = trained_shop.run("export", "lists", "--top", LONGEST + 1)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--top 21 is more than the 20 products of each list" in done.stderr
    assert "RECSYS_SERVING__ROWS_PER_LIST" in done.stderr
