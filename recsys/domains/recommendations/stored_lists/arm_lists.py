"""Generations of stored lists for the arms of experiments, by their models, beside the live generation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.stored_lists.generations import (
    OF_STATUS,
    Generation,
    generation_of,
    sweep,
)

__all__ = ["arm_lists", "drop_arm_lists", "give_to_arm", "retire_arm_lists"]

_ARMS = text(OF_STATUS + " AND (expires_at IS NULL OR expires_at > :now) ORDER BY id")
_GIVE = text(
    """
    UPDATE recommendations_db.recommendation_generations
    SET status = 'arm', live_at = :now, users = :users, rows = 0, expires_at = :expires WHERE id = :id
    """
)
_RETIRE_ARMS = text(
    """
    UPDATE recommendations_db.recommendation_generations SET status = 'retired'
    WHERE status = 'arm' AND id <> ALL(CAST(:but AS integer[])) RETURNING id
    """
)
_DROP = text(
    """
    DELETE FROM recommendations_db.stored_lists s USING recommendations_db.recommendation_generations g
    WHERE g.id = s.generation_id AND g.status = 'arm' AND s.user_id = ANY(:users)
    """
)


def arm_lists(session: Session) -> dict[str, Generation]:
    """The newest generation of each model that ranks in an arm of an experiment, by model."""
    given = {"status": "arm", "now": clock.now()}
    return {row.model_name: generation_of(row) for row in session.execute(_ARMS, given)}


def give_to_arm(session: Session, generation: int, *, users: int, expires_at: datetime) -> None:
    """Let an arm be served from a finished generation, once the transaction commits.

    Parameters
    ----------
    users
        How many users have lists.
    expires_at
        Until when the lists are valid.
    """
    given = {"id": generation, "users": users, "expires": expires_at, "now": clock.now()}
    session.execute(_GIVE, given)


def retire_arm_lists(session: Session, *, but: Collection[int] = ()) -> list[int]:
    """Drop the lists of arms.

    Parameters
    ----------
    but
        Generations whose lists stay.

    Returns
    -------
    list of int
        The generations whose lists are dropped.
    """
    retired = list(session.scalars(_RETIRE_ARMS, {"but": sorted(but)}))
    if retired:
        sweep(session)
    return retired


def drop_arm_lists(session: Session, users: Sequence[int]) -> list[int]:
    """Drop the lists that arms have for some users.

    Returns
    -------
    list of int
        The generations of arms; the keys of these users in Redis are dropped then.
    """
    arms = [each.id for each in arm_lists(session).values()]
    if arms:
        session.execute(_DROP, {"users": list(users)})
    return arms
