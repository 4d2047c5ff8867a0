"""Ingestion of feedback on recommendations: a verdict for each, all stored once, in one statement.

Feedback on a response (by its request id) may arrive before the impression of the response is stored in
PostgreSQL. Its verdict is then `queued`, and it is stored once the impression is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from pydantic import ValidationError
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.feedback import attribution
from recsys.domains.recommendations.feedback.attribution import NotInAnswer
from recsys.domains.recommendations.feedback.rows import Ready, store
from recsys.domains.recommendations.interactions import guest_identity
from recsys.domains.recommendations.interactions import ingest as interactions
from recsys.domains.recommendations.interactions.ingest import NamedProducts
from recsys.domains.recommendations.interactions.recent import Touched, remember_touched
from recsys.domains.recommendations.schemas import FeedbackIn
from recsys.domains.recommendations.tables import RecommendationFeedback
from recsys.domains.recommendations.types import FeedbackType, InteractionType
from recsys.write_buffer.batches import JUDGED, PostVerdict, reason_of
from recsys.write_buffer.buffer import QueuedPost

__all__ = ["DISMISSALS", "WHOSE", "of_user", "store_queued", "take"]

WHOSE = "user_id: whose feedback it is; or log in; of a guest, the request_id of the answer"
"""Why feedback without a user, session or request is refused."""
DISMISSALS = {FeedbackType.DISMISSED: None, FeedbackType.RESTORED: Decimal(-1)}
"""The feedback that is also an interaction of the type `dismissed`, with its value."""
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:recsys:feedback-event")

# the locks hold users and recommendations until the feedback is in: what is deleted in between would break
# its foreign keys
_USERS = text(
    """
    SELECT id, username FROM users_db.users WHERE id = ANY(:ids) OR username = ANY(:names)
    ORDER BY id FOR KEY SHARE
    """
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)), bindparam("names", type_=ARRAY(VARCHAR)))
_RECOMMENDATIONS = text(
    """
    SELECT id, user_id, product_id FROM recommendations_db.product_recommendations
    WHERE id = ANY(:ids) ORDER BY id FOR KEY SHARE
    """
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)))
# the row that a stored list was made of: the product may have one for each type of recommendation
_ROWS = text(
    """
    SELECT r.id, r.user_id, r.product_id
    FROM unnest(:users, :products) AS given(user_id, product_id)
    JOIN recommendations_db.product_recommendations r USING (user_id, product_id)
    ORDER BY r.id DESC FOR KEY SHARE OF r
    """
).bindparams(bindparam("users", type_=ARRAY(INTEGER)), bindparam("products", type_=ARRAY(INTEGER)))
# those that left the lists: what was shown a moment ago may still be clicked
_RETIRED = text(
    """
    SELECT id, user_id, product_id FROM recommendations_db.retired_recommendations WHERE id = ANY(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)))
_RETIRED_ROWS = text(
    """
    SELECT t.id, t.user_id, t.product_id
    FROM unnest(:users, :products) AS given(user_id, product_id)
    JOIN recommendations_db.retired_recommendations t USING (user_id, product_id)
    """
).bindparams(bindparam("users", type_=ARRAY(INTEGER)), bindparam("products", type_=ARRAY(INTEGER)))


