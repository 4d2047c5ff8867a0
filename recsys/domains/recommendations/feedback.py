"""Takes in what users did with recommendations: a verdict for each, stored once, in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from pydantic import ValidationError
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, BOOLEAN, INTEGER, TEXT, TIMESTAMP, VARCHAR
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations import interactions
from recsys.domains.recommendations.recent import Touched
from recsys.domains.recommendations.schemas import FeedbackIn, Verdict
from recsys.domains.recommendations.tables import RecommendationFeedback
from recsys.domains.recommendations.vocabulary import FeedbackType, InteractionType

__all__ = ["of_user", "take"]

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:recsys:feedback-event")

# as in `interactions`: both rows by one statement, in an order that two batches share
_STORE = text(
    """
    WITH incoming AS MATERIALIZED (
        SELECT nextval('recommendations_db.recommendation_feedback_id_seq')::integer AS id, given.*
        FROM unnest(:places, :event_ids, :user_ids, :product_ids, :recommendation_ids, :recommended, :kinds,
                    :ratings, :texts, :moments)
          AS given(place, event_id, user_id, product_id, recommendation_id, recommended, kind, rating, words,
                   moment)
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
    )
    SELECT place FROM incoming JOIN stored USING (id)
    """
).bindparams(
    bindparam("places", type_=ARRAY(INTEGER)),
    bindparam("event_ids", type_=ARRAY(PG_UUID(as_uuid=True))),
    bindparam("user_ids", type_=ARRAY(INTEGER)),
    bindparam("product_ids", type_=ARRAY(INTEGER)),
    bindparam("recommendation_ids", type_=ARRAY(INTEGER)),
    bindparam("recommended", type_=ARRAY(BOOLEAN)),
    bindparam("kinds", type_=ARRAY(VARCHAR)),
    bindparam("ratings", type_=ARRAY(INTEGER)),
    bindparam("texts", type_=ARRAY(TEXT)),
    bindparam("moments", type_=ARRAY(TIMESTAMP(timezone=True))),
)
# the locks hold users and recommendations until the feedback is in: what is deleted in between would break
# its foreign keys
_USERS = text("SELECT id FROM users_db.users WHERE id = ANY(:ids) ORDER BY id FOR KEY SHARE").bindparams(
    bindparam("ids", type_=ARRAY(INTEGER))
)
_RECOMMENDATIONS = text(
    """
    SELECT id, user_id, product_id FROM recommendations_db.product_recommendations
    WHERE id = ANY(:ids) ORDER BY id FOR KEY SHARE
    """
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)))
_PRODUCTS = text("SELECT id FROM products_db.products WHERE id = ANY(:ids)").bindparams(
    bindparam("ids", type_=ARRAY(INTEGER))
)


@dataclass(frozen=True)
class _Feedback:
    place: int
    event_id: UUID
    user_id: int
    product_id: int
    given: FeedbackIn
    moment: datetime


def take(
    session: Session, given: Sequence[object], caller_id: int | None
) -> tuple[list[Verdict], list[Touched]]:
    """Store what can be stored and say for each what became of it, in the order of `given`.

    Who is logged in speaks for nobody else. A dismissal is also an interaction, which is what was touched.
    """
    refused: dict[int, str] = {}
    valid: dict[int, tuple[FeedbackIn, int]] = {}
    for place, one in enumerate(given):
        try:
            parsed = FeedbackIn.model_validate(one)
        except ValidationError as error:
            refused[place] = interactions.reason_of(error, "feedback")
            continue
        user = caller_id if parsed.user_id is None else parsed.user_id
        if user is None:
            refused[place] = "user_id: whose feedback it is; or log in"
        elif caller_id is not None and user != caller_id:
            refused[place] = "user_id: not the user who is logged in"
        else:
            valid[place] = (parsed, user)
    known = _known(session, valid, refused)
    stored = _store(session, known) if known else set()
    by_place = {one.place: one for one in known}
    verdicts = []
    for place in range(len(given)):
        if place in refused:
            verdicts.append(Verdict(index=place, status="refused", reason=refused[place]))
        else:
            status = "stored" if place in stored else "duplicate"
            verdicts.append(Verdict(index=place, status=status, event_id=str(by_place[place].event_id)))
    return verdicts, _dismiss(session, [one for one in known if one.place in stored])


def of_user(
    session: Session, user_id: int, *, before: int | None, limit: int
) -> Sequence[RecommendationFeedback]:
    """A user's feedback before the id `before`, newest first."""
    query = select(RecommendationFeedback).where(RecommendationFeedback.user_id == user_id)
    if before is not None:
        query = query.where(RecommendationFeedback.id < before)
    return session.scalars(query.order_by(RecommendationFeedback.id.desc()).limit(limit)).all()


