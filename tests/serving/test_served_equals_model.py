"""Served lists equal the model's: the same products in the same order on every route."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from features.build.builder import weights_of
from features.interactions import History
from features.user_history import histories
from models.base import Recommender
from models.ranking.calibration import Calibration
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.reasons import Kind
from recsys.domains.recommendations.stored_lists.codec import Entry, unpack
from recsys.domains.recommendations.stored_lists.user_lists import read_list
from recsys.settings import get_settings
from serving.batch import scoring
from serving.server.app import create_app
from tests.models.shops import SHOPS
from tests.serving import kinds_of_shops, shopping
from tests.serving.api.answers import execute
from tests.serving.running import running
from tests.support.shop import Shop

SIZES = {"any": 100, "new": 40}
MODELS = {"groceries": "tifu_knn", "durable goods": "item_knn", "event log": "co_visitation"}
SELECTS = {
    "any": "SELECT product_id, score, (context #>> '{any,score}')::numeric "
    "FROM recommendations_db.product_recommendations "
    "WHERE user_id = %s AND context ? 'any' ORDER BY score DESC",
    "new": "SELECT product_id, (context #>> '{new,score}')::numeric, (context #>> '{new,score}')::numeric "
    "FROM recommendations_db.product_recommendations "
    "WHERE user_id = %s AND context ? 'new' ORDER BY (context #>> '{new,rank}')::int",
}

UserContext = dict[int, dict[str, set[int]]]


@pytest.fixture(params=sorted(SHOPS))
def served(shop: Shop, request: pytest.FixtureRequest) -> Iterator[tuple[Shop, Recommender, httpx.Client]]:
    """A shop of some kind, its model, and its API; some dismissed a product after the training."""
    kind = request.param
    kinds_of_shops.open_shop(shop.database_url, kind)
    model = shopping.fit(MODELS[kind])
    model.calibration_new_ = Calibration((-1.0, 0.0, 1.0, 1000.0), (0.0, 0.5, 0.6, 0.9))
    shopping.promote(model, "the-model")
    execute(
        shop,
        "INSERT INTO recommendations_db.user_interactions "
        "(user_id, product_id, interaction_type, created_at) "
        "SELECT DISTINCT ON (user_id) user_id, product_id, 'dismissed', created_at + interval '1 day' "
        "FROM recommendations_db.user_interactions WHERE user_id %% %s = 0 "
        "ORDER BY user_id, created_at DESC, product_id",
        kinds_of_shops.DISMISSED,
    )
    scoring.score()
    with running(create_app()) as client:
        yield shop, model, client


def eligible(shop: Shop, repeats: bool) -> tuple[list[int], UserContext]:
    """What the shop sells, and what each user must not be shown for each question."""
    sold = [
        row[0]
        for row in execute(shop, "SELECT id FROM products_db.products WHERE status = 'active' ORDER BY 1")
    ]
    closed: UserContext = {}
    for user, product, kind in execute(
        shop, "SELECT user_id, product_id, interaction_type FROM recommendations_db.user_interactions"
    ):
        own = closed.setdefault(user, {"any": set(), "new": set()})
        own["new"].add(product)
        if kind == "dismissed" or (kind == "purchase" and not repeats):
            own["any"].add(product)
    return sold, closed


def expected(
    model: Recommender,
    user: int,
    question: str,
    sold: list[int],
    closed: set[int],
    newer: dict[int, History],
) -> list[int]:
    """The model's own ranking of the question, without what must not be shown.

    Parameters
    ----------
    newer
        The histories of users who did something after the training.
    """
    k, exclude = len(model.items_), "seen" if question == "new" else None
    ranking = (
        model.recommend_from([newer[user]], k, exclude=exclude, only=sold)
        if user in newer
        else model.recommend([user], k, exclude=exclude, only=sold)
    )
    return [entry for entry in ranking.row(0)[0].tolist() if entry not in closed][: SIZES[question]]


def newer_histories(shop: Shop, model: Recommender) -> dict[int, History]:
    """The histories of users who did something after the training."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=model.moment_)
    users = [
        row[0]
        for row in execute(
            shop,
            "SELECT DISTINCT user_id FROM recommendations_db.user_interactions "
            "WHERE created_at > %s AND user_id IS NOT NULL ORDER BY 1",
            moment,
        )
    ]
    with unit_of_work() as session:
        found = histories(session, users, weights_of(get_settings()), model.moment_)
    return dict(zip(users, found, strict=True))