def take(
    session: Session, given: Sequence[object], *, judged: bool = False
) -> tuple[list[PostVerdict], list[Touched]]:
    """Store what can be stored and say for each what became of it.

    Parameters
    ----------
    given
        The pieces of feedback.
    judged
        As in `interactions.take`.

    Returns
    -------
    verdicts : list of PostVerdict
        In the order of `given`.
    touched : list of Touched
        What was touched: a dismissal and its taking back are also interactions.
    """
    refused: dict[int, str] = {}
    valid: dict[int, FeedbackIn] = {}
    for place, one in enumerate(given):
        try:
            parsed = FeedbackIn.model_validate(one, context=JUDGED if judged else None)
        except ValidationError as error:
            refused[place] = reason_of(error, "feedback")
            continue
        if parsed.user_id is None and parsed.username is None and parsed.request_id is None:
            refused[place] = WHOSE
        else:
            valid[place] = parsed
    waiting: set[int] = set()
    storable = _storable(session, valid, refused, waiting)
    visits = {one.visit for one in storable if one.user_id is None and one.visit is not None}
    if visits:
        guest_identity.begin(session, visits)
    stored = store(session, storable) if storable else set()
    if visits:
        guest_identity.settle_feedback(session, visits)
    by_place = {one.place: one for one in storable}
    verdicts = []
    for place in range(len(given)):
        if place in refused:
            verdicts.append(PostVerdict(index=place, status="refused", reason=refused[place]))
        elif place in waiting:
            verdicts.append(PostVerdict(index=place, status="queued", reason="the answer is not stored yet"))
        else:
            status = "stored" if place in stored else "duplicate"
            ready = by_place[place]
            remark = ready.given.remark
            verdicts.append(
                PostVerdict(index=place, status=status, event_id=str(ready.event_id), reason=remark)
            )
    return verdicts, _remember(session, [one for one in storable if one.place in stored])


def store_queued(session: Session, posts: Sequence[QueuedPost]) -> list[PostVerdict]:
    """Store feedback of the write buffer; a verdict for each."""
    pieces = [piece if user is None else piece | {"user_id": user} for piece, user in posts]
    verdicts, touched = take(session, pieces, judged=True)
    if touched:
        after_commit(session, lambda: remember_touched(touched))
    return verdicts


def of_user(
    session: Session, user_id: int, *, before: int | None = None, limit: int, product_id: int | None = None
) -> Sequence[RecommendationFeedback]:
    """A user's feedback before the id `before`, newest first; on one product, or on all."""
    query = select(RecommendationFeedback).where(RecommendationFeedback.user_id == user_id)
    if product_id is not None:
        query = query.where(RecommendationFeedback.product_id == product_id)
    if before is not None:
        query = query.where(RecommendationFeedback.id < before)
    return session.scalars(query.order_by(RecommendationFeedback.id.desc()).limit(limit)).all()


def _storable(
    session: Session, valid: Mapping[int, FeedbackIn], refused: dict[int, str], waiting: set[int]
) -> list[Ready]:
    """Feedback that can be stored; the places of the rest are added to `refused` or `waiting`."""
    pieces = list(valid.values())
    lists = attribution.look_up(
        session, {piece.request_id for piece in pieces if piece.request_id is not None}
    )
    people = [piece.user_id for piece in pieces]
    people += [answered.user_id for several in lists.values() for answered in several]
    names = sorted({piece.username for piece in pieces if piece.username is not None})
    user_rows = session.execute(
        _USERS, {"ids": sorted({user for user in people if user is not None}), "names": names}
    ).all()
    users, by_username = {row.id for row in user_rows}, {row.username: row.id for row in user_rows}
    recommendation_ids = sorted(
        {piece.recommendation_id for piece in pieces if piece.recommendation_id is not None}
    )
    rows = list(session.execute(_RECOMMENDATIONS, {"ids": recommendation_ids})) if recommendation_ids else []
    live = {row.id for row in rows}
    if missing := sorted(set(recommendation_ids) - live):
        rows += session.execute(_RETIRED, {"ids": missing})
    recommended = {row.id: row for row in rows}
    ids = {piece.product_id for piece in pieces if piece.product_id is not None}
    products = NamedProducts.of(
        session,
        ids | {row.product_id for row in rows},
        {piece.sku for piece in pieces if piece.sku is not None},
    )
    now = clock.now()
    ready = []
    for place, piece in valid.items():
        user, visit, answer = piece.user_id, piece.session_id, None
        product = piece.product_id if piece.sku is None else products.by_sku.get(piece.sku)
        if piece.username is not None:
            user = by_username.get(piece.username)
            if user is None:
                refused[place] = "username: no such user"
                continue
        if piece.sku is not None and product is None:
            refused[place] = "sku: no such product"
            continue
        if user is not None and user not in users:
            refused[place] = "user_id: no such user"
            continue
        if piece.recommendation_id is not None:
            row = recommended.get(piece.recommendation_id)
            if row is None or row.user_id != user:
                # another user's recommendation is answered as if it did not exist
                refused[place] = "recommendation_id: this user has no such recommendation"
                continue
            if product not in (None, row.product_id):
                refused[place] = "product_id: the recommendation is of another product"
                continue
            product = row.product_id
        if product is None or product not in products.ids:
            refused[place] = "product_id: no such product"
            continue
        if piece.request_id is not None:
            several = lists.get(piece.request_id)
            if several is None:
                waiting.add(place)
                continue
            if user is None and visit is None:
                # a caller who may act for anybody need not name the list's user
                user = next((each.user_id for each in several if each.user_id in users), None)
                visit = next((each.session_id for each in several if each.session_id is not None), None)
            try:
                answer = attribution.place_in(several, product, shelf=piece.shelf, user_id=user, visit=visit)
            except NotInAnswer as error:
                refused[place] = str(error)
                continue
            # keep the session of a guest's list: after a log-in it says whose feedback this is
            visit = answer.answered.session_id or visit
        ready.append(
            Ready(
                place,
                _event_id(user, visit, piece),
                user,
                visit,
                product,
                piece.recommendation_id if piece.recommendation_id in live else None,
                piece,
                piece.created_at or now,
                answer,
                None if piece.recommendation_id in live else piece.recommendation_id,
            )
        )
    return _linked(session, ready)


