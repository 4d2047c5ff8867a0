"""Experiments judged: a winner, a tie, harm and a broken draw that were planted, and what is too early."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from models.registry.measurement import MeasuredTest
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running, arm_of
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, arms_of
from tests.support.shop import Shop
from training.online.ab_outcomes import ArmOutcomes
from training.online.ab_results import read_results
from training.online.ab_verdict import judge, population_of
from training.online.measurement import measure, measured_test

USERS = 1200


def outcomes_of(metric: str, *arms: list[float]) -> ArmOutcomes:
    arm = np.repeat(np.arange(len(arms)), [len(values) for values in arms])
    values = np.array([value for each in arms for value in each], dtype=np.float64)
    none = tuple([0] * len(arms))
    return ArmOutcomes(
        arm, np.ones(arm.size, np.bool_), {metric: values}, np.empty((arm.size, 0)), 0, none, none
    )


def verdict(
    metric: str,
    *arms: list[float],
    share: float | None = None,
    days: float = 14.0,
    over: bool = False,
    drop: float | None = None,
) -> tuple[str, str | None]:
    design = ExperimentDesign.of(
        arms=arms_of([f"t{number}:{share or 1 / len(arms)}" for number in range(1, len(arms))]),
        metric=metric,
        days=14,
        planned_units=2_000,
        guardrails=[] if drop is None else [{"metric": metric, "largest_drop": drop}],
    )
    outcomes = outcomes_of(metric, *arms)
    decided, _ = judge(outcomes, population_of(outcomes, design, [metric]), design, days=days, over=over)
    return decided.outcome, decided.winner


def did(successes: int, of: int) -> list[float]:
    return [1.0] * successes + [0.0] * (of - successes)


def test_verdicts() -> None:
    assert verdict("bought", did(200, 1000), did(280, 1000)) == ("treatment", "t1")
    assert verdict("bought", did(280, 1000), did(200, 1000)) == ("control", "control")
    assert verdict("bought", did(200, 1000), did(205, 1000)) == ("no_difference", None)
    assert verdict("bought", did(200, 1000), did(205, 1000), days=3.0) == ("undecided", None)
    assert verdict("bought", did(200, 1000), did(205, 1000), days=3.0, over=True) == ("no_difference", None)
    # the best of several arms; while an arm is as good as the control, the control does not win
    assert verdict("bought", did(200, 1000), did(290, 1000), did(320, 1000)) == ("treatment", "t2")
    assert verdict("bought", did(280, 1000), did(200, 1000), did(280, 1000)) == ("no_difference", None)
    # whatever the figures look like: not with few, not after a broken draw
    assert verdict("bought", did(20, 99), did(60, 99)) == ("too_early", None)
    assert verdict("bought", did(2, 1000), did(30, 1000)) == ("too_early", None)
    assert verdict("bought", did(995, 1000), did(800, 1000)) == ("too_early", None)
    assert verdict("bought", did(200, 1000), did(280, 1000), share=0.4) == ("invalid", None)
    # a mean that a few big spenders make says little of so few users
    assert verdict("revenue", [1.0] * 100 + [2.0] * 100, [0.0] * 190 + [990.0] * 10) == ("too_early", None)
    assert verdict("revenue", [0.0, 1.0] * 100, [0.0, 9.0] * 100) == ("treatment", "t1")
    assert verdict("revenue", did(0, 100), did(0, 100)) == ("no_difference", None)
    # harm stops, a little of it is allowed
    assert verdict("bought", did(300, 1000), did(150, 1000), drop=0.1) == ("harmful", None)
    assert verdict("bought", did(300, 1000), did(285, 1000), drop=0.1, days=3.0) == ("undecided", None)


def test_users_whose_days_go_on_are_counted_for_the_draw_only() -> None:
    outcomes = outcomes_of("bought", did(200, 1000), did(280, 1000))
    waiting = ArmOutcomes(**{**vars(outcomes), "is_final": np.arange(2000) % 2 == 0})
    population = population_of(waiting, ExperimentDesign.of(arms=arms_of(["t1:0.5"])), ["bought"])
    assert population.counted == population.waiting == {"control": 500, "t1": 500}
    assert population.sample_ratio is not None
    assert population.sample_ratio.observed == (0.5, 0.5)
    assert population.comparisons[0].compared.control == 0.2


def plant(
    shop: Shop,
    chances: dict[str, float],
    *,
    days: float = 15,
    lost: float = 0.0,
    state: str = "running",
    **terms: Any,
) -> None:
    """A test that began `days` ago; users buy what they were shown with the chance of their arm.

    Parameters
    ----------
    lost
        The share of the challenger's users whose lists were never logged.
    """
    arms = arms_of(["challenger:0.5:model=als-v1"])
    given = {"arms": arms, "days": 28, "outcome_days": 5, "planned_units": 1_000, **terms}
    design = ExperimentDesign.of(**given)
    test, chance, now = Running(1, "duel", "knn-v1", "salt", design), np.random.default_rng(5), clock.now()
    began = now - timedelta(days=days)
    exposures: list[tuple[Any, ...]] = []
    orders: list[tuple[int, datetime]] = []
    for user in range(1, USERS + 1):
        arm = arm_of(test, f"user:{user}").name
        model = "als-v1" if arm == "challenger" else "knn-v1"
        shown = began + timedelta(days=days * 0.5 * chance.random())
        if not (arm == "challenger" and chance.random() < lost):
            exposures += [
                (f"{user}-{turn}", user, model, f"duel:{arm}", shown + timedelta(hours=turn))
                for turn in range(2)
            ]
        if chance.random() < chances[arm]:
            orders.append((user, shown + timedelta(hours=3)))
        elif chance.random() < 0.3:
            orders.append((user, shown - timedelta(hours=3)))  # before: nobody's success
    with shop.connect() as connection:
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
            "metric, days, state, started_at, started_by, reason, ended_at, design) VALUES "
            "('duel', 'knn-v1', 'als-v1', .5, 'salt', false, 'bought', 28, %s, %s, 'ann', 'try', %s, %s)",
            (state, began, None if state == "running" else now, design.model_dump_json()),
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


def reported_test() -> MeasuredTest:
    """The test as `recsys train live --json` reports it."""
    now = clock.now()
    with unit_of_work() as session:
        (test,) = read_results(session, since=now - timedelta(days=30), until=now)
    return measured_test(test)


def difference(test: MeasuredTest, metric: str) -> Any:
    (found,) = [each for each in test.differences if each.metric == metric]
    return found


def counts(test: MeasuredTest) -> tuple[int, int]:
    return sum(arm.counted for arm in test.arms), sum(arm.waiting for arm in test.arms)


def execute(shop: Shop, *statements: Any) -> None:
    with shop.connect() as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_planted_winner_is_found(shop: Shop) -> None:
    plant(shop, {"control": 0.15, "challenger": 0.32})
    test = reported_test()
    assert (test.outcome, test.winner) == ("treatment", "challenger")
    bought = difference(test, "bought")
    assert test.differences[0].metric == "bought"
    assert bought.low <= 0.17 <= bought.high
    # one product of the two was displayed: five of the ten that each buyer spent
    for arm in ("control", "treatment"):
        share = getattr(bought, arm)
        assert getattr(difference(test, "revenue"), arm) == pytest.approx(5 * share)
        assert getattr(difference(test, "spent"), arm) == pytest.approx(10 * share)
        assert getattr(difference(test, "clicked"), arm) == 0
    assert counts(test) == (USERS, 0)
    assert not test.mismatch
    # users whose lists another model made count for their arm; a user with lists of two arms is left out
    execute(
        shop,
        "UPDATE recommendations_db.exposures SET arm = 'duel:challenger:fallback' "
        "WHERE arm = 'duel:challenger' AND user_id <= 100",
        "UPDATE recommendations_db.exposures SET arm = 'duel:' || "
        "CASE request_id WHEN '300-0' THEN 'control' ELSE 'challenger' END WHERE user_id = 300",
    )
    after = reported_test()
    assert counts(after) == (USERS - 1, 0)
    assert after.in_both == 1
    assert 0.05 < {arm.name: arm for arm in after.arms}["challenger"].fallback_share < 0.12
    answer = shop.run("train", "live", "--since", "30d", "--json")
    assert answer.returncode == 0, answer.stderr
    (same,) = json.loads(answer.stdout)["ab_tests"]
    assert MeasuredTest.model_validate(same).arms == after.arms
    page = shop.run("train", "live", "--since", "30d")
    assert "challenger is better in bought" in page.stdout
    assert "1 users were answered in two arms" in page.stdout


def test_a_planted_tie_is_a_tie_and_says_what_is_ruled_out(shop: Shop) -> None:
    plant(shop, {"control": 0.25, "challenger": 0.25}, state="stopped")
    test = reported_test()
    assert test.outcome == "no_difference"
    bought = difference(test, "bought")
    ruled_out = max(-bought.low, bought.high)
    assert f"above {100 * ruled_out:.2f} percentage points a user is ruled out" in test.reason


def test_a_planted_loss_of_users_spoils_the_test_whatever_it_seems_to_say(shop: Shop) -> None:
    plant(shop, {"control": 0.20, "challenger": 0.40}, lost=0.4)
    test = reported_test()
    assert difference(test, "bought").p_value < 0.001
    assert (test.outcome, test.mismatch) == ("invalid", True)
    assert "no figure can be trusted" in test.reason


def test_outcomes_count_when_their_days_are_over_and_no_later_purchase_does(shop: Shop) -> None:
    # lists were displayed in the first half of four days, so that the days of some go on
    plant(shop, {"control": 0.20, "challenger": 0.40}, days=4, outcome_days=3)
    test = reported_test()
    counted, waiting = counts(test)
    assert counted + waiting == USERS
    assert counted == pytest.approx(USERS / 2, abs=100)
    bought = difference(test, "bought")
    execute(
        shop,
        "INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type, "
        "created_at) SELECT user_id, 2, 'purchase', min(shown_at) + interval '3 days 1 second' "
        "FROM recommendations_db.exposures GROUP BY user_id "
        "HAVING min(shown_at) < now() - interval '73 hours'",
    )
    late = difference(reported_test(), "bought")
    assert (late.control, late.treatment) == pytest.approx((bought.control, bought.treatment), abs=0.01)
    execute(
        shop, "UPDATE recommendations_db.user_interactions SET created_at = created_at - interval '1 minute'"
    )
    assert difference(reported_test(), "bought").control > bought.control + 0.3


def test_the_users_own_past_narrows_the_interval_and_their_time_in_the_test_does_not(shop: Shop) -> None:
    plant(shop, {"control": 0.25, "challenger": 0.25})
    before = difference(reported_test(), "spent")
    # a few purchases of the last hours before the start say nothing of those after it
    assert before.variance_removed < 0.01
    # who bought in the test had bought in the weeks before it
    execute(
        shop,
        "INSERT INTO orders_db.orders (id, order_number, user_id, financial_status, subtotal_price, "
        "total_price, created_at) SELECT 100000 + id, 'P-' || user_id, user_id, 'paid', 50, 50, "
        "now() - interval '20 days' FROM orders_db.orders",
    )
    after = difference(reported_test(), "spent")
    assert after.variance_removed > 0.3
    assert after.high - after.low < 0.85 * (before.high - before.low)
    assert after.low < 0 < after.high
    # orders long before say nothing
    execute(
        shop,
        "UPDATE orders_db.orders SET created_at = now() - interval '60 days' WHERE order_number LIKE 'P-%'",
    )
    assert difference(reported_test(), "spent").variance_removed == before.variance_removed


def test_harm_stops_the_experiment_with_its_reason(shop: Shop) -> None:
    guardrails = [{"metric": "bought", "largest_drop": 0.1}]
    plant(shop, {"control": 0.50, "challenger": 0.20}, guardrails=guardrails)
    with unit_of_work() as session:
        (measured,) = measure(session, clock.now()).tests
    assert (measured.outcome, measured.state) == ("harmful", "stopped")
    with unit_of_work() as session:
        row = ab_tests.get(session, "duel")
        assert (row.state, row.ended_by) == ("stopped", "guardrail")
        assert str(row.conclusion).startswith(
            "guardrail: bought of the arm challenger is more than 10% below"
        )
        assert ab_tests.running(session) == ()


def test_an_arm_whose_lists_are_late_stops_the_experiment(shop: Shop) -> None:
    plant(shop, {"control": 0.3, "challenger": 0.3}, limits={"late_share": 0.05})
    execute(
        shop,
        "INSERT INTO recommendations_db.exposures (request_id, shelf, session_id, source, arm, product_ids, "
        "scores, shown_at, milliseconds, late) SELECT arm || i, 'for_you', 's', 'live', 'duel:' || arm, "
        "'{1}', '{1}', now() - interval '3 minutes', 100, arm = 'challenger' AND i % 4 = 0 "
        "FROM generate_series(1, 300) i, (VALUES ('control'), ('challenger')) a(arm)",
    )
    with unit_of_work() as session:
        (measured,) = measure(session, clock.now()).tests
    assert measured.state == "stopped"
    with unit_of_work() as session:
        row = ab_tests.get(session, "duel")
        assert row.ended_by == "guardrail"
        assert "75 of 300 lists of the last hour were late" in str(row.conclusion)


def test_sessions_keep_their_arm_and_their_feedback_counts(shop: Shop) -> None:
    plant(shop, {"control": 0.2, "challenger": 0.2}, unit="session")
    # each session has a guest's list, then a list of the user who logged in; half of them click in the second
    execute(
        shop,
        "UPDATE recommendations_db.exposures SET session_id = 's-' || user_id",
        "UPDATE recommendations_db.exposures SET user_id = NULL WHERE request_id LIKE '%-0'",
        "WITH f AS (INSERT INTO recommendations_db.recommendation_feedback "
        "  (user_id, product_id, feedback_type, created_at) "
        "  SELECT user_id, 1, 'clicked', shown_at + interval '1 minute' FROM recommendations_db.exposures "
        "  WHERE user_id <= 600 RETURNING id, user_id) "
        "INSERT INTO recommendations_db.feedback_exposures "
        "  (feedback_id, request_id, shelf, position, session_id, source, arm) "
        "SELECT f.id, x.request_id, 'for_you', 1, x.session_id, 'live', x.arm "
        "FROM f JOIN recommendations_db.exposures x USING (user_id)",
    )
    test = reported_test()
    assert (test.unit, counts(test), test.in_both) == ("session", (USERS, 0), 0)
    assert difference(test, "clicked").control == pytest.approx(0.5, abs=0.06)
    assert {each.metric for each in test.differences} == {"bought", "clicked", "carted"}


def test_guests_are_distinguished_by_feedback_that_names_its_answer(shop: Shop) -> None:
    plant(shop, {"control": 0.20, "challenger": 0.20}, outcome_days=7)
    at = clock.now() - timedelta(days=11)
    guests = [(f"visit-{i}", "duel:challenger" if i % 2 else "duel:control") for i in range(40)]
    with shop.connect() as connection:
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
    now = clock.now()
    with unit_of_work() as session:
        (result,) = read_results(session, since=now - timedelta(days=30), until=now)
    population = result.guests
    assert population is not None
    assert population.counted == {"control": 20, "challenger": 20}
    assert sum(result.units.counted.values()) == USERS
    figures = {each.metric: each.compared for each in population.comparisons}
    assert list(figures) == ["bought", "clicked", "carted"]
    assert (figures["clicked"].control, figures["clicked"].treatment) == (0.25, 0.25)
    assert figures["bought"].control == 0
