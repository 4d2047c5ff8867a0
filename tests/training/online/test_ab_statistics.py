"""A/B tests judged: known answers, and a winner, a tie and a broken draw that were planted."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests.service import Arm, Running, arm_of
from tests.support.shop import Shop
from training.online.ab_results import read_results
from training.online.ab_statistics import Arms, compare, judge, mismatch, newcombe

USERS = 1200


def arms(control: list[float], challenger: list[float], metric: str = "bought") -> Arms:
    side = np.repeat([False, True], [len(control), len(challenger)])
    return Arms(side, {metric: np.array(control + challenger, dtype=np.float64)})


def did(successes: int, of: int) -> list[float]:
    return [1.0] * successes + [0.0] * (of - successes)


def verdict(found: Arms, metric: str = "bought", share: float = 0.5, **terms: Any) -> str:
    first = compare(found, metric)[0]
    given: dict[str, Any] = {"days": 14.0, "planned": 14.0, "over": False} | terms
    return judge(found, first, mismatch(found.users, share), **given).outcome


def test_newcombe_s_known_values() -> None:
    # Newcombe (1998), table II, method 10
    table = (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 10), 0.6075, 1.0000),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    )
    for a, b, low, high in table:
        assert newcombe(a, b) == pytest.approx((low, high), abs=5e-5)


def test_shares_and_means_are_compared_as_an_independent_library_does() -> None:
    (one,) = compare(arms(did(48, 80), did(56, 70)), "bought")
    assert (one.control, one.challenger) == (0.6, 0.8)
    assert (one.low, one.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    expected = stats.chi2_contingency([[56, 14], [48, 32]], correction=False)
    assert one.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert one.relative == pytest.approx(1 / 3)
    assert one.smallest == pytest.approx(2.8015852 * np.sqrt(0.24 / 79 + 0.16 / 69), rel=1e-6)

    chance = np.random.default_rng(3)
    a, b = chance.gamma(2.0, 10.0, 300), chance.gamma(2.0, 12.0, 200)
    (two,) = compare(arms(a.tolist(), b.tolist(), "revenue"), "revenue")
    welch = stats.ttest_ind(b, a, equal_var=False)
    assert two.p_value == pytest.approx(welch.pvalue, rel=1e-9)
    assert two.difference == pytest.approx(b.mean() - a.mean())
    assert (two.low, two.high) == pytest.approx(tuple(welch.confidence_interval(0.95)))


def test_metrics_that_do_not_decide_are_corrected_for_being_several() -> None:
    side = np.repeat([False, True], 200)
    chance = np.random.default_rng(0)
    values = {name: (chance.random(400) < 0.5).astype(np.float64) for name in ("bought", "clicked", "carted")}
    found = {one.metric: one for one in compare(Arms(side, values), "bought")}
    assert next(iter(found)) == "bought"
    assert found["bought"].adjusted == found["bought"].p_value
    smaller = min((found["clicked"], found["carted"]), key=lambda one: one.p_value)
    assert smaller.adjusted == pytest.approx(min(1.0, 2 * smaller.p_value))


def test_the_draw_is_checked_by_known_counts() -> None:
    even = mismatch((821_588, 815_482), 0.5)  # Kohavi, Tang & Xu (2020), chapter 3: 0.993
    assert even.p_value == pytest.approx(1.8e-6, rel=0.05)
    assert even.found
    assert not mismatch((800, 200), 0.2).found
    assert mismatch((800, 200), 0.5).found
    with pytest.raises(ValueError, match="no users"):
        mismatch((0, 0), 0.5)


def test_verdicts() -> None:
    assert verdict(arms(did(200, 1000), did(260, 1000))) == "challenger"
    assert verdict(arms(did(260, 1000), did(200, 1000))) == "control"
    assert verdict(arms(did(200, 1000), did(205, 1000))) == "no_difference"
    # whatever the figures look like: not before its time, not with few, not after a broken draw
    assert verdict(arms(did(200, 1000), did(260, 1000)), days=3.0) == "too_early"
    assert verdict(arms(did(20, 99), did(60, 99))) == "too_early"
    assert verdict(arms(did(2, 1000), did(20, 1000))) == "too_early"
    assert verdict(arms(did(995, 1000), did(900, 1000))) == "too_early"
    assert verdict(arms(did(200, 1000), did(260, 1000)), share=0.4) == "invalid"
    assert verdict(arms(did(200, 1000), did(260, 1000)), share=0.4, days=3.0) == "invalid"
    # a mean that two big spenders make says little of a hundred users
    lavish = [0.0] * 198 + [900.0, 1000.0]
    assert verdict(arms([1.0] * 100 + [2.0] * 100, lavish, "revenue"), "revenue") == "too_early"
    assert verdict(arms([0.0, 1.0] * 100, [0.0, 9.0] * 100, "revenue"), "revenue") == "challenger"
    assert verdict(arms(did(0, 100), did(0, 100), "revenue"), "revenue") == "no_difference"


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(2, 60))
def test_arms_that_change_places_change_the_sign(seed: int, few: int, many: int) -> None:
    chance = np.random.default_rng(seed)
    a, b = (
        chance.integers(0, 2, few).astype(float).tolist(),
        chance.integers(0, 2, many).astype(float).tolist(),
    )
    for metric in ("bought", "revenue"):
        (one,), (other,) = compare(arms(a, b, metric), metric), compare(arms(b, a, metric), metric)
        assert one.difference == pytest.approx(-other.difference)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
        assert one.p_value == pytest.approx(other.p_value)
        assert one.low - 1e-12 <= one.difference <= one.high + 1e-12


def plant(
    shop: Shop, chances: dict[Arm, float], *, days: float = 15, lost: float = 0.0, state: str = "running"
) -> None:
    """A test that began `days` ago; users buy what they were shown with the chance of their arm.

    lost : the share of the challenger's users whose lists were never logged.
    """
    test, chance, now = (
        Running(1, "duel", "knn-v1", "als-v1", 0.5, "salt", False),
        np.random.default_rng(5),
        clock.now(),
    )
    began = now - timedelta(days=days)
    exposures: list[tuple[Any, ...]] = []
    orders: list[tuple[int, datetime]] = []
    for user in range(1, USERS + 1):
        arm = arm_of(test, f"user:{user}")
        model = test.challenger if arm is Arm.CHALLENGER else test.control
        shown = began + timedelta(days=days * 0.5 * chance.random())
        if not (arm is Arm.CHALLENGER and chance.random() < lost):
            exposures += [
                (f"{user}-{turn}", user, model, f"duel:{arm}", shown + timedelta(hours=turn))
                for turn in range(2)
            ]
        if chance.random() < chances[arm]:
            orders.append((user, shown + timedelta(hours=3)))
        elif chance.random() < 0.3:
            orders.append((user, shown - timedelta(hours=3)))  # before: nobody's success
    with psycopg.connect(shop.database_url) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "SELECT i, 'u' || i || '@example.org', 'u' || i, 'U', 'x' FROM generate_series(1, %s) i",
            [USERS],
        )
        cursor.execute(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P' || i, 'p' || i, i FROM generate_series(1, 5) i"
        )
        cursor.execute(
            "INSERT INTO recommendations_db.ab_tests (name, control, challenger, share, salt, live_control, "
            "metric, days, state, started_at, started_by, reason, ended_at) VALUES "
            "('duel', 'knn-v1', 'als-v1', .5, 'salt', false, 'bought', 14, %s, %s, 'ann', 'try', %s)",
            (state, began, None if state == "running" else now),
        )
        cursor.executemany(
            "INSERT INTO recommendations_db.exposures (request_id, shelf, user_id, model, source, arm, "
            "product_ids, scores, shown_at) VALUES (%s, 'for_you', %s, %s, 'live', %s, '{1,2}', '{1,1}', %s)",
            exposures,
        )
        cursor.executemany(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) VALUES (%s, 2, 'purchase', %s)",
            orders,
        )
        cursor.executemany(
            "INSERT INTO orders_db.orders (id, order_number, user_id, financial_status, subtotal_price, "
            "total_price, created_at) VALUES (%s, %s, %s, 'paid', 9, 9, %s)",
            [(user, f"R-{user}", user, at) for user, at in orders],
        )
        cursor.execute(
            "INSERT INTO orders_db.order_items (order_id, product_id, name, quantity, price, total_discount) "
            "SELECT id, product, 'P', 1, 6.00, 1.00 FROM orders_db.orders, (VALUES (2), (5)) p(product)"
        )


def reported_test() -> dict[str, Any]:
    """What `recsys train live --json` tells of the test."""
    now = clock.now()
    with unit_of_work() as session:
        (test,) = read_results(session, since=now - timedelta(days=30), until=now, window=timedelta(days=7))
    return asdict(test)


def test_a_planted_winner_is_found(shop: Shop) -> None:
    plant(shop, {Arm.CONTROL: 0.20, Arm.CHALLENGER: 0.32})
    test = reported_test()
    assert test["verdict"]["outcome"] == "challenger"
    first = test["users"]["differences"][0]
    assert first["metric"] == "bought"
    assert first["low"] <= 0.12 <= first["high"]
    figures = {one["metric"]: one for one in test["users"]["differences"]}
    # one product of the two was shown: five of the ten that each buyer spent
    for arm in ("control", "challenger"):
        assert figures["revenue"][arm] == pytest.approx(5 * figures["bought"][arm])
        assert figures["spent"][arm] == pytest.approx(10 * figures["bought"][arm])
        assert figures["clicked"][arm] == 0
    assert sum(test["users"]["counted"].values()) == USERS
    assert not test["users"]["mismatch"]["found"]
    # a hundredth of a list in fallback, a user with nothing else, and one whom both models answered
    with psycopg.connect(shop.database_url) as connection:
        connection.execute(
            "UPDATE recommendations_db.exposures SET arm = 'duel:fallback' WHERE user_id = 1 "
            "OR request_id = '2-0'"
        )
        connection.execute(
            "UPDATE recommendations_db.exposures SET arm = 'duel:' || "
            "CASE request_id WHEN '3-0' THEN 'control' ELSE 'challenger' END WHERE user_id = 3"
        )
    after = reported_test()["users"]
    assert sum(after["counted"].values()) == USERS - 2
    assert (after["only_fallback"], after["in_both"]) == (1, 1)
    assert after["fallback_share"] == pytest.approx(3 / (2 * USERS))
    answer = shop.run("train", "live", "--since", "30d", "--json")
    assert answer.returncode == 0, answer.stderr
    (same,) = json.loads(answer.stdout)["ab_tests"]
    assert same["users"] == after
    page = shop.run("train", "live", "--since", "30d")
    assert "the challenger is better" in page.stdout
    assert "1 users were answered by both models" in page.stdout


def test_a_planted_tie_is_a_tie_and_says_what_it_could_have_found(shop: Shop) -> None:
    plant(shop, {Arm.CONTROL: 0.25, Arm.CHALLENGER: 0.25}, state="stopped")
    test = reported_test()
    assert test["verdict"]["outcome"] == "no_difference"
    assert test["users"]["differences"][0]["smallest"] == pytest.approx(
        2.80 * np.sqrt(2 * 0.25 * 0.75 / (USERS / 2)), rel=0.05
    )
    assert "percentage points would be" in test["verdict"]["reason"]


def test_a_planted_loss_of_users_spoils_the_test_whatever_it_seems_to_say(shop: Shop) -> None:
    plant(shop, {Arm.CONTROL: 0.20, Arm.CHALLENGER: 0.40}, lost=0.3)
    test = reported_test()
    assert test["users"]["differences"][0]["p_value"] < 0.001
    assert test["verdict"]["outcome"] == "invalid"
    assert test["users"]["mismatch"]["found"]
    assert "no figure can be trusted" in test["verdict"]["reason"]


def test_a_test_that_was_stopped_early_decides_nothing(shop: Shop) -> None:
    plant(shop, {Arm.CONTROL: 0.20, Arm.CHALLENGER: 0.40}, days=4, state="stopped")
    test = reported_test()
    assert test["verdict"]["outcome"] == "too_early"
    assert "stopped after 4.0 of the 14 planned days" in test["verdict"]["reason"]


def test_guests_are_distinguished_by_feedback_that_names_its_answer(shop: Shop) -> None:
    plant(shop, {Arm.CONTROL: 0.20, Arm.CHALLENGER: 0.20})
    at = clock.now() - timedelta(days=5)
    guests = [(f"visit-{i}", "duel:challenger" if i % 2 else "duel:control") for i in range(40)]
    with psycopg.connect(shop.database_url) as connection:
        cursor = connection.cursor()
        cursor.executemany(
            "INSERT INTO recommendations_db.exposures (request_id, shelf, session_id, source, arm, "
            "product_ids, scores, shown_at) VALUES (%s, 'for_you', %s, 'live', %s, '{1,2}', '{1,1}', %s)",
            [(f"{shelf}-{visit}", visit, arm, at) for visit, arm in guests for shelf in ("a", "b")],
        )
        # five of each arm click, two of them twice; one too late, one logged in since
        for number, (visit, arm) in enumerate(guests[:12]):
            for turn in range(2 if number < 4 else 1):
                (feedback,) = cursor.execute(
                    "INSERT INTO recommendations_db.recommendation_feedback "
                    "(user_id, product_id, feedback_type, created_at) "
                    "VALUES (%s, 1, 'clicked', %s) RETURNING id",
                    (7 if number == 0 else None, at + timedelta(days=9 if number > 9 else 1, hours=turn)),
                ).fetchone() or (0,)
                cursor.execute(
                    "INSERT INTO recommendations_db.feedback_exposures (feedback_id, request_id, shelf, "
                    "position, session_id, source, arm) VALUES (%s, %s, 'for_you', 1, %s, 'live', %s)",
                    (feedback, f"a-{visit}", visit, arm),
                )
    test = reported_test()
    assert test["guests"]["counted"] == {"control": 20, "challenger": 20}
    assert sum(test["users"]["counted"].values()) == USERS
    figures = {one["metric"]: one for one in test["guests"]["differences"]}
    assert list(figures) == ["bought", "clicked", "carted"]
    assert (figures["clicked"]["control"], figures["clicked"]["challenger"]) == (0.25, 0.25)
    assert figures["bought"]["control"] == 0
