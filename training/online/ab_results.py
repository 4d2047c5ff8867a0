"""Reads who was answered in an A/B test and what they did then, and tells what the test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.service import METRICS, Arm, label
from recsys.domains.recommendations.ab_tests.tables import AbTest
from training.online.ab_statistics import (
    SHARES,
    ABVerdict,
    Arms,
    Difference,
    Mismatch,
    compare,
    judge,
    mismatch,
)

__all__ = ["AbResult", "Population", "read_results"]

# Driven by what people did, which is far less than what they were shown, and put together by one grouping: a
# join of the parts would be planned as a loop where the numbers of rows are not known yet.
_USERS = text(
    """
    WITH interactions AS (
        SELECT user_id, product_id, created_at AS at, feedback_type AS kind
        FROM recommendations_db.recommendation_feedback
        WHERE feedback_type IN ('clicked', 'carted', 'purchased') AND created_at >= :since
          AND created_at < :ends
        UNION ALL
        SELECT user_id, product_id, created_at,
               CASE interaction_type WHEN 'add_to_cart' THEN 'carted' ELSE 'purchased' END
        FROM recommendations_db.user_interactions
        WHERE interaction_type IN ('add_to_cart', 'purchase') AND created_at >= :since AND created_at < :ends
    ), lines AS (
        SELECT o.user_id, o.created_at AS at, l.product_id,
               l.quantity * l.price - coalesce(l.total_discount, 0) AS paid
        FROM orders_db.orders o JOIN orders_db.order_items l ON l.order_id = o.id
        WHERE o.financial_status IN ('paid', 'partially_refunded') AND o.created_at >= :since
          AND o.created_at < :ends
    ), parts AS (
        SELECT user_id, arm = :control AS control, arm = :challenger AS challenger,
               arm = :fallback AS fallback, NULL AS kind, 0 AS revenue, 0 AS spent
        FROM recommendations_db.exposures
        WHERE shown_at >= :since AND shown_at < :until AND user_id IS NOT NULL
          AND arm IN (:control, :challenger, :fallback)
        UNION ALL
        SELECT d.user_id, NULL, NULL, NULL, d.kind, 0, 0 FROM interactions d
        WHERE EXISTS (SELECT FROM recommendations_db.exposures x
                      WHERE x.user_id = d.user_id AND x.shown_at > d.at - :window AND x.shown_at <= d.at
                        AND x.shown_at >= :since AND x.shown_at < :until
                        AND x.arm IN (:control, :challenger) AND d.product_id = ANY(x.product_ids))
        UNION ALL
        SELECT s.user_id, NULL, NULL, NULL, NULL, s.paid, 0 FROM lines s
        WHERE EXISTS (SELECT FROM recommendations_db.exposures x
                      WHERE x.user_id = s.user_id AND x.shown_at > s.at - :window AND x.shown_at <= s.at
                        AND x.shown_at >= :since AND x.shown_at < :until
                        AND x.arm IN (:control, :challenger) AND s.product_id = ANY(x.product_ids))
        UNION ALL
        SELECT s.user_id, NULL, NULL, NULL, NULL, 0, s.paid FROM lines s
        WHERE s.at < :until
          AND EXISTS (SELECT FROM recommendations_db.exposures x
                      WHERE x.user_id = s.user_id AND x.shown_at <= s.at AND x.shown_at >= :since
                        AND x.arm IN (:control, :challenger))
    )
    SELECT bool_or(control) AS control, bool_or(challenger) AS challenger, count(control) AS lists,
           count(*) FILTER (WHERE fallback) AS fallbacks,
           coalesce(bool_or(kind = 'clicked'), false) AS clicked,
           coalesce(bool_or(kind = 'carted'), false) AS carted,
           coalesce(bool_or(kind = 'purchased'), false) AS bought,
           sum(revenue) AS revenue, sum(spent) AS spent
    FROM parts GROUP BY user_id ORDER BY user_id
    """
)
# a guest is known by the session alone, so their interactions are the feedback that names its answer
_GUESTS = text(
    """
    WITH parts AS (
        SELECT session_id, arm = :control AS control, arm = :challenger AS challenger,
               arm = :fallback AS fallback, NULL AS kind
        FROM recommendations_db.exposures
        WHERE shown_at >= :since AND shown_at < :until AND user_id IS NULL AND session_id IS NOT NULL
          AND arm IN (:control, :challenger, :fallback)
        UNION ALL
        SELECT x.session_id, NULL, NULL, NULL, f.feedback_type
        FROM recommendations_db.feedback_exposures e
        JOIN recommendations_db.recommendation_feedback f ON f.id = e.feedback_id
        JOIN recommendations_db.exposures x ON x.request_id = e.request_id AND x.shelf = e.shelf
        WHERE e.arm IN (:control, :challenger) AND x.user_id IS NULL AND x.session_id IS NOT NULL
          AND x.shown_at >= :since AND x.shown_at < :until
          AND f.created_at >= x.shown_at AND f.created_at < x.shown_at + :window
    )
    SELECT bool_or(control) AS control, bool_or(challenger) AS challenger, count(control) AS lists,
           count(*) FILTER (WHERE fallback) AS fallbacks,
           coalesce(bool_or(kind = 'clicked'), false) AS clicked,
           coalesce(bool_or(kind = 'carted'), false) AS carted,
           coalesce(bool_or(kind = 'purchased'), false) AS bought
    FROM parts GROUP BY session_id ORDER BY session_id
    """
)


@dataclass(frozen=True)
class Population:
    """Users, or guests' sessions, and how the arms differ.

    counted         who was answered by their arm's model at least once, by arm; each counts once
    only_fallback   who never was, and is left out
    in_both         who was answered by both models, which can't be, and is left out
    fallback_share  of the lists that were answered to them, those by another model than their arm's
    differences     the metric that decides first; none before there are two in each arm
    """

    counted: dict[str, int]
    only_fallback: int
    in_both: int
    fallback_share: float
    mismatch: Mismatch | None
    differences: list[Difference]


@dataclass(frozen=True)
class AbResult:
    """What came of an A/B test so far. The verdict is about users; guests are reported beside them.

    A guest who logged in may count as both, in different arms: few do, and it can only hide a difference.
    """

    name: str
    control: str
    challenger: str
    metric: str
    state: str
    since: datetime
    until: datetime
    days: float
    planned_days: float
    users: Population
    guests: Population
    verdict: ABVerdict


def read_results(session: Session, *, since: datetime, until: datetime, window: timedelta) -> list[AbResult]:
    """The tests that ran within [since, until), newest first, each from its own beginning.

    window : how long after it was shown a product's click, cart, purchase or revenue counts.
    """
    return [
        _result(session, test, min(until, test.ended_at or until), window)
        for test in ab_tests.listed(session)
        if test.started_at < until and (test.ended_at is None or test.ended_at > since)
    ]


def _result(session: Session, test: AbTest, until: datetime, window: timedelta) -> AbResult:
    given: dict[str, Any] = {arm.value: label(test.name, arm) for arm in Arm}
    given |= {"since": test.started_at, "until": until, "window": window}
    users, arms = _population(
        session.execute(_USERS, {**given, "ends": until + window}).all(),
        test.share,
        (test.metric, *(one for one in METRICS if one != test.metric)),
    )
    guests, _ = _population(
        session.execute(_GUESTS, given).all(),
        test.share,
        sorted(SHARES, key=lambda one: one != test.metric),
    )
    days = (until - test.started_at) / timedelta(days=1)
    return AbResult(
        name=test.name,
        control=test.control,
        challenger=test.challenger,
        metric=test.metric,
        state=test.state,
        since=test.started_at,
        until=until,
        days=days,
        planned_days=test.days,
        users=users,
        guests=guests,
        verdict=judge(
            arms,
            users.differences[0] if users.differences else None,
            users.mismatch,
            days=days,
            planned=test.days,
            over=test.state != "running",
        ),
    )


def _population(rows: Sequence[Row[Any]], share: float, metrics: Sequence[str]) -> tuple[Population, Arms]:
    """`metrics`: the deciding one first."""
    counted = [row for row in rows if row.control != row.challenger]
    arms = Arms(
        np.array([row.challenger for row in counted], dtype=np.bool_),
        {
            metric: np.array([float(getattr(row, metric)) for row in counted], dtype=np.float64)
            for metric in metrics
        },
    )
    lists = sum(row.lists for row in rows)
    population = Population(
        counted=dict(zip((Arm.CONTROL.value, Arm.CHALLENGER.value), arms.users, strict=True)),
        only_fallback=sum(not row.control and not row.challenger for row in rows),
        in_both=sum(row.control and row.challenger for row in rows),
        fallback_share=sum(row.fallbacks for row in rows) / lists if lists else 0.0,
        mismatch=mismatch(arms.users, share) if counted else None,
        differences=compare(arms, metrics[0]) if min(arms.users) >= 2 else [],
    )
    return population, arms