def pages(client: httpx.Client, user: int, **parameters: Any) -> list[dict[str, Any]]:
    """All items of all pages."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = parameters | ({} if cursor is None else {"cursor": cursor})
        answer = client.get(f"/api/v1/users/{user}/recommendations", params=query).raise_for_status().json()
        found += answer["items"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return found
        assert answer["provenance"]["source"] == "stored"


def test_every_users_lists_are_the_models_own_wherever_they_are_read(
    served: tuple[Shop, Recommender, httpx.Client], redis_client: redis.Redis
) -> None:
    shop, model, client = served
    repeats = bool(execute(shop, "SELECT repeat_purchases FROM recommendations_db.category_policies")[0][0])
    sold, closed = eligible(shop, repeats)
    assert len(closed) == kinds_of_shops.USERS
    newer = newer_histories(shop, model)
    assert newer
    ranked = 0
    for user, own in closed.items():
        packed = redis_client.get(keys.stored_recommendations(1, user))
        assert isinstance(packed, bytes)
        stored = unpack(packed)
        with unit_of_work() as session:
            assert read_list(session, user) == stored
        lists: dict[str, list[Entry]] = {"any": list(stored.entries), "new": list(stored.new)}
        for question, entries in lists.items():
            wanted = expected(model, user, question, sold, own[question], newer)
            products = [entry.product for entry in entries]
            assert products[: len(wanted)] == wanted
            # whatever the model does not rank is filled with what is popular, and nothing else
            filling = entries[len(wanted) :]
            ranked += len(wanted)
            assert all(entry.kind is Kind.POPULAR for entry in filling)
            assert not {entry.product for entry in entries} & own[question]
            assert len(set(products)) == len(entries) == min(SIZES[question], len(set(sold) - own[question]))
            scores = [entry.score for entry in entries]
            assert all(entry > other for entry, other in pairwise(scores))

            rows = execute(shop, SELECTS[question], user)
            assert [row[0] for row in rows] == products
            assert [round(row[1] * 10_000) for row in rows] == scores
            assert all(row[1] == row[2] for row in rows)

            items = pages(client, user, novelty=question, limit=17)
            assert [entry["product_id"] for entry in items] == products
            assert [round(entry["score"] * 10_000) for entry in items] == scores
        default = client.get(f"/api/v1/users/{user}/recommendations").json()["items"]
        assert [entry["product_id"] for entry in default] == [entry.product for entry in lists["any"]][:20]
    assert ranked > 20 * 2 * len(closed), "most of what was compared is the model's"


def test_lists_that_are_made_when_asked_are_the_models_own_as_well(
    served: tuple[Shop, Recommender, httpx.Client],
) -> None:
    shop, model, client = served
    repeats = bool(execute(shop, "SELECT repeat_purchases FROM recommendations_db.category_policies")[0][0])
    sold, closed = eligible(shop, repeats)
    users = sorted(closed)[:20]
    with unit_of_work() as session:
        user_histories = histories(session, users, weights_of(get_settings()), model.moment_)
    for user, history in zip(users, user_histories, strict=True):
        for question in ("any", "new"):
            only = np.setdiff1d(sold, sorted(closed[user][question]))
            ranking = model.recommend_from(
                [history], 50, exclude="seen" if question == "new" else None, only=only
            )
            wanted = ranking.row(0)[0].tolist()
            answer = client.get(
                f"/api/v1/users/{user}/recommendations",
                params={"novelty": question, "min_price": 0, "limit": 50},
            ).json()
            assert answer["provenance"]["source"] == "live"
            items = answer["items"]
            assert [entry["product_id"] for entry in items][: len(wanted)] == wanted
            assert all(entry["score"] > other["score"] for entry, other in pairwise(items))
