"""What visitors chose from interleaved lists: each visitor's preference between the two arms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests.assignment import INTERLEAVED, fallback_label, label
from recsys.domains.recommendations.ab_tests.design import COUNTED, ExperimentDesign

__all__ = ["InterleavedOutcomes", "read_interleaved"]

Values = npt.NDArray[np.float64]
# What somebody did with a product counts once, at the place of the newest list before it: that of the answer
# which the feedback names, else of the visitor's lists. Visitors are users, guests by their session, or
# sessions first where these keep an arm.
_VISITORS = text(
    """
    WITH lists AS MATERIALIZED (
        SELECT x.request_id, x.shelf, x.shown_at, x.product_ids, x.teams, x.propensities, x.credits,
               x.user_id, x.session_id, x.arm = :fallback AS is_fallback,
               CASE WHEN :by_session AND x.session_id IS NOT NULL OR x.user_id IS NULL
                    THEN 's' || x.session_id ELSE 'u' || x.user_id END AS visitor
        FROM recommendations_db.exposures x
        WHERE x.shown_at >= :since AND x.shown_at < :until AND x.arm IN (:label, :fallback)
          AND (x.user_id IS NOT NULL OR x.session_id IS NOT NULL)
    ), people AS MATERIALIZED (
        SELECT visitor, min(shown_at) AS first_at, count(*) AS lists,
               count(*) FILTER (WHERE is_fallback) AS fallbacks
        FROM lists GROUP BY visitor
    ), named AS (
        SELECT l.visitor, f.product_id, f.feedback_type AS kind, f.created_at AS at, l.shown_at,
               l.credits[array_position(l.product_ids, f.product_id)] AS credit
        FROM recommendations_db.feedback_exposures e
        JOIN recommendations_db.recommendation_feedback f ON f.id = e.feedback_id
        JOIN lists l ON l.request_id = e.request_id AND l.shelf = e.shelf
        WHERE e.arm = :label AND f.feedback_type IN ('clicked', 'carted', 'purchased')
          AND f.created_at >= l.shown_at AND f.created_at < :until
    ), others AS (
        SELECT user_id, product_id, feedback_type AS kind, created_at AS at
        FROM recommendations_db.recommendation_feedback f
        WHERE feedback_type IN ('clicked', 'carted', 'purchased') AND user_id IS NOT NULL
          AND created_at >= :since AND created_at < :until
          AND NOT EXISTS (SELECT FROM recommendations_db.feedback_exposures e WHERE e.feedback_id = f.id)
        UNION ALL
        SELECT user_id, product_id,
               CASE interaction_type WHEN 'add_to_cart' THEN 'carted' ELSE 'purchased' END, created_at
        FROM recommendations_db.user_interactions
        WHERE interaction_type IN ('add_to_cart', 'purchase') AND created_at >= :since AND created_at < :until
    ), attributed AS (
        SELECT visitor, product_id, kind, at, shown_at, credit FROM named
        UNION ALL
        SELECT l.visitor, o.product_id, o.kind, o.at, l.shown_at,
               l.credits[array_position(l.product_ids, o.product_id)]
        FROM others o JOIN lists l ON l.user_id = o.user_id AND l.shown_at <= o.at
         AND o.product_id = ANY(l.product_ids)
        WHERE NOT l.is_fallback
    ), once AS (
        SELECT DISTINCT ON (a.visitor, a.product_id, a.kind) a.visitor, a.kind, a.credit
        FROM attributed a JOIN people p ON p.visitor = a.visitor AND a.at < p.first_at + :outcome
        ORDER BY a.visitor, a.product_id, a.kind, a.at, a.shown_at DESC
    ), preferences AS (
        SELECT visitor, avg(credit) FILTER (WHERE kind = 'clicked') AS clicked,
               avg(credit) FILTER (WHERE kind = 'carted') AS carted,
               avg(credit) FILTER (WHERE kind = 'purchased') AS bought
        FROM once GROUP BY visitor
    ), coins AS (
        SELECT DISTINCT ON (l.visitor) l.visitor, t.team
        FROM lists l, unnest(l.teams, l.propensities) WITH ORDINALITY AS t (team, chance, place)
        WHERE t.chance < 1 AND t.team IS NOT NULL
        ORDER BY l.visitor, l.shown_at, l.request_id, l.shelf, t.place
    )
    SELECT p.lists, p.fallbacks, p.first_at + :outcome <= :until AS is_final, c.team,
           s.clicked, s.carted, s.bought
    FROM people p LEFT JOIN preferences s USING (visitor) LEFT JOIN coins c USING (visitor)
    ORDER BY p.first_at, p.visitor
    """
)


@dataclass(frozen=True)
class InterleavedOutcomes:
    """Visitors in the order of their first lists.

    Attributes
    ----------
    is_final : bool, shape (n,)
        Whether their outcome days are over.
    values : float64, shape (n,), by metric
        The mean credit of what they did, for the challenger above 0; 0 without.
    first_coins
        Visitors whose first coin made the control, and the challenger, the first team.
    lists, fallbacks
        All lists, and those of one arm for want of the other's.
    """

    is_final: npt.NDArray[np.bool_]
    values: dict[str, Values]
    first_coins: tuple[int, int]
    lists: int
    fallbacks: int


def read_interleaved(
    session: Session, name: str, design: ExperimentDesign, *, since: datetime, until: datetime
) -> InterleavedOutcomes:
    """Read the visitors of an experiment that began at `since`, with what they did until `until`."""
    given = {
        "label": label(name, INTERLEAVED),
        "fallback": fallback_label(name, INTERLEAVED),
        "since": since,
        "until": until,
        "outcome": timedelta(days=design.outcome_days),
        "by_session": design.unit == "session",
    }
    rows = session.execute(_VISITORS, given).all()
    return InterleavedOutcomes(
        is_final=np.array([row.is_final for row in rows], dtype=np.bool_),
        values={
            metric: np.array([float(getattr(row, metric) or 0.0) for row in rows], dtype=np.float64)
            for metric in COUNTED
        },
        first_coins=(sum(row.team == 0 for row in rows), sum(row.team == 1 for row in rows)),
        lists=sum(row.lists for row in rows),
        fallbacks=sum(row.fallbacks for row in rows),
    )
