"""What happened after it was shown: known answers, intervals that mean something, and the command itself."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.registry.measurement import Measurement, read_measurement, write_measurement
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests.tables import StoredMeasurement
from tests.support.shop import Shop
from training.online.metrics import Impressions, by, position_band, summary, wilson


def impressions(rows: list[tuple[int, str, int, bool, bool, float | None, str]]) -> Impressions:
    user, model, position, clicked, carted, hours, revenue = zip(*rows, strict=True)
    seconds = np.array([np.nan if one is None else one * 3600 for one in hours])
    return Impressions(
        np.array(user, dtype=np.int64),
        np.array(model, dtype=np.str_),
        np.array(["any"] * len(rows), dtype=np.str_),
        np.array(["light"] * len(rows), dtype=np.str_),
        np.array(position, dtype=np.int64),
        np.array(clicked),
        np.array(carted),
        np.isfinite(seconds),
        seconds,
        [Decimal(one) for one in revenue],
    )


SHOWN = impressions(
    [
        (1, "a", 1, True, True, 2.0, "10.00"),
        (1, "a", 2, False, False, None, "0"),
        (2, "a", 1, True, False, None, "0"),
        (3, "a", 9, False, False, None, "0"),
        (3, "b", 30, False, False, 4.0, "5.50"),
        (4, "b", 0, False, False, None, "0"),
    ]
)


def test_a_known_answer() -> None:
    all_of = summary(SHOWN, "all", draws=500, seed=0)
    assert (all_of.impressions, all_of.users, all_of.users_without_any) == (6, 4, 1)
    assert all_of.rates["clicked"].value == pytest.approx(2 / 6)
    assert all_of.rates["bought"].value == pytest.approx(2 / 6)
    assert (all_of.user_shares["bought"].users, all_of.user_shares["bought"].value) == (2, 0.5)
    assert all_of.latency is not None
    assert (all_of.latency.count, all_of.latency.median_hours) == (2, 3.0)
    assert all_of.revenue == Decimal("15.50")
    # users earned 10, 0, 5.50 and 0: a resample may have none of the earning ones, or the first alone
    assert all_of.revenue_low == 0
    assert 15.5 < all_of.revenue_high <= 30
    assert all_of.revenue_per_1000 == pytest.approx(15.5 / 6 * 1000)
    for rate in all_of.rates.values():
        assert 0 <= rate.low <= rate.value <= rate.high <= 1
    groups = {group.name: group for group in by(SHOWN, SHOWN.model, draws=100, seed=0)}
    assert {name: group.impressions for name, group in groups.items()} == {"a": 4, "b": 2}
    assert groups["b"].users_without_any == 1


def test_resampling_users_says_more_doubt_than_resampling_impressions_would() -> None:
    # ten users with fifty impressions each: all of a user's are clicked, or none
    rows = [(user, "a", 1, user % 2 == 0, False, None, "0") for user in range(10) for _ in range(50)]
    rate = summary(impressions(rows), "all", draws=2000, seed=1).rates["clicked"]
    low, high = wilson(250, 500)
    assert rate.high - rate.low > 3 * (high - low)


def test_positions_come_in_bands() -> None:
    assert [position_band(one) for one in (0, 1, 2, 3, 4, 10, 11, 20, 21, 99)] == [
        "unknown", "1", "2-3", "2-3", "4-5", "6-10", "11-20", "11-20", "21 and below", "21 and below",
    ]  # fmt: skip


def test_wilson_s_known_values() -> None:
    # Newcombe (1998), table I: 81/263, 15/148, 0/20, 1/29
    table = (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    )
    for successes, trials, low, high in table:
        assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)
    for successes, trials in ((0, 0), (-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="at least one trial"):
            wilson(successes, trials)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share(pair: tuple[int, int]) -> None:
    low, high = wilson(*pair)
    assert 0 <= low <= pair[0] / pair[1] <= high <= 1


@pytest.fixture
def watched(shop: Shop) -> Shop:
    """Two generations of lists (als-v1, then knn-v2), and what two users did with them."""
    now = clock.now()
    with shop.connect() as connection:
        run = connection.execute
        run(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "SELECT i, 'u' || i || '@example.org', 'u' || i, 'U', 'x' FROM generate_series(1, 3) i"
        )
        run(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P' || i, 'p' || i, i FROM generate_series(1, 5) i"
        )
        for number, (model, hours, status) in enumerate(
            (("als-v1", 48, "retired"), ("knn-v2", 24, "live")), 1
        ):
            run(
                "INSERT INTO recommendations_db.recommendation_generations "
                "(id, model_name, model_version, status, started_at, live_at) "
                "OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s, %s)",
                (number, model, model[-1], status, now, now - timedelta(hours=hours)),
            )
            run(
                "INSERT INTO recommendations_db.generation_periods (generation_id, since) VALUES (%s, %s)",
                (number, now - timedelta(hours=hours)),
            )
        run(
            "INSERT INTO recommendations_db.product_recommendations "
            "(id, user_id, product_id, score, context) SELECT i, i, i, .5, "
            "jsonb_build_object('generation', 2, 'any', jsonb_build_object('rank', 7 - 3 * i)) "
            "FROM generate_series(1, 2) i"
        )

        def feedback(
            user: int, product: int, kind: str, hours: float, recommendation: int | None = None
        ) -> None:
            run(
                "INSERT INTO recommendations_db.recommendation_feedback "
                "(user_id, product_id, recommendation_id, feedback_type, created_at) "
                "VALUES (%s, %s, %s, %s, %s)",
                (user, product, recommendation, kind, now - timedelta(hours=hours)),
            )

        feedback(1, 1, "shown", 40, 1)  # als-v1: its rank is gone with its generation
        feedback(1, 1, "shown", 20, 1)  # knn-v2, rank 4: what follows is this one's
        feedback(1, 1, "clicked", 19)
        feedback(2, 2, "shown", 20, 2)
        feedback(2, 2, "clicked", 21)  # before it was shown
        feedback(3, 5, "shown", 10)  # a live answer: names no recommendation
        feedback(3, 5, "shown", 24 * 9, None)  # before the period
        run(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) VALUES "
            "(1, 1, 'add_to_cart', %s), (1, 1, 'purchase', %s), (2, 2, 'purchase', %s)",
            (now - timedelta(hours=18), now - timedelta(hours=17), now - timedelta(hours=30)),
        )
        run(
            "INSERT INTO orders_db.orders (id, order_number, user_id, financial_status, subtotal_price, "
            "total_price, created_at) VALUES "
            "(1, 'R-1', 1, 'paid', 9, 9, %s), (2, 'R-2', 1, 'pending', 9, 9, %s)",
            (now - timedelta(hours=17), now - timedelta(hours=16)),
        )
        run(
            "INSERT INTO orders_db.order_items (order_id, product_id, name, quantity, price, total_discount) "
            "VALUES (1, 1, 'P1', 3, 3.00, 1.50), (1, 2, 'P2', 1, 99, 0), (2, 1, 'P1', 1, 50, 0)"
        )
    return shop


def test_the_command_reports_what_followed_and_what_is_unknown(watched: Shop) -> None:
    answer = watched.run("train", "live", "--since", "7d", "--json")
    assert answer.returncode == 0, answer.stderr
    output = json.loads(answer.stdout)
    assert (output["impressions"], output["without_model"]) == (4, 1)
    models = {group["name"]: group for group in output["model"]}
    assert {name: group["impressions"] for name, group in models.items()} == {
        "als-v1": 1,
        "knn-v2": 2,
        "unknown": 1,
    }
    assert models["als-v1"]["rates"]["clicked"]["value"] == 0
    knn = models["knn-v2"]
    assert [knn["rates"][kind]["value"] for kind in ("clicked", "carted", "bought")] == [0.5, 0.5, 0.5]
    assert (knn["users"], knn["users_without_any"]) == (2, 1)
    assert knn["latency"]["median_hours"] == pytest.approx(3.0)
    assert knn["revenue"] == "7.50"
    assert {group["name"]: group["impressions"] for group in output["position"]} == {
        "1": 1,
        "4-5": 1,
        "unknown": 2,
    }
    assert {group["name"] for group in output["segment"]} == {"new"}
    narrow = json.loads(watched.run("train", "live", "--since", "7d", "--window", "2h", "--json").stdout)
    rates = {group["name"]: group for group in narrow["model"]}["knn-v2"]["rates"]
    assert [rates[kind]["value"] for kind in ("clicked", "carted", "bought")] == [0.5, 0.0, 0.0]


def test_the_table_is_readable_and_wrong_spans_are_named(watched: Shop) -> None:
    shown = watched.run("train", "live")
    assert "knn-v2" in shown.stdout
    assert "model unknown" in shown.stdout
    nothing = watched.run("train", "live", "--since", "2020-01-01", "--until", "2020-02-01")
    assert "Nothing was reported as shown" in nothing.stdout
    for options in (
        ("--since", "soon"),
        ("--window", "0d"),
        ("--since", "2026-01-02", "--until", "2026-01-01"),
    ):
        wrong = watched.run("train", "live", *options)
        assert wrong.returncode == 2, options
        assert len(wrong.stderr.strip().splitlines()) == 1


def test_an_answer_tells_model_and_position_better_than_the_time_does(watched: Shop) -> None:
    now = clock.now()
    with watched.connect() as connection:
        # their second list was of a model on trial, while knn-v2 was live
        connection.execute(
            "INSERT INTO recommendations_db.feedback_exposures "
            "(feedback_id, request_id, shelf, position, model, source) "
            "SELECT id, 'answer-2', 'for_you', 2, 'trial-v1', 'live' "
            "FROM recommendations_db.recommendation_feedback "
            "WHERE user_id = 1 AND feedback_type = 'shown' ORDER BY created_at DESC LIMIT 1"
        )
        for request, hours, products, model in (
            ("answer-1", 40, [3, 1], "als-v1"),
            ("answer-2", 20, [4, 1, 2], "trial-v1"),
            ("answer-3", 10, [5], None),
        ):
            connection.execute(
                "INSERT INTO recommendations_db.exposures (request_id, shelf, user_id, model, source, "
                "product_ids, scores, shown_at) VALUES (%s, 'for_you', 1, %s, 'popular', %s, '{}', %s)",
                (request, model, products, now - timedelta(hours=hours)),
            )
        connection.execute(
            "UPDATE recommendations_db.exposures SET product_ids = '[21:23]={4,1,2}' "
            "WHERE request_id = 'answer-2'"  # its second page of twenty
        )
    output = json.loads(watched.run("train", "live", "--json").stdout)
    models = {group["name"]: group for group in output["model"]}
    assert {name: group["impressions"] for name, group in models.items()} == {
        "als-v1": 1, "knn-v2": 1, "trial-v1": 1, "unknown": 1,
    }  # fmt: skip
    assert models["trial-v1"]["rates"]["bought"]["value"] == 1
    bands = {group["name"]: group["impressions"] for group in output["position"]}
    assert bands == {"1": 1, "2-3": 1, "unknown": 2}

    answered = json.loads(watched.run("train", "live", "--answered", "--json").stdout)
    assert (answered["shown"], answered["impressions"], answered["without_model"]) == ("answered", 6, 0)
    models = {group["name"]: group for group in answered["model"]}
    assert {name: group["impressions"] for name, group in models.items()} == {
        "als-v1": 2, "trial-v1": 3, "popular": 1,
    }  # fmt: skip
    bands = {group["name"]: group["impressions"] for group in answered["position"]}
    assert bands == {"1": 2, "2-3": 1, "21 and below": 3}
    # what was bought after the second answer is the second's alone
    assert models["als-v1"]["rates"]["bought"]["value"] == 0
    assert models["trial-v1"]["rates"]["bought"]["value"] == pytest.approx(1 / 3)
    # by the third answer they had done something twice
    segments = {group["name"]: group["impressions"] for group in answered["segment"]}
    assert segments == {"new": 5, "light": 1}


def test_the_measurement_counts_periods_side_by_side(watched: Shop) -> None:
    done = watched.run("train", "measure", "--json")
    assert done.returncode == 0, done.stderr
    measurement = Measurement.model_validate_json(done.stdout)
    with unit_of_work() as session:
        assert read_measurement(session) == measurement
    assert [span.days for span in measurement.spans] == [7, 28]
    for span in measurement.spans:
        assert span.before.until == span.current.since
        live = watched.run(
            *("train", "live", "--since", span.current.since.isoformat()),
            *("--until", span.current.until.isoformat(), "--json"),
            *(["--answered"] if measurement.shown == "answered" else []),
        )
        total, expected = span.current.total, json.loads(live.stdout)
        assert (0 if total is None else total.impressions) == expected["impressions"]
        assert sum(group.impressions for group in span.current.placements) == expected["impressions"]


def test_a_measurement_of_another_version_counts_as_none(shop: Shop) -> None:
    with unit_of_work() as session:
        assert read_measurement(session) is None
        session.add(StoredMeasurement(id=1, measured_at=clock.now(), content={}))
        session.flush()
        assert read_measurement(session) is None


def test_a_measurement_is_replaced_by_a_later_one_alone(shop: Shop) -> None:
    now = clock.now()

    def at(hours: float) -> Measurement:
        moment = now + timedelta(hours=hours)
        return Measurement(measured_at=moment, seconds=1, window_days=7, shown="reported", spans=[], tests=[])

    for hours, expected in ((0.0, 0.0), (2.0, 2.0), (1.0, 2.0)):
        with unit_of_work() as session:
            write_measurement(session, at(hours))
        with unit_of_work() as session:
            assert read_measurement(session) == at(expected)