def _linked(session: Session, feedback: list[Ready]) -> list[Ready]:
    """With the rows of stored lists, where feedback names none."""
    stored = [
        one
        for one in feedback
        if one.recommendation_id is None
        and one.retired_id is None
        and one.user_id is not None
        and one.answer is not None
        and one.answer.answered.source == "stored"
    ]
    if not stored:
        return feedback
    given = {"users": [one.user_id for one in stored], "products": [one.product_id for one in stored]}
    rows = {(row.user_id, row.product_id): row.id for row in session.execute(_ROWS, given)}
    linked = {one.place for one in stored}
    missing = [one for one in stored if (one.user_id, one.product_id) not in rows]
    given = {"users": [one.user_id for one in missing], "products": [one.product_id for one in missing]}
    retired = {
        (row.user_id, row.product_id): row.id
        for row in (session.execute(_RETIRED_ROWS, given) if missing else ())
    }
    return [
        replace(
            one,
            recommendation_id=rows.get((one.user_id, one.product_id)),
            retired_id=retired.get((one.user_id, one.product_id)),
        )
        if one.place in linked
        else one
        for one in feedback
    ]


def _event_id(user: int | None, visit: str | None, one: FeedbackIn) -> UUID:
    # each user's own, or one could keep another's feedback out by sending its event id first
    if one.event_id is None:
        return uuid4()
    owner = str(user) if user is not None else f"guest:{visit or one.request_id}"
    return uuid5(_NAMESPACE, f"{owner}:{one.event_id}")


def _remember(session: Session, stored: Sequence[Ready]) -> list[Touched]:
    dismissals = [
        {
            "user_id": one.user_id,
            "session_id": one.visit,
            "product_id": one.product_id,
            "interaction_type": InteractionType.DISMISSED,
            "interaction_value": DISMISSALS[one.given.feedback_type],
            "created_at": one.moment,
            "event_id": str(uuid5(one.event_id, one.given.feedback_type)),
        }
        for one in stored
        if one.given.feedback_type in DISMISSALS
        # without a user or a session there is nobody to remember it for
        and (one.user_id is not None or one.visit is not None)
    ]
    return interactions.take(session, dismissals, judged=True)[1] if dismissals else []
