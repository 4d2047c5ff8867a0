"""Outcomes of an experiment's users and sessions: who was in which arm since when, and what followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Session

from recsys.database.servers.copies import copy_to
from recsys.domains.recommendations.ab_tests.assignment import fallback_label, label
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign
from training.online.paid_lines import copy_paid_lines

__all__ = ["PAST", "ArmOutcomes", "read_sessions", "read_users"]

PAST = timedelta(days=28)
"""How long before an experiment its users' past is taken from."""
Values = npt.NDArray[np.float64]
_LABELS = (bindparam("arms", type_=ARRAY(TEXT)), bindparam("fallbacks", type_=ARRAY(TEXT)))

_PAST_ORDERS: LiteralString = """
    SELECT user_id, total_price FROM orders_db.orders
    WHERE financial_status IN ('paid', 'partially_refunded') AND created_at >= %(past)s
      AND created_at < %(since)s AND user_id IS NOT NULL
"""
# An outcome is final: it ends a fixed time after the first list. Joined by user, whose numbers are not known
# to the planner yet; the lists that a product was in are looked up only for what people did.
_USERS = text(
    """
    WITH people AS MATERIALIZED (
        SELECT user_id, min(shown_at) AS first_at, count(*) AS lists,
               count(*) FILTER (WHERE x.arm = ANY(:fallbacks)) AS fallbacks,
               min(n.number) AS arm, max(n.number) AS other_arm
        FROM recommendations_db.exposures x
        JOIN unnest(CAST(:arms AS text[]) || CAST(:fallbacks AS text[])) WITH ORDINALITY AS l (label, place)
            ON l.label = x.arm
        CROSS JOIN LATERAL (SELECT (l.place - 1) % cardinality(CAST(:arms AS text[])) AS number) n
        WHERE x.shown_at >= :since AND x.shown_at < :until AND x.user_id IS NOT NULL
        GROUP BY user_id
    ), interactions AS (
        SELECT user_id, product_id, created_at AS at, feedback_type AS kind
        FROM recommendations_db.recommendation_feedback
        WHERE feedback_type IN ('clicked', 'carted', 'purchased') AND created_at >= :since
          AND created_at < :until
        UNION ALL
        SELECT user_id, product_id, created_at,
               CASE interaction_type WHEN 'add_to_cart' THEN 'carted' ELSE 'purchased' END
        FROM recommendations_db.user_interactions
        WHERE interaction_type IN ('add_to_cart', 'purchase') AND created_at >= :since AND created_at < :until
    ), parts AS (
        SELECT d.user_id, d.kind, 0 AS revenue, 0 AS spent, 0 AS past_orders, 0 AS past_spent, 0 AS past_acts
        FROM interactions d JOIN people p ON p.user_id = d.user_id
        WHERE d.at >= p.first_at AND d.at < p.first_at + :outcome
          AND EXISTS (SELECT FROM recommendations_db.exposures x
                      WHERE x.user_id = d.user_id AND x.shown_at <= d.at AND x.shown_at >= :since
                        AND x.arm = ANY(:arms || :fallbacks) AND d.product_id = ANY(x.product_ids))
        UNION ALL
        SELECT s.user_id, NULL, CASE WHEN EXISTS (
                   SELECT FROM recommendations_db.exposures x
                   WHERE x.user_id = s.user_id AND x.shown_at <= s.at AND x.shown_at >= :since
                     AND x.arm = ANY(:arms || :fallbacks) AND s.product_id = ANY(x.product_ids)
               ) THEN s.paid ELSE 0 END, s.paid, 0, 0, 0
        FROM paid_lines s JOIN people p ON p.user_id = s.user_id
        WHERE s.at >= p.first_at AND s.at < p.first_at + :outcome
        UNION ALL
        SELECT o.user_id, NULL, 0, 0, 1, o.total_price, 0
        FROM past_orders o JOIN people p ON p.user_id = o.user_id
        UNION ALL
        SELECT i.user_id, NULL, 0, 0, 0, 0, 1
        FROM recommendations_db.user_interactions i JOIN people p ON p.user_id = i.user_id
        WHERE i.created_at >= :past AND i.created_at < :since
    ), sums AS (
        SELECT user_id, bool_or(kind = 'clicked') AS clicked, bool_or(kind = 'carted') AS carted,
               bool_or(kind = 'purchased') AS bought, sum(revenue) AS revenue, sum(spent) AS spent,
               sum(past_orders) AS past_orders, sum(past_spent) AS past_spent, sum(past_acts) AS past_acts
        FROM parts GROUP BY user_id
    )
    SELECT p.arm, p.other_arm, p.lists, p.fallbacks, p.first_at + :outcome <= :until AS is_final,
           coalesce(s.clicked, false) AS clicked, coalesce(s.carted, false) AS carted,
           coalesce(s.bought, false) AS bought, coalesce(s.revenue, 0) AS revenue,
           coalesce(s.spent, 0) AS spent, coalesce(s.past_orders, 0) AS past_orders,
           coalesce(s.past_spent, 0) AS past_spent, coalesce(s.past_acts, 0) AS past_acts
    FROM people p LEFT JOIN sums s USING (user_id) ORDER BY p.first_at, p.user_id
    """
).bindparams(*_LABELS)
# What a session led to is known by the feedback that names its answer. One grouping puts lists and feedback
# together: a join with the sessions would be planned as a loop.
_SESSIONS = text(
    """
    WITH labels AS MATERIALIZED (
        SELECT label, (place - 1) % cardinality(CAST(:arms AS text[])) AS number
        FROM unnest(CAST(:arms AS text[]) || CAST(:fallbacks AS text[])) WITH ORDINALITY AS l (label, place)
    ), parts AS (
        SELECT x.session_id, x.shown_at, x.arm, NULL AS kind, NULL::timestamptz AS at
        FROM recommendations_db.exposures x
        WHERE x.shown_at >= :since AND x.shown_at < :until AND x.session_id IS NOT NULL
          AND (:everybody OR x.user_id IS NULL) AND x.arm = ANY(:arms || :fallbacks)
        UNION ALL
        SELECT x.session_id, x.shown_at, NULL, f.feedback_type, f.created_at
        FROM recommendations_db.feedback_exposures e
        JOIN recommendations_db.recommendation_feedback f ON f.id = e.feedback_id
        JOIN recommendations_db.exposures x ON x.request_id = e.request_id AND x.shelf = e.shelf
        WHERE e.arm = ANY(:arms || :fallbacks) AND (:everybody OR x.user_id IS NULL)
          AND x.session_id IS NOT NULL AND x.shown_at >= :since AND x.shown_at < :until
          AND f.created_at >= x.shown_at AND f.created_at < :until
    ), timed AS (
        SELECT p.session_id, p.arm, labels.number, p.kind, p.at,
               min(p.shown_at) OVER (PARTITION BY p.session_id) AS first_at
        FROM parts p LEFT JOIN labels ON labels.label = p.arm
    )
    SELECT min(number) AS arm, max(number) AS other_arm, count(arm) AS lists,
           count(*) FILTER (WHERE arm = ANY(:fallbacks)) AS fallbacks,
           min(first_at) + :outcome <= :until AS is_final,
           coalesce(bool_or(kind = 'clicked' AND at < first_at + :outcome), false) AS clicked,
           coalesce(bool_or(kind = 'carted' AND at < first_at + :outcome), false) AS carted,
           coalesce(bool_or(kind = 'purchased' AND at < first_at + :outcome), false) AS bought
    FROM timed GROUP BY session_id ORDER BY min(first_at), session_id
    """
).bindparams(*_LABELS)


