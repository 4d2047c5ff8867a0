"""Reads drawn lists with what followed each place from the shop's tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from training.off_policy.target import LoggedLists, padded
from training.online.impressions import read_drawn

__all__ = ["DrawnLists", "Reward", "read_lists"]

_LISTS = text(
    """
    SELECT request_id, user_id, session_id, shown_at, filters,
           product_ids[1:CAST(:places AS integer)] AS products,
           propensities[1:CAST(:places AS integer)] AS propensities, candidates
    FROM recommendations_db.exposures
    WHERE candidates IS NOT NULL AND shelf = :shelf AND (user_id IS NOT NULL OR session_id IS NOT NULL)
      AND shown_at >= :since AND shown_at < :until AND array_lower(product_ids, 1) = 1
    ORDER BY user_id, session_id, shown_at, request_id
    """
)
# what guests do is known by the request that they name
_OF_GUESTS = text(
    """
    SELECT e.request_id, e.position, bool_or(f.feedback_type = 'clicked') AS clicks,
           bool_or(f.feedback_type = 'carted') AS carts, bool_or(f.feedback_type = 'purchased') AS purchases
    FROM recommendations_db.exposures x
    JOIN recommendations_db.feedback_exposures e ON e.request_id = x.request_id AND e.shelf = x.shelf
    JOIN recommendations_db.recommendation_feedback f ON f.id = e.feedback_id
    WHERE x.candidates IS NOT NULL AND x.shelf = :shelf AND x.user_id IS NULL AND x.shown_at >= :since
      AND x.shown_at < :until AND f.created_at >= x.shown_at AND f.created_at < x.shown_at + :window
    GROUP BY e.request_id, e.position
    """
)


class Reward(StrEnum):
    """What a place of a list earns."""

    CLICKS = "clicks"
    CARTS = "carts"
    PURCHASES = "purchases"
    REVENUE = "revenue"


@dataclass(frozen=True, eq=False)
class DrawnLists:
    """n drawn lists with what they earned, and for whom and under which filters each was drawn.

    Attributes
    ----------
    lists
        A guest is a visitor with a number below 0.
    sessions
        Of guests, else None.
    filters
        What the requests narrowed the lists by.
    moments : int64, shape (n,)
        When they were displayed, microseconds since 1970-01-01 UTC.
    """

    lists: LoggedLists
    sessions: tuple[str | None, ...]
    filters: tuple[dict[str, Any], ...]
    moments: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lists)

    def take(self, rows: npt.NDArray[np.intp]) -> DrawnLists:
        """These lists."""
        return DrawnLists(
            self.lists.take(rows),
            tuple(self.sessions[row] for row in rows.tolist()),
            tuple(self.filters[row] for row in rows.tolist()),
            self.moments[rows],
        )


def read_lists(
    session: Session,
    *,
    since: datetime,
    until: datetime,
    window: timedelta,
    reward: Reward,
    shelf: str,
    places: int,
) -> DrawnLists:
    """The first `places` places of the drawn lists of [since, until), and what they earned.

    What followed a user's list counts as in `recsys train live --answered`: for the last impression of that
    product before it, within `window`. What followed a guest's list is the feedback that names its request,
    within `window`; orders name none, so that guests earn no revenue.

    Parameters
    ----------
    window
        How long after a list what follows it counts.
    reward
        What a place earns: 1 where the interaction followed, or the revenue in the shop's currency.
    shelf
        The name of the list.
    """
    values = {"since": since, "until": until, "shelf": shelf, "places": places}
    rows = session.execute(_LISTS, values).all()
    shown, requests = read_drawn(session, since=since, until=until, window=window)
    earned: npt.NDArray[np.float64] = {
        Reward.CLICKS: shown.clicked.astype(np.float64),
        Reward.CARTS: shown.carted.astype(np.float64),
        Reward.PURCHASES: shown.bought.astype(np.float64),
        Reward.REVENUE: np.array([float(each) for each in shown.revenue], dtype=np.float64),
    }[reward]
    wanted = (shown.placement == shelf) & (shown.position <= places)
    by_place = {
        (request, place): value
        for request, place, value in zip(
            requests[wanted].tolist(), shown.position[wanted].tolist(), earned[wanted].tolist(), strict=True
        )
    }
    if reward is not Reward.REVENUE:
        by_place |= {
            (row.request_id, row.position): float(getattr(row, reward.value))
            for row in session.execute(_OF_GUESTS, {**values, "window": window})
        }
    rewards = np.zeros((len(rows), places))
    propensities = np.full((len(rows), places), np.nan)
    for number, row in enumerate(rows):
        length = len(row.products)
        rewards[number, :length] = [
            by_place.get((row.request_id, place), 0.0) for place in range(1, length + 1)
        ]
        propensities[number, :length] = [np.nan if each is None else each for each in row.propensities]
    deepest = max((len(row.candidates) for row in rows), default=1)
    guests = {
        name: -number for number, name in enumerate(sorted({row.session_id for row in rows} - {None}), 1)
    }
    lists = LoggedLists(
        np.array([guests[row.session_id] if row.user_id is None else row.user_id for row in rows], np.int64),
        padded([np.array(row.products, dtype=np.int64) for row in rows], places),
        propensities,
        rewards,
        padded([np.array(row.candidates, dtype=np.int64) for row in rows], deepest),
    )
    return DrawnLists(
        lists,
        tuple(None if row.user_id is not None else row.session_id for row in rows),
        tuple(row.filters or {} for row in rows),
        np.array([int(row.shown_at.timestamp() * 1e6) for row in rows], dtype=np.int64),
    )
