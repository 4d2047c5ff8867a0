"""`recsys train off-policy` on logged lists of a small shop."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from models.base import Recommender
from models.ranking.plackett_luce import draw, log_chances, place_logits
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from tests.serving import shopping
from tests.support.shop import Shop
from training.off_policy.evaluation import OffPolicyOptions, evaluate_lists
from training.off_policy.log import Reward, read_lists
from training.off_policy.rankings import lists_by
from training.off_policy.target import LoggedLists, padded

PLACES, DEPTH = 3, 120
LISTS_OF_USER = 30
OPTIONS = ("--since", "30d", "--window", "0.5h", "--min-effective", "5", "--temperature", "60", "--json")


@pytest.fixture
def logged(shop: Shop) -> tuple[Shop, Recommender, LoggedLists]:
    """The shop, its model, and drawn lists of all products by their ids, with the clicks on them."""
    shopping.open_shop(shop.database_url)
    model = shopping.fit()
    shopping.promote(model, "knn-v1")
    chance, logits = np.random.default_rng(8), place_logits(DEPTH, 60.0)
    products = np.arange(1, DEPTH + 1)
    lists, clicks, rows = [], [], []
    begin = clock.now() - timedelta(days=20)
    for number in range(LISTS_OF_USER * shopping.USERS):
        user, shown_at = 1 + number % shopping.USERS, begin + number * timedelta(minutes=3)
        order = draw(logits, 5, chance)
        propensities = np.exp(log_chances(logits, order))
        page = products[order]
        clicked = chance.random(5) < np.where(page % 3 == user % 3, 0.6, 0.1)
        lists.append(
            Answered(f"drawn-{number}", "for_you", "stored", page.tolist(), [0.5] * 5, shown_at, user,
                     propensities=propensities.tolist(), candidates=products.tolist())
        )  # fmt: skip
        clicks += [(user, product, shown_at + timedelta(minutes=1)) for product in page[clicked].tolist()]
        rows.append((user, page[:PLACES], propensities[:PLACES], clicked[:PLACES].astype(float)))
    with shop.connect() as connection:
        cursor = connection.cursor()
        cursor.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "VALUES (99, 'late@example.org', 'late', 'Late', 'x')"
        )
        cursor.executemany(
            "INSERT INTO recommendations_db.recommendation_feedback "
            "(user_id, product_id, feedback_type, created_at) VALUES (%s, %s, 'clicked', %s)",
            clicks,
        )
    other = lists[0]
    with unit_of_work() as session:
        impressions.store(session, lists)
        impressions.store(
            session,
            [
                other._replace(request_id="not-drawn", propensities=None, candidates=None),
                other._replace(request_id="unknown", user_id=99),
                other._replace(request_id="nobody", user_id=None),
                other._replace(request_id="other-list", shelf="popular"),
                other._replace(request_id="page-2", before=20),
                other._replace(request_id="long-ago", shown_at=begin - timedelta(days=300)),
            ],
        )
    rows.sort(key=lambda row: row[0])
    users, pages, propensities, rewards = zip(*rows, strict=True)
    return shop, model, LoggedLists(
        np.array(users), padded(pages, PLACES), np.array(propensities), np.array(rewards),
        np.tile(products, (len(rows), 1)),
    )  # fmt: skip


def options(**changes: Any) -> OffPolicyOptions:
    now = clock.now()
    given = {
        "since": now - timedelta(days=30), "until": now, "window": timedelta(minutes=30),
        "reward": Reward.CLICKS, "shelf": "for_you", "places": PLACES, "temperature": 60.0, "depth": DEPTH,
        "clip": 100.0, "min_effective": 5.0, "rerank": False, "draws": 200, "seed": 0,
    }  # fmt: skip
    return OffPolicyOptions(**{**given, **changes})


def test_the_command_estimates_from_the_lists_that_were_logged(
    logged: tuple[Shop, Recommender, LoggedLists],
) -> None:
    shop, model, expected = logged
    chosen = options(rerank=True)
    with unit_of_work() as session:
        found = read_lists(
            session, since=chosen.since, until=chosen.until, window=chosen.window, reward=chosen.reward,
            shelf="for_you", places=PLACES,
        )  # fmt: skip
        target, without_history = lists_by(session, model, found, depth=DEPTH, temperature=60.0, rerank=True)
    assert without_history == 1
    [late] = np.flatnonzero(found.lists.visitors == 99)
    np.testing.assert_array_equal(target.products[late], found.lists.candidates[late])
    known = found.take(np.flatnonzero(found.lists.visitors != 99)).lists
    assert len(found) == len(known) + 1
    np.testing.assert_array_equal(known.visitors, expected.visitors)
    np.testing.assert_array_equal(known.products, expected.products)
    np.testing.assert_allclose(known.propensities, expected.propensities, rtol=1e-6)
    np.testing.assert_array_equal(known.candidates, expected.candidates)
    # the list that was not drawn is displayed at the moment of the first, and takes its clicks
    assert (known.rewards != expected.rewards).any(axis=1).sum() <= 1
    for row, products in enumerate(target.products):
        assert sorted(products) == list(range(1, DEPTH + 1)), row
    estimates, unsupported = evaluate_lists(found.lists, target, chosen)
    assert unsupported == 0.0

    answer = shop.run("train", "off-policy", "--model", "knn-v1", *OPTIONS, "--rerank", "--draws", "200")
    assert answer.returncode == 0, answer.stderr
    output = json.loads(answer.stdout)
    assert (output["lists"], output["visitors"]) == (len(found), shopping.USERS + 1)
    assert (output["guests"], output["without_history"], output["left_out"]) == (0, 1, 0)
    for name in ("ips", "snips", "doubly_robust", "logged"):
        each = getattr(estimates, name)
        assert output["estimates"][name] == pytest.approx(
            {"value": each.value, "low": each.low, "high": each.high}
        )
    places = output["estimates"]["places"]
    assert [place["place"] for place in places] == [1, 2, 3]
    table = shop.run("train", "off-policy", "--model", "knn-v1", *OPTIONS[:-1], "--rerank")
    assert "doubly robust" in table.stdout
    assert "Weights are clipped at 100" in table.stdout
    nothing = json.loads(
        shop.run(
            "train", "off-policy", "--model", "knn-v1", *OPTIONS, "--rerank", "--reward", "revenue"
        ).stdout
    )
    assert nothing["estimates"]["logged"]["value"] == nothing["estimates"]["doubly_robust"]["value"] == 0.0


def test_what_cannot_be_estimated_is_refused_in_one_line(
    logged: tuple[Shop, Recommender, LoggedLists],
) -> None:
    shop, _, _ = logged
    for arguments, message in (
        (("--model", "nobody"), "no model is named 'nobody'"),
        (("--model", "knn-v1", "--until", "2020-01-01", "--since", "2019-01-01"), "has learned from"),
        (("--model", "knn-v1", "--since", "1h"), "was drawn between"),
        (("--model", "knn-v1", "--list", "other"), "no list 'other' of a visitor was drawn"),
        (("--model", "knn-v1", "--since", "30d", "--min-effective", "5000"), "(at least 5000 are needed)"),
        (("--model", "knn-v1", "--reward", "joy"), "expected one of clicks, carts, purchases, revenue"),
        (("--model", "knn-v1", "--window", "0d"), "--window"),
        (("--model", "knn-v1", "--since", "2026-01-02", "--until", "2026-01-01"), "is not before"),
        (("--model", "knn-v1", "--places", "0"), "--places"),
    ):
        answer = shop.run("train", "off-policy", *arguments)
        assert answer.returncode == 2, (arguments, answer.stdout, answer.stderr)
        assert message in answer.stderr
        assert len(answer.stderr.strip().splitlines()) == 1
    with shop.connect() as connection:
        connection.execute("UPDATE recommendations_db.exposures SET candidates = candidates[1:50]")
    answer = shop.run("train", "off-policy", "--model", "knn-v1", "--since", "30d", "--places", "1")
    assert answer.returncode == 2
    assert "the log has no support for this model" in answer.stderr
