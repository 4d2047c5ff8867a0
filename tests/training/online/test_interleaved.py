"""Interleaved experiments judged: what was chosen is attributed, and nothing is found where nothing is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from models.registry.measurement import MeasuredTest
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, Variant, interleaved_arms
from tests.support.shop import Shop
from training.online.ab_results import read_results
from training.online.interleaved_outcomes import InterleavedOutcomes, read_interleaved
from training.online.interleaved_verdict import interleaved_population, judge_interleaved, preference
from training.online.measurement import measured_test

NOW = datetime(2026, 3, 1, tzinfo=clock.now().tzinfo)
START = NOW - timedelta(days=20)


def design(**terms: Any) -> ExperimentDesign:
    given: dict[str, Any] = {
        "arms": interleaved_arms(Variant(model="als-v1")),
        "metric": "clicked",
        "days": 28,
        "outcome_days": 5,
        "planned_units": 1_000,
    }
    return ExperimentDesign.of(kind="interleaved", **(given | terms))


def outcomes_of(
    values: list[float], *, coins: tuple[int, int] = (0, 0), final: bool = True
) -> InterleavedOutcomes:
    given = np.array(values)
    return InterleavedOutcomes(np.full(given.size, final), {"clicked": given}, coins, given.size, 0)


def verdict(
    outcomes: InterleavedOutcomes, *, days: float = 14.0, over: bool = False
) -> tuple[str, str | None]:
    population = interleaved_population(outcomes, design(), ["clicked"])
    decided = judge_interleaved(outcomes, population, design(), days=days, over=over)
    return decided.outcome, decided.winner


def test_verdicts() -> None:
    liked = [0.5] * 80 + [-0.5] * 20 + [0.0] * 900
    assert verdict(outcomes_of(liked)) == ("treatment", "challenger")
    assert verdict(outcomes_of([-each for each in liked])) == ("control", "control")
    even = [0.5, -0.5] * 50 + [0.0] * 900
    assert verdict(outcomes_of(even)) == ("undecided", None)
    assert verdict(outcomes_of(even), over=True) == ("no_difference", None)
    assert verdict(outcomes_of(even), days=28.0) == ("no_difference", None)
    # whatever the figures look like: not with few, not where lists are lost by what they contain
    assert verdict(outcomes_of([1.0] * 99)) == ("too_early", None)
    assert verdict(outcomes_of([1.0] * 19 + [0.0] * 900)) == ("too_early", None)
    assert verdict(outcomes_of(liked, final=False)) == ("too_early", None)
    assert verdict(outcomes_of(liked, coins=(500, 500))) == ("treatment", "challenger")
    assert verdict(outcomes_of(liked, coins=(600, 400))) == ("invalid", None)


def test_the_preference_is_the_mean_and_its_balance_that_of_the_credit() -> None:
    compared = preference(np.array([0.6, -0.2, 0.0, 0.0]), planned=100)
    assert compared.difference == pytest.approx(0.1)
    assert (compared.control, compared.treatment) == pytest.approx((0.05, 0.15))
    assert compared.relative == pytest.approx(0.5)
    assert preference(np.zeros(5), planned=100).p_value == 1.0


def test_two_equal_models_that_are_looked_at_daily_are_rarely_found_different() -> None:
    """At most 5% of 400 experiments of 28 looks: 400 · 5% and what chance adds to it once in a thousand."""
    generator, alarms, runs, per_day = np.random.default_rng(3), 0, 400, 150
    for _ in range(runs):
        # a visitor in five chooses, by credits of any size
        chose = generator.random(28 * per_day) < 0.2
        scores = chose * generator.choice([-1, 1], chose.size) * generator.random(chose.size)
        for day in range(1, 29):
            compared = preference(scores[: day * per_day], planned=2_000)
            if compared.low > 0 or compared.high < 0:
                alarms += 1
                break
    assert binomtest(alarms, runs, 0.05, alternative="greater").pvalue > 0.001


def insert(shop: Shop, *lists: tuple[Any, ...]) -> None:
    """Lists as (request, user, session, hours after the start, products, credits)."""
    with shop.connect() as connection:
        connection.cursor().executemany(
            "INSERT INTO recommendations_db.exposures "
            "(request_id, shelf, user_id, session_id, model, source, arm, product_ids, scores, shown_at, "
            "teams, propensities, credits) VALUES (%s, 'for_you', %s, %s, "
            "'knn-v1+als-v1', 'live', 'mix:interleaved', %s, %s, %s, %s, %s, %s)",
            [
                (
                    request, user, session, products, [0.5] * len(products), START + timedelta(hours=hours),
                    [0, 1, 0, 1][: len(products)], [0.5] * len(products), credits,
                )
                for request, user, session, hours, products, credits in lists
            ],
        )  # fmt: skip


def feedback(
    shop: Shop, number: int, kind: str, product: int, hours: float, *, user: int | None, request: str | None
) -> None:
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.recommendation_feedback (id, user_id, product_id, feedback_type, "
            "created_at) VALUES (%s, %s, %s, %s, %s)",
            [number, user, product, kind, START + timedelta(hours=hours)],
        )
        if request is not None:
            connection.execute(
                "INSERT INTO recommendations_db.feedback_exposures (feedback_id, request_id, shelf, "
                "position, source, arm) VALUES (%s, %s, 'for_you', 1, 'live', 'mix:interleaved')",
                [number, request],
            )


@pytest.fixture
def peopled(shop: Shop) -> Shop:
    """Five users and nine products."""
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "SELECT i, 'u' || i || '@example.org', 'u' || i, 'U', 'x' FROM generate_series(1, 5) i"
        )
        connection.execute(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P' || i, 'p' || i, i FROM generate_series(1, 9) i"
        )
    return shop


def read(unit: str = "user") -> InterleavedOutcomes:
    with unit_of_work() as session:
        return read_interleaved(session, "mix", design(unit=unit), since=START, until=NOW)


def test_what_was_chosen_counts_once_at_the_place_of_the_newest_list(peopled: Shop) -> None:
    insert(
        peopled,
        ("a", 1, None, 0, [1, 2, 3], [0.3, -0.1, 0.2]),
        ("b", 1, None, 5, [2, 1, 4], [-0.4, 0.7, 0.5]),
        ("c", 2, None, 6, [1, 2], [0.3, -0.1]),
        ("d", None, "visit", 7, [1, 2], [0.9, -0.9]),
        ("e", 3, "visit", 8, [1, 2], [0.8, -0.8]),
    )
    # named: the list that it names, though there is a newer one; a second click on the product is none
    feedback(peopled, 1, "clicked", 1, 9, user=1, request="a")
    feedback(peopled, 2, "clicked", 1, 10, user=1, request="b")
    # not named: the newest list before it that has the product
    feedback(peopled, 3, "clicked", 2, 11, user=1, request=None)
    # of a product in no list, of a time before the list, and after the outcome's days
    feedback(peopled, 4, "clicked", 9, 11, user=1, request=None)
    feedback(peopled, 5, "clicked", 3, -1, user=1, request=None)
    feedback(peopled, 6, "clicked", 3, 24 * 5 + 1, user=1, request=None)
    feedback(peopled, 7, "clicked", 2, 9, user=None, request="d")
    feedback(peopled, 8, "carted", 1, 9, user=3, request="e")
    with peopled.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type, "
            "created_at) VALUES (2, 1, 'purchase', %s), (2, 9, 'purchase', %s)",
            [START + timedelta(hours=7), START + timedelta(hours=7)],
        )
    outcomes = read()
    assert outcomes.values["clicked"].tolist() == pytest.approx([(0.3 - 0.4) / 2, 0, -0.9, 0], abs=1e-6)
    assert outcomes.values["bought"].tolist() == pytest.approx([0, 0.3, 0, 0], abs=1e-6)
    assert outcomes.values["carted"].tolist() == pytest.approx([0, 0, 0, 0.8], abs=1e-6)
    assert outcomes.first_coins == (4, 0)
    assert outcomes.is_final.all()
    # by session a guest and the user who logs in there are one
    assert read("session").values["clicked"].size == 3


def test_places_of_arrays_that_begin_elsewhere_and_lists_of_one_arm(peopled: Shop) -> None:
    insert(peopled, ("a", 1, None, 0, [1, 2, 3], [0.3, -0.1, 0.2]))
    with peopled.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.exposures (request_id, shelf, user_id, source, arm, product_ids, "
            "scores, shown_at) VALUES ('f', 'for_you', 1, 'live', 'mix:interleaved:fallback', '{3}', '{1}', "
            "%s)",
            [START + timedelta(hours=1)],
        )
    feedback(peopled, 1, "clicked", 3, 2, user=1, request=None)
    outcomes = read()
    assert outcomes.values["clicked"].tolist() == pytest.approx([0.2], abs=1e-6)
    assert (outcomes.lists, outcomes.fallbacks) == (2, 1)


def test_a_preferred_model_is_found_and_reported(peopled: Shop) -> None:
    terms = design()
    with peopled.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.ab_tests (name, control, challenger, share, salt, live_control, "
            "metric, days, state, started_at, started_by, reason, design) VALUES ('mix', 'knn-v1', 'als-v1', "
            ".5, 'salt', false, 'clicked', 28, 'running', %s, 'ann', 'try', %s)",
            [clock.now() - timedelta(days=20), terms.model_dump_json(exclude_defaults=True)],
        )
        connection.execute(
            "INSERT INTO recommendations_db.exposures (request_id, shelf, session_id, source, arm, "
            "product_ids, scores, shown_at, teams, propensities, credits) SELECT 'r' || i, 'for_you', "
            "'s' || i, 'live', 'mix:interleaved', '{1,2}', '{1,1}', now() - interval '19 days', "
            "CASE i % 2 WHEN 0 THEN '{0,1}'::smallint[] ELSE '{1,0}' END, '{0.5,1}', "
            "CASE i % 2 WHEN 0 THEN '{-1,1}'::real[] ELSE '{1,-1}' END FROM generate_series(1, 400) i"
        )
        # of 100 who click, 80 click on a product of the challenger
        connection.execute(
            "WITH f AS (INSERT INTO recommendations_db.recommendation_feedback (product_id, feedback_type, "
            "created_at) SELECT CASE WHEN (i % 2 = 0) = (i % 5 > 0) THEN 2 ELSE 1 END, 'clicked', "
            "now() - interval '18 days' + i * interval '1 second' FROM generate_series(1, 100) i "
            "RETURNING id, created_at) "
            "INSERT INTO recommendations_db.feedback_exposures (feedback_id, request_id, shelf, position, "
            "source, arm) SELECT id, 'r' || row_number() OVER (ORDER BY created_at), 'for_you', 1, 'live', "
            "'mix:interleaved' FROM f"
        )
    now = clock.now()
    with unit_of_work() as session:
        (result,) = read_results(session, since=now - timedelta(days=30), until=now)
    test = measured_test(result)
    assert (test.kind, test.outcome, test.winner) == ("interleaved", "treatment", "challenger")
    assert [arm.counted for arm in test.arms] == [400, 400]
    (clicked,) = [each for each in test.differences if each.metric == "clicked"]
    assert clicked.relative == pytest.approx(0.6)
    assert clicked.difference == pytest.approx(60 / 400)
    answer = peopled.run("train", "live", "--since", "30d", "--json")
    assert answer.returncode == 0, answer.stderr
    (same,) = json.loads(answer.stdout)["ab_tests"]
    assert MeasuredTest.model_validate(same).differences == test.differences
    page = peopled.run("train", "live", "--since", "30d")
    assert "challenger is preferred in clicked: 60% more of the credit" in page.stdout