def _known(
    session: Session, valid: Mapping[int, tuple[FeedbackIn, int]], refused: dict[int, str]
) -> list[_Feedback]:
    users = {user for _, user in valid.values()}
    users &= set(session.scalars(_USERS, {"ids": sorted(users)})) if users else set()
    wanted = sorted({one.recommendation_id for one, _ in valid.values() if one.recommendation_id is not None})
    rows = session.execute(_RECOMMENDATIONS, {"ids": wanted}).all() if wanted else []
    recommended = {row.id: row.product_id for row in rows}
    owners = {row.id: row.user_id for row in rows}
    ids = {one.product_id for one, _ in valid.values() if one.product_id is not None}
    ids.update(recommended.values())
    products = set(session.scalars(_PRODUCTS, {"ids": sorted(ids)})) if ids else set()
    now = clock.now()
    found = []
    for place, (one, user) in valid.items():
        product = one.product_id
        if user not in users:
            refused[place] = "user_id: no such user"
            continue
        if one.recommendation_id is not None:
            if owners.get(one.recommendation_id) != user:
                # another user's is none, so that nobody learns of it
                refused[place] = "recommendation_id: this user has no such recommendation"
                continue
            product = recommended[one.recommendation_id]
            if one.product_id not in (None, product):
                refused[place] = "product_id: the recommendation is of another product"
                continue
        if product is None or product not in products:
            refused[place] = "product_id: no such product"
            continue
        found.append(_Feedback(place, _event_id(user, one), user, product, one, one.created_at or now))
    return found


def _event_id(user: int, one: FeedbackIn) -> UUID:
    # each user's own, or one could keep another's feedback out by sending its event id first
    return uuid4() if one.event_id is None else uuid5(_NAMESPACE, f"{user}:{one.event_id}")


def _store(session: Session, feedback: Sequence[_Feedback]) -> set[int]:
    given = [one.given for one in feedback]
    return set(
        session.scalars(
            _STORE,
            {
                "places": [one.place for one in feedback],
                "event_ids": [one.event_id for one in feedback],
                "user_ids": [one.user_id for one in feedback],
                "product_ids": [one.product_id for one in feedback],
                "recommendation_ids": [one.recommendation_id for one in given],
                "recommended": [
                    one.recommendation_id is not None or one.feedback_type is FeedbackType.SHOWN
                    for one in given
                ],
                "kinds": [one.feedback_type.value for one in given],
                "ratings": [one.rating for one in given],
                "texts": [one.text for one in given],
                "moments": [one.moment for one in feedback],
            },
        )
    )


def _dismiss(session: Session, stored: Sequence[_Feedback]) -> list[Touched]:
    dismissed = [
        {
            "user_id": one.user_id,
            "product_id": one.product_id,
            "interaction_type": InteractionType.DISMISSED,
            "created_at": one.moment,
            "event_id": str(uuid5(one.event_id, "dismissed")),
        }
        for one in stored
        if one.given.feedback_type is FeedbackType.DISMISSED
    ]
    return interactions.take(session, dismissed)[1] if dismissed else []
