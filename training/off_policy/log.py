"""Reads drawn lists with what followed each place from the shop's tables."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from training.off_policy.target import LoggedLists, padded
from training.online.impressions import read_drawn

__all__ = ["Reward", "read_lists"]

_LISTS = text(
    """
    SELECT request_id, user_id, product_ids[1:CAST(:places AS integer)] AS products,
           propensities[1:CAST(:places AS integer)] AS propensities, candidates
    FROM recommendations_db.exposures
    WHERE candidates IS NOT NULL AND shelf = :shelf AND user_id IS NOT NULL AND shown_at >= :since
      AND shown_at < :until AND array_lower(product_ids, 1) = 1
    ORDER BY user_id, shown_at, request_id
    """
)


class Reward(StrEnum):
    """What a place of a list earns."""

    CLICKS = "clicks"
    CARTS = "carts"
    PURCHASES = "purchases"
    REVENUE = "revenue"


def read_lists(
    session: Session,
    *,
    since: datetime,
    until: datetime,
    window: timedelta,
    reward: Reward,
    shelf: str,
    places: int,
) -> LoggedLists:
    """The first `places` places of the users' drawn lists of [since, until), and what they earned.

    shelf : the name of the list. What followed counts as in `recsys train live --answered`: for the last
    impression of that product before it, within `window`.
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
    rewards = np.zeros((len(rows), places))
    propensities = np.full((len(rows), places), np.nan)
    for number, row in enumerate(rows):
        length = len(row.products)
        rewards[number, :length] = [
            by_place.get((row.request_id, place), 0.0) for place in range(1, length + 1)
        ]
        propensities[number, :length] = [np.nan if each is None else each for each in row.propensities]
    deepest = max((len(row.candidates) for row in rows), default=1)
    return LoggedLists(
        np.array([row.user_id for row in rows], dtype=np.int64),
        padded([np.array(row.products, dtype=np.int64) for row in rows], places),
        propensities,
        rewards,
        padded([np.array(row.candidates, dtype=np.int64) for row in rows], deepest),
    )
