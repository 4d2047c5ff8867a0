"""The rows of feedback: its own, its sender's event id, and its place in an answer, by one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BOOLEAN, INTEGER, TEXT, TIMESTAMP, VARCHAR
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session

from recsys.domains.recommendations.feedback.attribution import Place
from recsys.domains.recommendations.schemas import FeedbackIn
from recsys.domains.recommendations.types import FeedbackType

__all__ = ["Ready", "store"]

# as in `interactions`: both rows by one statement, in an order that two batches share
_STORE = text(
    """
    WITH incoming AS MATERIALIZED (
        SELECT nextval('recommendations_db.recommendation_feedback_id_seq')::integer AS id, given.*
        FROM unnest(:places, :event_ids, :user_ids, :product_ids, :recommendation_ids, :retired_ids,
                    :recommended, :kinds,
                    :ratings, :texts, :moments, :request_ids, :shelves, :positions, :sessions, :models,
                    :versions, :generations, :sources, :arms)
          AS given(place, event_id, user_id, product_id, recommendation_id, retired_id, recommended, kind,
                   rating, words, moment, request_id, shelf, position, session_id, model, version,
                   generation, source, arm)
        ORDER BY event_id, place
    ), fresh AS (
        INSERT INTO recommendations_db.feedback_events (event_id, feedback_id)
        SELECT event_id, id FROM incoming ORDER BY event_id, place
        ON CONFLICT (event_id) DO NOTHING
        RETURNING feedback_id
    ), stored AS (
        INSERT INTO recommendations_db.recommendation_feedback
            (id, user_id, product_id, recommendation_id, recommended, clicked, purchased, rating,
             feedback_type, feedback_text, created_at)
        SELECT id, user_id, product_id, recommendation_id, recommended, kind = 'clicked', kind = 'purchased',
               rating, kind, words, moment
        FROM incoming JOIN fresh ON fresh.feedback_id = incoming.id
        RETURNING id
    ), of_retired AS (
        INSERT INTO recommendations_db.feedback_of_retired (feedback_id, recommendation_id)
        SELECT id, retired_id FROM incoming JOIN fresh ON fresh.feedback_id = incoming.id
        WHERE retired_id IS NOT NULL
    ), placed AS (
        INSERT INTO recommendations_db.feedback_exposures
            (feedback_id, request_id, shelf, position, session_id, model, version, generation, source, arm)
        SELECT id, request_id, shelf, position, session_id, model, version, generation, source, arm
        FROM incoming JOIN fresh ON fresh.feedback_id = incoming.id WHERE request_id IS NOT NULL
    )
    SELECT place FROM incoming JOIN stored USING (id)
    """
).bindparams(
    bindparam("places", type_=ARRAY(INTEGER)),
    bindparam("event_ids", type_=ARRAY(PG_UUID(as_uuid=True))),
    bindparam("user_ids", type_=ARRAY(INTEGER)),
    bindparam("product_ids", type_=ARRAY(INTEGER)),
    bindparam("recommendation_ids", type_=ARRAY(INTEGER)),
    bindparam("retired_ids", type_=ARRAY(INTEGER)),
    bindparam("recommended", type_=ARRAY(BOOLEAN)),
    bindparam("kinds", type_=ARRAY(VARCHAR)),
    bindparam("ratings", type_=ARRAY(INTEGER)),
    bindparam("texts", type_=ARRAY(TEXT)),
    bindparam("moments", type_=ARRAY(TIMESTAMP(timezone=True))),
    *(bindparam(name, type_=ARRAY(VARCHAR)) for name in ("request_ids", "shelves", "sessions", "models")),
    *(bindparam(name, type_=ARRAY(VARCHAR)) for name in ("versions", "sources", "arms")),
    *(bindparam(name, type_=ARRAY(INTEGER)) for name in ("positions", "generations")),
)


@dataclass(frozen=True)
class Ready:
    """A piece of feedback with all that its rows hold; `place` is its place in what was given.

    retired_id : the recommendation that it is of, where that left its user's lists meanwhile.
    """

    place: int
    event_id: UUID
    user_id: int | None
    visit: str | None
    product_id: int
    recommendation_id: int | None
    given: FeedbackIn
    moment: datetime
    answer: Place | None
    retired_id: int | None = None


def store(session: Session, feedback: Sequence[Ready]) -> set[int]:
    """Store feedback that is not stored yet; the places of what was new."""
    given = [one.given for one in feedback]
    lists = [None if one.answer is None else one.answer.answered for one in feedback]
    return set(
        session.scalars(
            _STORE,
            {
                "places": [one.place for one in feedback],
                "event_ids": [one.event_id for one in feedback],
                "user_ids": [one.user_id for one in feedback],
                "product_ids": [one.product_id for one in feedback],
                "recommendation_ids": [one.recommendation_id for one in feedback],
                "retired_ids": [one.retired_id for one in feedback],
                "recommended": [
                    one.recommendation_id is not None
                    or one.retired_id is not None
                    or one.answer is not None
                    or one.given.feedback_type is FeedbackType.SHOWN
                    for one in feedback
                ],
                "kinds": [one.feedback_type.value for one in given],
                "ratings": [one.rating for one in given],
                "texts": [one.text for one in given],
                "moments": [one.moment for one in feedback],
                "request_ids": [one and one.request_id for one in lists],
                "shelves": [one and one.shelf for one in lists],
                "positions": [one.answer and one.answer.position for one in feedback],
                "sessions": [one.visit for one in feedback],
                "models": [one and one.model for one in lists],
                "versions": [one and one.version for one in lists],
                "generations": [one and one.generation for one in lists],
                "sources": [one and one.source for one in lists],
                "arms": [one and one.arm for one in lists],
            },
        )
    )