@dataclass(frozen=True)
class ArmOutcomes:
    """Users or sessions, in the order of their first lists; those in two arms are left out.

    Attributes
    ----------
    arm : int64, shape (n,)
        Number of the arm of each, from 0, the control.
    is_final : bool, shape (n,)
        Whether their outcome days are over.
    values : float64, shape (n,), by metric
        Of these days: 0 or 1 for `clicked`, `carted` and `bought`; money paid for products of the lists in
        `revenue`, and for any in `spent`, both of users only.
    past : float64, shape (n, covariates)
        Before the experiment: of users ln(1 + x) of orders, money spent and interactions of the days of
        `PAST`; of sessions no column.
    in_both
        How many had lists of two arms, which cannot be.
    lists, fallbacks
        Lists of each arm, and those among them by another model than the arm's.
    """

    arm: npt.NDArray[np.int64]
    is_final: npt.NDArray[np.bool_]
    values: dict[str, Values]
    past: Values
    in_both: int
    lists: tuple[int, ...]
    fallbacks: tuple[int, ...]


def read_users(
    session: Session, name: str, design: ExperimentDesign, *, since: datetime, until: datetime
) -> ArmOutcomes:
    """Read the users of an experiment that began at `since`, with what they did until `until`."""
    past = since - PAST
    copy_paid_lines(session, since, until)
    copy_to(session, "recommendations", "past_orders", _PAST_ORDERS, {"past": past, "since": since})
    rows = session.execute(_USERS, {**_given(name, design, since, until), "past": past}).all()
    outcomes = _outcomes(rows, len(design.arms), ("clicked", "carted", "bought", "revenue", "spent"))
    kept = [row for row in rows if row.arm == row.other_arm]
    covariates = np.array(
        [(float(row.past_orders), float(row.past_spent), float(row.past_acts)) for row in kept],
        dtype=np.float64,
    ).reshape(-1, 3)
    # sums of people's acts have long tails, which would leave the regression to a few of them
    return ArmOutcomes(**{**vars(outcomes), "past": np.log1p(np.maximum(covariates, 0.0))})


def read_sessions(
    session: Session,
    name: str,
    design: ExperimentDesign,
    *,
    since: datetime,
    until: datetime,
    everybody: bool,
) -> ArmOutcomes:
    """Read the sessions of an experiment.

    Parameters
    ----------
    since
        When the experiment began.
    until
        What they did until then is read.
    everybody
        Also those with a log-in; else guests only.
    """
    rows = session.execute(_SESSIONS, {**_given(name, design, since, until), "everybody": everybody}).all()
    return _outcomes(rows, len(design.arms), ("clicked", "carted", "bought"))


def _given(name: str, design: ExperimentDesign, since: datetime, until: datetime) -> dict[str, Any]:
    names = [arm.name for arm in design.arms]
    return {
        "arms": [label(name, arm) for arm in names],
        "fallbacks": [fallback_label(name, arm) for arm in names],
        "since": since,
        "until": until,
        "outcome": timedelta(days=design.outcome_days),
    }


def _outcomes(rows: Sequence[Any], arms: int, metrics: Sequence[str]) -> ArmOutcomes:
    kept = [row for row in rows if row.arm == row.other_arm]
    return ArmOutcomes(
        arm=np.array([row.arm for row in kept], dtype=np.int64),
        is_final=np.array([row.is_final for row in kept], dtype=np.bool_),
        values={
            metric: np.array([float(getattr(row, metric)) for row in kept], dtype=np.float64)
            for metric in metrics
        },
        past=np.empty((len(kept), 0)),
        in_both=len(rows) - len(kept),
        lists=tuple(sum(row.lists for row in kept if row.arm == arm) for arm in range(arms)),
        fallbacks=tuple(sum(row.fallbacks for row in kept if row.arm == arm) for arm in range(arms)),
    )
