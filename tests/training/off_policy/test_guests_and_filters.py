"""Drawn lists of guests, of users who came after the training, and under filters."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from features.interactions import History
from models.base import Recommender
from models.ranking.plackett_luce import draw, log_chances, place_logits
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from serving.catalogue.refresher import CatalogueRefresher
from serving.ranking.filters import CatalogueFilters
from serving.recommender.request import Filters
from tests.serving import shopping
from tests.support.shop import Shop
from training.off_policy.filters import passing
from training.off_policy.log import DrawnLists, Reward, read_lists
from training.off_policy.rankings import lists_by

GUESTS, LISTS, PLACES = 40, 10, 2
COFFEE, LAMPS = list(range(1, 61)), list(range(61, 91))
OPTIONS = ("--since", "30d", "--window", "1h", "--min-effective", "5", "--places", "2", "--temperature", "30")
BEGIN = timedelta(days=9)


def drawn(number: int, candidates: list[int], chance: np.random.Generator, **fields: Any) -> Answered:
    order = draw(place_logits(len(candidates), 30.0), 5, chance)
    propensities = np.exp(log_chances(place_logits(len(candidates), 30.0), order))
    page = np.array(candidates)[order].tolist()
    shown_at = clock.now() - BEGIN + number * timedelta(minutes=4)
    return Answered(
        f"list-{number}", "for_you", "live", page, [0.5] * 5, shown_at,
        propensities=propensities.tolist(), candidates=candidates, **fields,
    )  # fmt: skip


@pytest.fixture
def model(shop: Shop) -> Recommender:
    """The model of a shop whose guests looked at lamps, and in whose log they click on these alone."""
    shopping.open_shop(shop.database_url)
    fitted = shopping.fit()
    shopping.promote(fitted, "knn-v1")
    chance = np.random.default_rng(4)
    lists, clicks, looks = [], [], []
    for number in range(GUESTS * LISTS):
        guest = f"visit-{number % GUESTS}"
        filters = {"categories": [3]} if number % 2 else None
        products = list(chance.permutation(LAMPS + (list(range(91, 121)) if number % 2 else COFFEE)).tolist())
        lists.append(drawn(number, products, chance, session_id=guest, filters=filters))
        clicks += [
            (lists[-1], place, product)
            for place, product in enumerate(lists[-1].products, 1)
            if product in LAMPS and chance.random() < 0.5
        ]
    for number in range(GUESTS):
        # the last one has no history, and the last but one got it after all lists
        if number < GUESTS - 1:
            at = clock.now() - (timedelta(days=1) if number == GUESTS - 2 else timedelta(days=20))
            looks += [(f"visit-{number}", product, at) for product in (61, 65, 70, 75)]
    with unit_of_work() as session:
        impressions.store(session, lists)
    with shop.connect() as connection:
        cursor = connection.cursor()
        cursor.executemany(
            "INSERT INTO recommendations_db.user_interactions "
            "(session_id, product_id, created_at, interaction_type) VALUES (%s, %s, %s, 'view')",
            looks,
        )
        for listed, place, product in clicks:
            at = listed.shown_at + timedelta(minutes=2)
            cursor.execute(
                "WITH f AS (INSERT INTO recommendations_db.recommendation_feedback "
                "(product_id, feedback_type, created_at) VALUES (%s, 'clicked', %s) RETURNING id) "
                "INSERT INTO recommendations_db.feedback_exposures "
                "(feedback_id, request_id, shelf, position, session_id, source) "
                "SELECT id, %s, 'for_you', %s, %s, 'live' FROM f",
                (
                    product,
                    listed.shown_at + timedelta(minutes=2),
                    listed.request_id,
                    place,
                    listed.session_id,
                ),
            )
    return fitted


def read(places: int = PLACES, reward: Reward = Reward.CLICKS) -> DrawnLists:
    now = clock.now()
    with unit_of_work() as session:
        return read_lists(
            session, since=now - timedelta(days=30), until=now, window=timedelta(hours=1), reward=reward,
            shelf="for_you", places=places,
        )  # fmt: skip


def test_guests_are_visitors_with_what_followed_their_requests(model: Recommender) -> None:
    found = read(places=5)
    assert len(found) == GUESTS * LISTS
    assert np.unique(found.lists.visitors).tolist() == list(range(-GUESTS, 0))
    assert (
        len(
            {
                (number, name)
                for number, name in zip(found.lists.visitors.tolist(), found.sessions, strict=True)
            }
        )
        == GUESTS
    )
    is_lamp = np.isin(found.lists.products, LAMPS)
    assert not found.lists.rewards[~is_lamp].any()
    assert 0.4 < found.lists.rewards[is_lamp].mean() < 0.6
    assert not read(reward=Reward.CARTS).lists.rewards.any()


def test_each_list_is_ranked_among_what_passes_its_filters_by_what_was_known_then(model: Recommender) -> None:
    found = read()
    with unit_of_work() as session:
        target, without_history = lists_by(session, model, found, depth=40, temperature=30.0, rerank=False)
        again, _ = lists_by(session, model, found, depth=40, temperature=30.0, rerank=True)
    # two guests of the last places had no history when their lists were displayed
    assert without_history == 2 * LISTS
    past = History.of([61, 65, 70, 75])
    everything: npt.NDArray[np.int64] = model.recommend_from([past], 40).products[0]
    home = model.recommend_from([past], 40, only=np.arange(61, 121)).products[0]
    for row in range(len(found)):
        number = int(str(found.sessions[row]).removeprefix("visit-"))
        candidates = found.lists.candidates[row]
        if number >= GUESTS - 2:
            assert target.products[row].tolist() == candidates[:40].tolist()
            continue
        expected = home if found.filters[row] else everything
        ranked = [product for product in expected.tolist() if product >= 0]
        listed = target.products[row].tolist()
        assert listed[: len(ranked)] == ranked
        assert set(listed[len(ranked) :]) <= set(candidates.tolist()), "completed from the log"
        assert sorted(again.products[row]) == sorted(candidates)
        if found.filters[row]:
            assert set(listed) <= set(range(61, 121))


def test_what_a_page_excluded_and_what_was_touched_is_not_ranked(model: Recommender, shop: Shop) -> None:
    chance = np.random.default_rng(1)
    with unit_of_work() as session:
        impressions.store(
            session,
            [
                drawn(1_000, LAMPS, chance, user_id=3, filters={"exclude": [61, 62], "novelty": "new"}),
                drawn(1_001, LAMPS, chance, user_id=3),
            ],
        )
    found = read()
    rows = [row for row, guest in enumerate(found.sessions) if guest is None]
    with unit_of_work() as session:
        target, _ = lists_by(session, model, found, depth=30, temperature=30.0, rerank=False)
    narrow, whole = sorted((target.products[row].tolist() for row in rows), key=lambda each: 61 in each)
    touched = set(model.items_.ids[model.history_[int(model.users_.index([3])[0])].indices].tolist())
    ranked = [
        product for product in model.recommend([3], 32, exclude="seen").products[0].tolist() if product >= 0
    ]
    kept = [product for product in ranked if product not in (61, 62)][:30]
    assert narrow[: len(kept)] == kept
    assert not set(kept) & touched
    assert set(whole) & touched


def test_the_command_counts_them(model: Recommender, shop: Shop) -> None:
    answer = shop.run("train", "off-policy", "--model", "knn-v1", *OPTIONS, "--rerank", "--json")
    assert answer.returncode == 0, answer.stderr
    output = json.loads(answer.stdout)
    assert (output["lists"], output["visitors"], output["guests"]) == (GUESTS * LISTS, GUESTS, GUESTS * LISTS)
    assert (output["without_history"], output["left_out"]) == (2 * LISTS, 0)
    # the model ranks lamps first for guests who looked at lamps
    assert output["estimates"]["gain"]["low"] > 0
    refused = shop.run("train", "off-policy", "--model", "knn-v1", *OPTIONS, "--reward", "revenue")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1)
    assert "all are of guests, whose orders name no list" in refused.stderr


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"categories": [3]},
    {"categories": [2, 5], "max_price": 95.25},
    {"brands": [1], "min_price": 20.25},
    {"tags": ["sale"]},
    {"tags": ["sale", "new"], "in_stock": True},
    {"in_stock": True, "created_since": (shopping.START - timedelta(days=50)).timestamp()},
    {"categories": [77]},
)


def test_the_filters_of_the_log_are_those_of_requests(shop: Shop) -> None:
    shopping.open_shop(shop.database_url)
    with shop.connect() as connection:
        connection.execute("INSERT INTO products_db.brands (id, name, slug) VALUES (1, 'A', 'a')")
        connection.execute("UPDATE products_db.products SET brand_id = 1 WHERE id % 3 = 0")
        connection.execute("UPDATE products_db.products SET tags = '{sale,new}' WHERE id % 4 = 0")
        connection.execute("UPDATE products_db.products SET tags = '{sale}' WHERE id % 4 = 1")
        connection.execute("UPDATE products_db.products SET track_inventory = false WHERE id % 20 = 0")
        connection.execute("UPDATE products_db.product_variants SET inventory_quantity = 0 WHERE id % 5 = 0")
        connection.execute("UPDATE products_db.product_variants SET inventory_policy = 'continue'")
        connection.execute("DELETE FROM products_db.product_variants WHERE product_id = 15")
        connection.execute("UPDATE products_db.products SET status = 'archived' WHERE id = 8")
    refresher = CatalogueRefresher()
    with unit_of_work() as session:
        refresher.refresh(session)
        found = [passing(session, filters).tolist() for filters in FILTERS]
    for filters, products in zip(FILTERS, found, strict=True):
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in filters.items()}
        eligible = CatalogueFilters().of(refresher.current, Filters(**given)).eligible
        assert products == refresher.current.ids[eligible].tolist(), filters
    assert len({tuple(products) for products in found}) == len(FILTERS)
