"""Reads what was shown and what followed from the shop's tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from training.online.metrics import Impressions
from training.online.paid_lines import copy_paid_lines

__all__ = ["HEAVY_FROM", "read_drawn", "read_impressions", "unknown_models"]

HEAVY_FROM = 20
"""So many interactions before the period make a heavy user; none a new one."""

# Feedback that names its answer has model and place from there. Else a row of product_recommendations changes
# with each generation: the generation that was live then gives the model of a
# feedback's list; the row gives the rank, as long as it is still of that generation.
_SHOWN = text(
    """
    WITH impressions AS (
        SELECT f.id, f.user_id, f.product_id, coalesce(f.recommendation_id, k.recommendation_id)
                   AS recommendation_id, f.created_at AS at,
               e.feedback_id IS NOT NULL AS known, coalesce(e.model, e.source) AS model, e.position,
               coalesce(e.shelf, 'unknown') AS placement, NULL AS request_id, false AS drawn
        FROM recommendations_db.recommendation_feedback f
        LEFT JOIN recommendations_db.feedback_exposures e ON e.feedback_id = f.id
        LEFT JOIN recommendations_db.feedback_of_retired k ON k.feedback_id = f.id
        WHERE NOT :answered AND f.feedback_type = 'shown' AND f.user_id IS NOT NULL
          AND f.created_at >= :since AND f.created_at < :until
        UNION ALL
        SELECT p.position, x.user_id, x.product_ids[p.position], NULL, x.shown_at, true,
               coalesce(x.model, x.source), p.position, x.shelf, x.request_id, x.candidates IS NOT NULL
        FROM recommendations_db.exposures x, generate_subscripts(x.product_ids, 1) AS p(position)
        WHERE :answered AND x.user_id IS NOT NULL AND x.shown_at >= :since AND x.shown_at < :until
    ), shown AS (
        SELECT impressions.*,
               least(lead(at) OVER (PARTITION BY user_id, product_id ORDER BY at, id), at + :window) AS until
        FROM impressions
    ), people AS (
        SELECT user_id,
               (SELECT count(*) FROM (SELECT FROM recommendations_db.user_interactions i
                                      WHERE i.user_id = u.user_id AND i.created_at < :since
                                      LIMIT :heavy) AS earlier) AS before
        FROM (SELECT DISTINCT user_id FROM shown) AS u
    )
    SELECT s.user_id, s.placement, s.request_id,
           CASE WHEN s.known THEN s.model ELSE coalesce(g.model_name, 'unknown') END AS model,
           CASE WHEN s.known
                THEN (SELECT count(*) FROM (SELECT FROM recommendations_db.user_interactions i
                                            WHERE i.user_id = s.user_id AND i.created_at < s.at
                                            LIMIT :heavy) AS earlier)
                ELSE p.before END AS before,
           CASE WHEN s.known THEN s.position
                WHEN r.context ->> 'generation' = CAST(g.id AS text)
                     AND r.context #>> '{any,rank}' ~ '^[0-9]{1,6}$'
                THEN CAST(r.context #>> '{any,rank}' AS integer) END AS rank,
           (SELECT min(c.created_at) FROM recommendations_db.recommendation_feedback c
            WHERE c.user_id = s.user_id AND c.product_id = s.product_id AND c.feedback_type = 'clicked'
              AND c.created_at >= s.at AND c.created_at < s.until) IS NOT NULL AS clicked,
           (SELECT min(c.created_at) FROM recommendations_db.recommendation_feedback c
            WHERE c.user_id = s.user_id AND c.product_id = s.product_id AND c.feedback_type = 'carted'
              AND c.created_at >= s.at AND c.created_at < s.until) IS NOT NULL
           OR EXISTS (SELECT FROM recommendations_db.user_interactions i
                      WHERE i.user_id = s.user_id AND i.product_id = s.product_id
                        AND i.interaction_type = 'add_to_cart'
                        AND i.created_at >= s.at AND i.created_at < s.until) AS carted,
           EXTRACT(EPOCH FROM least(
               (SELECT min(c.created_at) FROM recommendations_db.recommendation_feedback c
                WHERE c.user_id = s.user_id AND c.product_id = s.product_id AND c.feedback_type = 'purchased'
                  AND c.created_at >= s.at AND c.created_at < s.until),
               (SELECT min(i.created_at) FROM recommendations_db.user_interactions i
                WHERE i.user_id = s.user_id AND i.product_id = s.product_id
                  AND i.interaction_type = 'purchase' AND i.created_at >= s.at AND i.created_at < s.until)
           ) - s.at) AS seconds,
           coalesce((SELECT sum(l.paid) FROM paid_lines l
                     WHERE l.user_id = s.user_id AND l.product_id = s.product_id
                       AND l.at >= s.at AND l.at < s.until), 0) AS revenue
    FROM shown s
    JOIN people p USING (user_id)
    LEFT JOIN recommendations_db.product_recommendations r ON r.id = s.recommendation_id
    LEFT JOIN LATERAL (
        SELECT g.id, g.model_name FROM recommendations_db.generation_periods p
        JOIN recommendations_db.recommendation_generations g ON g.id = p.generation_id
        WHERE s.recommendation_id IS NOT NULL AND p.since <= s.at ORDER BY p.since DESC, p.id DESC LIMIT 1
    ) g ON true
    WHERE s.drawn OR NOT :drawn
    ORDER BY s.user_id, s.at, s.id
    """
)


def read_impressions(
    session: Session,
    *,
    since: datetime,
    until: datetime,
    window: timedelta,
    answered: bool = False,
    paid_lines: bool = False,
) -> Impressions:
    """What was shown within [since, until) and what followed each within `window`.

    Clicks come from feedback alone; carts and purchases from feedback or interactions, whichever came first;
    revenue from the lines of paid orders, at the price that was paid: an order that was refunded whole counts
    nothing, a partly refunded order counts whole.

    Parameters
    ----------
    answered
        Take every product of each answered list as shown, instead of what feedback reported as shown.
    paid_lines
        The lines of paid orders, from `since` to `window` after `until`, are copied (`copy_paid_lines`).
    """
    if not paid_lines:
        copy_paid_lines(session, since, until + window)
    return _impressions(_rows(session, since, until, window, answered=answered, drawn=False))


def read_drawn(
    session: Session, *, since: datetime, until: datetime, window: timedelta
) -> tuple[Impressions, npt.NDArray[np.str_]]:
    """The answered lists that were drawn at random, as `read_impressions`.

    What followed an impression counts for the last impression of the product, in a list of either kind.

    Returns
    -------
    shown : Impressions
        n rows.
    requests : str, shape (n,)
        The request id of each row.
    """
    copy_paid_lines(session, since, until + window)
    rows = _rows(session, since, until, window, answered=True, drawn=True)
    return _impressions(rows), np.array([row.request_id for row in rows], dtype=np.str_)


def _rows(
    session: Session, since: datetime, until: datetime, window: timedelta, *, answered: bool, drawn: bool
) -> Sequence[Row[Any]]:
    values = {"since": since, "until": until, "window": window, "heavy": HEAVY_FROM}
    return session.execute(_SHOWN, {**values, "answered": answered, "drawn": drawn}).all()


def _impressions(rows: Sequence[Row[Any]]) -> Impressions:
    waited = [np.nan if row.seconds is None else float(row.seconds) for row in rows]
    seconds = np.array(waited, dtype=np.float64)
    return Impressions(
        user=np.array([row.user_id for row in rows], dtype=np.int64),
        model=np.array([row.model for row in rows], dtype=np.str_),
        placement=np.array([row.placement for row in rows], dtype=np.str_),
        segment=np.array([_segment(row.before) for row in rows], dtype=np.str_),
        position=np.array([row.rank or 0 for row in rows], dtype=np.int64),
        clicked=np.array([row.clicked for row in rows], dtype=np.bool_),
        carted=np.array([row.carted for row in rows], dtype=np.bool_),
        bought=np.isfinite(seconds),
        seconds=seconds,
        revenue=[row.revenue for row in rows],
    )


def unknown_models(shown: Impressions) -> int:
    """Impressions of no known model: their feedback names no recommendation, or no list was live."""
    return int((shown.model == "unknown").sum())


def _segment(before: int) -> str:
    if before == 0:
        return "new"
    return "heavy" if before >= HEAVY_FROM else "light"
